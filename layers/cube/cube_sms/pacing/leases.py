"""The connections of all workers of the API together: leases in one item in DynamoDB.

AWS limits how many workers a queue has. For a function that is called, AWS offers only reserved concurrency, and a new
AWS account has none to reserve. So an invocation leases one of a few places while it sends: two writes for a call.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import time
from typing import TYPE_CHECKING, Any

from cube_sms.platform import ConditionalUpdate, RecordsUnavailableError

from .errors import ConnectionsTakenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

# A key of the table of records, as `GATE_KEY` is.
LEASES_KEY = "#connections"

# Seconds that a lease lasts longer than needed, since clocks differ.
MARGIN = 1.0

# No lease lasts longer: an invocation of the API has 29 s.
LONGEST = 60.0

# Seconds that an invocation waits for a place, and seconds between two looks. AWS bills the wait.
PATIENCE = 2.0
PAUSE = 0.15


class ConnectionLeases:
    """Places for connections: an invocation leases one for as long as it can run at most.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    count : int
        How many places there are; 0 for no limit.
    clock : Callable[[], float]
        Seconds since the epoch.
    sleep : Callable[[float], None]
        Waits a number of seconds.
    uniform : Callable[[float, float], float]
        The source of randomness.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        count: int,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._client = client
        self._table = table
        self._places = [f"place{index}" for index in range(count)]
        self._clock = clock
        self._sleep = sleep
        self._uniform = uniform
        # The item as this worker last saw it, in DynamoDB's types.
        self._seen: dict[str, Any] = {}

    @contextlib.contextmanager
    def hold(self, *, until: float) -> Iterator[None]:
        """Lease a place for as long as the caller uses a connection.

        Parameters
        ----------
        until : float
            Seconds since the epoch: when Lambda ends the invocation. If it crashes before, its place is free then.

        Raises
        ------
        ConnectionsTakenError
            If every place is taken.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        if not self._places:
            yield
            return
        place, lease = self._take(until)
        try:
            yield
        finally:
            # If DynamoDB is unavailable, the place is free when the lease ends.
            with contextlib.suppress(RecordsUnavailableError):
                self._give_back(place, lease)

    def _take(self, until: float) -> tuple[str, str]:
        lease = f"{until + MARGIN:.3f} {secrets.token_urlsafe(6)}"
        give_up_at = self._clock() + PATIENCE
        while self._clock() < give_up_at:
            place = next(filter(self._is_free, self._places), None)
            if place is None:
                self._sleep(PAUSE * self._uniform(0.5, 1.5))
                # Only one more write shows whether a place is free.
                self._seen = {}
                continue
            update = ConditionalUpdate()
            seen = self._seen.get(place)
            update.require(update.same(place, seen) if seen else update.absent(place))
            update.set(place, lease)
            if self._write(update):
                return place, lease
        raise ConnectionsTakenError(self._clock() + 1.0)

    def _is_free(self, place: str) -> bool:
        try:
            left = float(self._seen[place]["S"].partition(" ")[0]) - self._clock()
        except (LookupError, TypeError, ValueError):
            # There is no lease, or an unreadable one. The next one replaces it.
            return True
        # A longer lease than an invocation takes was written by hand.
        return not 0.0 < left <= LONGEST

    def _give_back(self, place: str, lease: str) -> None:
        update = ConditionalUpdate()
        update.require(update.equal(place, lease))
        update.remove(place)
        self._write(update)

    def _write(self, update: ConditionalUpdate) -> bool:
        self._seen, is_written = update.write(self._client, self._table, LEASES_KEY)
        return is_written
