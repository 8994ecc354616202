"""One run at a time, and how much of the day's quota it may ask with: one item in DynamoDB."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from cube_sms.platform import DAY, ConditionalUpdate

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

# In the table of records, beside the gate.
SHIFT_KEY = "#followup"

# What is asked is spread over the day, since what is sent in the evening has receipts too: by each moment no more than
# the day's part until then, and until so many seconds later.
AHEAD = 3600.0

# A write that others forestall is tried again on what they left.
TRIES = 3


def allowed(share: int, now: float) -> float:
    """Return how many queries of a day's share may have been made by now.

    Parameters
    ----------
    share : int
        Queries a day.
    now : float
        Seconds since the epoch.

    Examples
    --------
    >>> allowed(1200, 0.0), allowed(1200, 43_200.0), allowed(1200, 86_399.0)
    (50.0, 650.0, 1200)
    """
    return min(share, share * (now % DAY + AHEAD) / DAY)


class Shift:
    """A run that follows up, as one worker sees it.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    share : int
        Queries that all runs of a day may make together; 0 for no limit.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self, client: DynamoDBClient, table: str, share: int, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._table = table
        self._share = share
        self._clock = clock
        self._worker = ""
        # The item as it was last seen, in DynamoDB's types.
        self._seen: dict[str, Any] = {}

    def begin(self, until: float) -> bool:
        """Begin a run, unless another one is under way: one write.

        Parameters
        ----------
        until : float
            Seconds since the epoch at which it is over, however it ends.

        Returns
        -------
        bool
            Whether it has begun.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is away.
        """
        self._worker = secrets.token_urlsafe(6)
        for _ in range(TRIES):
            if self._number("until") >= self._clock():
                # It may have ended since.
                self._seen.pop("until")
            update = ConditionalUpdate()
            update.require(self._as_seen(update, "until"))
            update.set("until", until)
            update.set("worker", self._worker)
            if self._write(update):
                return True
            if self._number("until") >= self._clock():
                return False
        return False

    def end(self) -> None:
        """End the run, so that the next one can begin before its time is over: one write.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is away.
        """
        update = ConditionalUpdate()
        update.require(update.equal("worker", self._worker))
        update.remove("until", "worker")
        self._write(update)

    def count(self) -> bool:
        """Count a query before it is made, and return whether it may be made: one write.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is away.
        """
        if not self._share:
            return True
        now = self._clock()
        today = int(now // DAY)
        # Two runs may count at once, though they should not. Each tries on what it has seen.
        for _ in range(TRIES):
            asked = self._number("asked") if self._number("day") == today else 0.0
            if asked >= allowed(self._share, now):
                return False
            update = ConditionalUpdate()
            for name in ("day", "asked"):
                update.require(self._as_seen(update, name))
            update.set("day", today)
            update.set("asked", asked + 1)
            if self._write(update):
                return True
        return False

    def _number(self, name: str) -> float:
        """Return a number as it was seen; 0 if there is none, or somebody has written something else."""
        try:
            return float(self._seen[name]["N"])
        except (LookupError, TypeError, ValueError):
            return 0.0

    def _as_seen(self, update: ConditionalUpdate, name: str) -> str:
        return update.same(name, self._seen[name]) if name in self._seen else update.absent(name)

    def _write(self, update: ConditionalUpdate) -> bool:
        self._seen, is_written = update.write(self._client, self._table, SHIFT_KEY)
        return is_written
