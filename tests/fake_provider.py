"""A provider that needs no network: what delivery asks of one is all there is to it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cube_sms.provider import CubeAnswer, CubeError, Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cube_sms.provider import Credentials
    from cube_sms.request import SendRequest


class FakeProvider:
    longest_post = 1.0

    def __init__(self, result: CubeAnswer | CubeError) -> None:
        self.result, self.sent = result, list[str]()

    def most_recipients(self, credentials: Credentials) -> int:
        return 1

    def repeats_within(self, credentials: Credentials) -> float:
        return 0.0

    def lists(self, credentials: Credentials) -> None:
        return None

    def prepare(self, credentials: Credentials, messages: Sequence[SendRequest]) -> Query[Credentials]:
        return Query(credentials, tuple(messages))

    @contextmanager
    def connection(self, credentials: Credentials) -> Iterator[FakeProvider]:
        yield self

    def open(self) -> None: ...
    def close(self) -> None: ...
    def send(self, query: Query[Credentials], *, over: FakeProvider, left: Callable[[], None]) -> CubeAnswer:
        left()
        self.sent += [message.device_id for message in query.messages]
        if isinstance(self.result, CubeError):
            raise self.result
        return self.result
