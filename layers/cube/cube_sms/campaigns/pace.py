"""How fast the rows of a campaign go onto the queue: as fast as they are sent, and not far ahead of that."""

from __future__ import annotations

import math
from typing import NamedTuple, Self

from .runs import MAX_BATCH_ROWS

# How much of the queue's sending is put onto it ahead, and how often a batch is looked at meanwhile at least. So the
# queue does not run dry before a look has noticed that a batch has ended.
AHEAD_SECONDS = 300.0
LOOKS_AHEAD = 5

# Each batch that is ahead is looked at by an invocation of its own, and all of them at once when a campaign starts.
MOST_AHEAD = 40

# The queries a second that are taken for granted where there is no limit.
UNLIMITED_RATE = 30

# Seconds between two looks: while rows end, at least; and while none does, at most. A look is three state transitions,
# and nine of the 25,000 events that the history of an execution may have.
LEAST_PAUSE = 2
MOST_IDLE_PAUSE = 900


def requests_a_query(requests: int, queries: int) -> float:
    """Return how many requests share a query on average; 1 if no queries were counted.

    Examples
    --------
    >>> requests_a_query(3000, 30), requests_a_query(0, 0)
    (100.0, 1.0)
    """
    return requests / queries if queries else 1.0


class Pace(NamedTuple):
    """How fast rows are sent, if they have the provider's limits to themselves.

    Parameters
    ----------
    rate : float
        Rows a second.
    """

    rate: float

    @classmethod
    def of(cls, qps: int, requests: int, queries: int) -> Self:
        """Work out the pace of a campaign.

        Parameters
        ----------
        qps : int
            Queries a second that the provider allows; 0 for no limit.
        requests : int
            The campaign's valid requests.
        queries : int
            The fewest queries that they take.

        Returns
        -------
        Pace
            Its pace.

        Examples
        --------
        >>> Pace.of(10, 3000, 3000).rate, Pace.of(10, 3000, 30).rate
        (10.0, 1000.0)
        """
        return cls((qps or UNLIMITED_RATE) * requests_a_query(requests, queries))

    @property
    def batches_ahead(self) -> int:
        """How many batches have their rows on the queue at a time.

        So many that they take `AHEAD_SECONDS` to send, and no more than `MOST_AHEAD`.

        Examples
        --------
        >>> Pace(1.0).batches_ahead, Pace(10.0).batches_ahead, Pace(1000.0).batches_ahead
        (2, 10, 40)
        """
        return min(MOST_AHEAD, max(2, math.ceil(self.rate * AHEAD_SECONDS / MAX_BATCH_ROWS)))

    def pause(self, waiting: int, batches: int, idle: float) -> int:
        """Return for how many seconds nothing is to be seen of a batch that anybody waits for.

        Parameters
        ----------
        waiting : int
            How many of its rows have not ended.
        batches : int
            How many batches the campaign has.
        idle : float
            Seconds for which none of its rows has ended.

        Returns
        -------
        int
            Seconds until the next look.

        Examples
        --------
        >>> Pace(10.0).pause(300, 334, 0.0), Pace(1000.0).pause(300, 334, 0.0), Pace(1000.0).pause(300, 334, 400.0)
        (60, 3, 100)
        """
        ahead = self.batches_ahead
        most = ahead * MAX_BATCH_ROWS / self.rate / LOOKS_AHEAD
        # As if all batches on the queue were sent at the same pace. They are rather sent one after the other: then
        # this one is done earlier or later than that, and a look too many is made.
        expected = waiting * min(ahead, batches) / self.rate
        return math.ceil(max(LEAST_PAUSE, min(most, expected / 2), min(MOST_IDLE_PAUSE, idle / 4)))
