"""A run: whatever is due is looked at by the follower of its kind."""

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

# Keys of each shard that are looked at before the index is asked again.
MOST = 25


class Follower(Protocol):
    """Looks at items of one kind that are due."""

    def follow(self, keys: Sequence[str], *, until: float) -> Iterator[Told]:
        """Look at items. What it does not come to stays due.

        Parameters
        ----------
        keys : sequence of str
            The items' keys, what has been due for the longest first.
        until : float
            Seconds since the epoch until when all has to be done.

        Yields
        ------
        Told
            What logs and metrics tell.

        Raises
        ------
        NotNowError, ShareSpentError
            If the provider cannot be asked now.
        RecordsUnavailableError
            If DynamoDB is away.
        """


class FollowUp:
    """Looks at all that is due, one run at a time.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    shift : Shift
        Lets one run work at a time.
    followers : Mapping[str, Follower]
        Who looks at which kind of items (`cube_sms.platform.due.kind_of`), in the order in which they do.
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
        """Look at what is due.

        Parameters
        ----------
        until : float
            Seconds since the epoch until when all has to be done.

        Yields
        ------
        Told
            What logs and metrics tell.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is away.
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
