"""What the clients of all dialects have in common: one POST, and exactly one of the outcomes in `base`."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from cube_sms import __version__

from .answers import Interpreter
from .base import Credentials, CubeAnswer, CubeError, CubeUnavailable, Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from cube_sms.platform import Meaning
    from cube_sms.request import SendRequest

    from .answers import Form
    from .base import Lists
    from .http import Connection, Connections


class Client[C: Credentials, Q: Query[Any]](ABC):
    """A provider in one dialect, over HTTP. Safe to share between threads.

    Parameters
    ----------
    base_url : str
        Such as ``https://api-uat.io.linksfield.net/cube/v4``. Plain HTTP is accepted for loopback hosts alone.
    connections : Connections
        Those to the provider.
    language : {"zh-CN", "en-US"}
        Language of the provider's messages.
    answer_codes : Mapping[str, Meaning], optional
        What the deployment knows of the provider's codes.
    keeps_messages : bool
        Whether the provider's words are kept. They may quote what they are about.
    clock : Callable[[], float]
        Seconds since the epoch.

    Raises
    ------
    ValueError
        If the URL is none, or not HTTPS, or the codes contradict what the dialect knows.
    """

    path: ClassVar[str]
    form: ClassVar[Form]

    def __init__(
        self,
        base_url: str,
        connections: Connections,
        *,
        language: str = "zh-CN",
        answer_codes: Mapping[str, Meaning] | None = None,
        keeps_messages: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connections = connections
        self._server = connections.server(base_url)
        self._path = self._server.path + self.path
        self._headers = {
            "Content-Type": "application/json",
            "Accept-Language": language,
            "User-Agent": f"cube-sms/{__version__}",
        }
        self._interpreter = Interpreter(self.form, answer_codes or {}, keeps_messages=keeps_messages)
        self._clock = clock

    @property
    def longest_post(self) -> float:
        """The most seconds one `send` takes, with a connection that has to be opened."""
        return self._connections.longest_post

    @abstractmethod
    def most_recipients(self, credentials: C) -> int:
        """Return the most messages of one query: see `cube_sms.provider.base.Provider`."""

    @abstractmethod
    def repeats_within(self, credentials: C) -> float:
        """Return how long a query can be repeated: see `cube_sms.provider.base.Provider`."""

    def lists(self, credentials: C) -> Lists[C, Connection] | None:
        """Return that nothing can be asked of a device's messages: see `cube_sms.provider.base.Provider`."""
        return None

    @abstractmethod
    def prepare(self, credentials: C, messages: Sequence[SendRequest]) -> Q:
        """Make a query: see `cube_sms.provider.base.Provider`."""

    @abstractmethod
    def sign(self, query: Q) -> tuple[bytes, Mapping[str, str]]:
        """Return the body of a query, dated and signed now, and the headers that it takes beside those of all."""

    def connection(self, credentials: C) -> AbstractContextManager[Connection]:
        """Take one of the connections, which need not be open, as long as a context."""
        return self._connections.take(self._server)

    def send(self, query: Q, *, over: Connection, left: Callable[[], None]) -> CubeAnswer:
        """Sign a query and post it once: see `cube_sms.provider.base.Provider`.

        Parameters
        ----------
        query : Query
            What `prepare` made.
        over : Connection
            An open connection.
        left : Callable[[], None]
            Called when the request has left.

        Returns
        -------
        CubeAnswer
            For HTTP 200 with the dialect's word for success, and for nothing else.

        Raises
        ------
        CubeRejected, CubeAuthenticationError, CubeThrottled, CubeUnavailable, CubeOutcomeUnknown
            See `cube_sms.provider.base`.
        """
        self.check_line(over)
        with timed() as elapsed:
            body, headers = self.sign(query)
            answer = over.post(self._path, body, {**self._headers, **headers}, left)
            said = self._interpreter.read(answer, query, self._clock())
            return CubeAnswer(said.code, said.message, elapsed(), said.job_id)

    def check_line(self, over: Connection) -> None:
        """Refuse a line to the server of another dialect."""
        if over.origin != self._server.origin:
            # The account has moved to another dialect since the line was taken.
            raise CubeUnavailable("not posted: the connection is to another server")

    def close(self) -> None:
        """Close every connection. The next POST opens one again."""
        self._connections.close()


@contextmanager
def timed() -> Iterator[Callable[[], float]]:
    """Give a query's errors the seconds that it took, and return a function for the seconds so far."""
    started = time.perf_counter()
    try:
        yield lambda: time.perf_counter() - started
    except CubeError as error:
        error.latency = time.perf_counter() - started
        raise
