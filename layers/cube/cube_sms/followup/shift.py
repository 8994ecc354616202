"""One run at a time, and its share of the daily quota: one item in DynamoDB."""

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

# The share is spread over the day, so that messages of the evening get queries too. So many seconds of the share may be
# used in advance.
AHEAD = 3600.0

# If another write was first, the write is tried again on its result.
TRIES = 3


def allowed(share: int, now: float) -> float:
    """Return how many queries of the day's share are allowed by now.

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
    """The right of one worker to run the follow-up, and its count of queries.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    share : int
        Queries that all runs of a day may make; 0 for no limit.
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
        # The item when last read, in DynamoDB's types.
        self._seen: dict[str, Any] = {}

    def begin(self, until: float) -> bool:
        """Begin a run if no other one is under way: one write.

        Parameters
        ----------
        until : float
            When the right to run expires, in seconds since the epoch.

        Returns
        -------
        bool
            Whether the run has begun.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        self._worker = secrets.token_urlsafe(6)
        for _ in range(TRIES):
            if self._number("until") >= self._clock():
                # The run that this worker saw may have ended since.
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
        """End the run, so that the next one can begin before the right expires: one write.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        update = ConditionalUpdate()
        update.require(update.equal("worker", self._worker))
        update.remove("until", "worker")
        self._write(update)

    def count(self) -> bool:
        """Count a query in advance, and return whether it is allowed: one write.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        if not self._share:
            return True
        now = self._clock()
        today = int(now // DAY)
        # If a run outlasts its right, two runs may count at once. Each repeats on what it has seen.
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
        """Return a number of the item when last read; 0 if it is missing or no number."""
        try:
            return float(self._seen[name]["N"])
        except (LookupError, TypeError, ValueError):
            return 0.0

    def _as_seen(self, update: ConditionalUpdate, name: str) -> str:
        return update.same(name, self._seen[name]) if name in self._seen else update.absent(name)

    def _write(self, update: ConditionalUpdate) -> bool:
        self._seen, is_written = update.write(self._client, self._table, SHIFT_KEY)
        return is_written
