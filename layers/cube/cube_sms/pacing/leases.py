"""The connections that the API's workers have together: leases in one item in DynamoDB.

AWS bounds how many workers a queue has. For a function that is called it offers reserved concurrency alone, and a new
account has none to reserve. So an invocation takes one of a few places before it sends, and gives it back afterwards.
That is two writes for a call.
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

# In the table of records, beside the gate.
LEASES_KEY = "#connections"

# What a lease holds on top of its time, for clocks that differ.
MARGIN = 1.0

# No lease lasts longer: an invocation of the API has 29 s.
LONGEST = 60.0

# How long an invocation waits for a place, and between two looks, in seconds. It is paid while it waits.
PATIENCE = 2.0
PAUSE = 0.15


class ConnectionLeases:
    """Places for connections: each is had by one invocation at a time, and for no longer than that can run.

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
        # The item as it was last seen, in DynamoDB's types.
        self._seen: dict[str, Any] = {}

    @contextlib.contextmanager
    def hold(self, *, until: float) -> Iterator[None]:
        """Hold a place while something has a connection.

        Parameters
        ----------
        until : float
            Seconds since the epoch at which whoever holds it is cut off. A place that was not given back, since its
            worker died, is free again then.

        Raises
        ------
        ConnectionsTakenError
            Where every place is taken.
        RecordsUnavailableError
            Where DynamoDB is away.
        """
        if not self._places:
            yield
            return
        place, lease = self._take(until)
        try:
            yield
        finally:
            # If DynamoDB is away, it is free when the lease ends.
            with contextlib.suppress(RecordsUnavailableError):
                self._give_back(place, lease)

    def _take(self, until: float) -> tuple[str, str]:
        lease = f"{until + MARGIN:.3f} {secrets.token_urlsafe(6)}"
        give_up_at = self._clock() + PATIENCE
        while self._clock() < give_up_at:
            place = next(filter(self._is_free, self._places), None)
            if place is None:
                self._sleep(PAUSE * self._uniform(0.5, 1.5))
                # Nothing tells when a place is given back but one more write.
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
            # There is none, or what there is cannot be read. It is overwritten.
            return True
        # A lease that no invocation could have taken was written by hand.
        return not 0.0 < left <= LONGEST

    def _give_back(self, place: str, lease: str) -> None:
        update = ConditionalUpdate()
        update.require(update.equal(place, lease))
        update.remove(place)
        self._write(update)

    def _write(self, update: ConditionalUpdate) -> bool:
        self._seen, is_written = update.write(self._client, self._table, LEASES_KEY)
        return is_written
