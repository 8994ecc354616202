"""Client of Cube's ``sendSms``: one POST, and exactly one of the outcomes in `cube_sms.provider.base`.

Nothing above this module and `signing` knows the field names of sendSms's wire format, but for those of the array of
messages, which callers may give (`content`). Facts about the provider come from docs/provider.md; an assumption among
them stands beside a comment that says so.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

from cube_sms import __version__
from cube_sms.provider.base import CubeAnswer, CubeError, Query
from cube_sms.provider.http import Connections
from cube_sms.request import CONTENT_FIELD

from .answers import SUCCESS_CODE, Interpreter
from .signing import signed_body

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from cube_sms.platform import Meaning
    from cube_sms.provider.http import Connection
    from cube_sms.request import SendRequest

    from .credentials import CsssCredentials


class CubeClient:
    """Client of one Cube endpoint, with one pool of keep-alive connections. Safe to share between threads.

    Parameters
    ----------
    base_url : str
        Such as ``https://api-uat.io.linksfield.net/cube/v4``. Plain HTTP is accepted for loopback hosts alone.
    language : {"zh-CN", "en-US"}
        Language of the provider's messages.
    timestamp_unit : {"s", "ms"}
        Unit of the request's timestamp. The provider's page and its overview disagree; the page says seconds.
    connect_timeout : float
        Seconds for the connection, TLS handshake included.
    read_timeout : float
        Seconds for the whole answer, from the moment the request has left, however it trickles in.
    answer_codes : Mapping[str, Meaning], optional
        What the deployment knows of the provider's codes.
    keeps_messages : bool
        Whether the provider's words are kept. They may quote what they are about.
    max_connections : int
        Size of the pool; a further thread waits for a connection.
    ssl_context : ssl.SSLContext, optional
        Where the trusted certificates come from; has to verify. By default that of `cube_sms.provider.http`.
    clock : Callable[[], float]
        Seconds since the epoch.

    Raises
    ------
    ValueError
        Where the URL is none, or not HTTPS, or the SSL context does not verify.

    Examples
    --------
    >>> client = CubeClient("https://api-uat.io.linksfield.net/cube/v4")
    >>> client.send(CsssCredentials("P002276", "secret"), [request])  # doctest: +SKIP
    CubeAnswer(code='0000', message=None, latency=0.21)
    """

    def __init__(
        self,
        base_url: str,
        *,
        language: str = "zh-CN",
        timestamp_unit: Literal["s", "ms"] = "s",
        connect_timeout: float = 3.0,
        read_timeout: float = 10.0,
        answer_codes: Mapping[str, Meaning] | None = None,
        keeps_messages: bool = False,
        max_connections: int = 1,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connections = Connections(
            base_url,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            size=max_connections,
            ssl_context=ssl_context,
            clock=clock,
        )
        self._headers = {
            "Content-Type": "application/json",
            "Accept-Language": language,
            "User-Agent": f"cube-sms/{__version__}",
        }
        self._interpreter = Interpreter(answer_codes or {}, keeps_messages=keeps_messages)
        self._ticks_per_second = 1000 if timestamp_unit == "ms" else 1
        self._clock = clock
        self.longest_post = connect_timeout + read_timeout
        """The most seconds one `send` takes, connecting included but for the look-up of the host's name."""

    def most_recipients(self, credentials: CsssCredentials) -> int:
        """Return the most messages of one query."""
        return 1

    def repeats_within(self, credentials: CsssCredentials) -> float:
        """Return 0: a request that is posted again is another request."""
        return 0.0

    def prepare(self, credentials: CsssCredentials, messages: Sequence[SendRequest]) -> Query[CsssCredentials]:
        """Make a query of one message: see `cube_sms.provider.base.Provider.prepare`."""
        (request,) = messages
        return Query(credentials, (request,))

    def connection(self, credentials: CsssCredentials) -> AbstractContextManager[Connection]:
        """Take one of the connections, which need not be open, as long as a context."""
        return self._connections.take()

    def send(
        self, query: Query[CsssCredentials], *, over: Connection, left: Callable[[], None] = lambda: None
    ) -> CubeAnswer:
        """Sign a request and post it once: see `cube_sms.provider.base.Provider.send`."""
        credentials, (request,) = query.credentials, query.messages
        started = time.perf_counter()
        body = signed_body(self._parameters(credentials, request), credentials.secret)
        try:
            answer = over.post("/sms/sendSms", body, self._headers, left)
            message = self._interpreter.read(answer, credentials, request, self._clock())
            return CubeAnswer(SUCCESS_CODE, message, time.perf_counter() - started)
        except CubeError as error:
            error.latency = time.perf_counter() - started
            raise

    def close(self) -> None:
        """Close every connection. The next POST opens one again."""
        self._connections.close()

    def _parameters(self, credentials: CsssCredentials, request: SendRequest) -> dict[str, Any]:
        # "1" and "" are the values of the page's own example; the provider uses neither.
        content = request.sms_content_list or [{CONTENT_FIELD: request.content or "", "smsType": "", "smsNum": "1"}]
        return {
            "version": "2.0",
            "access_code": credentials.access_code,
            "timestamp": str(int(self._clock() * self._ticks_per_second)),
            "deviceId": request.device_id,
            "messageType": request.message_type,
            "smsContentList": content,
        }
