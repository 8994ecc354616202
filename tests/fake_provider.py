"""A provider that needs no network: what delivery asks of one is all there is to it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cube_sms.provider import CubeAnswer, CubeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cube_sms.provider import Credentials
    from cube_sms.request import SendRequest


class FakeProvider:
    most_recipients, longest_post = 1, 1.0

    def __init__(self, result: CubeAnswer | CubeError) -> None:
        self.result, self.sent = result, list[str]()

    @contextmanager
    def connection(self) -> Iterator[FakeProvider]:
        yield self

    def open(self) -> None: ...
    def close(self) -> None: ...
    def send(
        self, credentials: Credentials, messages: Sequence[SendRequest], *, over: FakeProvider, left: Callable[[], None]
    ) -> CubeAnswer:
        left()
        self.sent += [message.device_id for message in messages]
        if isinstance(self.result, CubeError):
            raise self.result
        return self.result
