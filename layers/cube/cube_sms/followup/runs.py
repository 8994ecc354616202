"""A run: each due item goes to the follower of its kind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from cube_sms.pacing import NotNowError
from cube_sms.platform import due_keys

from .asking import ShareSpentError
from .report import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from .shift import Shift

# Keys that a run takes from each shard before it queries the index again.
MOST = 25


class Follower(Protocol):
    """Handles due items of one kind."""

    def follow(self, keys: Sequence[str], *, until: float) -> Iterator[Told]:
        """Handle items. If time runs out, the others stay due.

        Parameters
        ----------
        keys : sequence of str
            Keys of the items, the longest due first.
        until : float
            When it has to end, in seconds since the epoch.

        Yields
        ------
        Told
            Reports for logs and metrics.

        Raises
        ------
        NotNowError, ShareSpentError
            If the provider cannot be queried now.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """


class FollowUp:
    """Handles all due items, one run at a time.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    shift : Shift
        Allows one run at a time.
    followers : Mapping[str, Follower]
        The follower of each kind of items (`cube_sms.platform.due.kind_of`), in their order.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        shift: Shift,
        followers: Mapping[str, Follower],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._table = table
        self._shift = shift
        self._followers = followers
        self._clock = clock

    def run(self, *, until: float) -> Iterator[Told]:
        """Handle the due items.

        Parameters
        ----------
        until : float
            When it has to end, in seconds since the epoch.

        Yields
        ------
        Told
            Reports for logs and metrics.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        if not self._shift.begin(until):
            yield Told(text="another run is under way")
            return
        try:
            for kind, follower in self._followers.items():
                try:
                    yield from self._follow(kind, follower, until)
                except (NotNowError, ShareSpentError) as error:
                    yield Told(
                        text="not asked now", fields={"reason": str(error) or "the share of the quota is used up"}
                    )
        finally:
            self._shift.end()

    def _follow(self, kind: str, follower: Follower, until: float) -> Iterator[Told]:
        seen: set[str] = set()
        while self._clock() < until:
            keys = [
                key for key in due_keys(self._client, self._table, kind, self._clock(), most=MOST) if key not in seen
            ]
            if not keys:
                return
            seen.update(keys)
            yield from follower.follow(keys, until=until)
