"""Client of Cube's ``sendSms``: one POST, and exactly one of the outcomes in `cube_sms.errors`.

Nothing above this module and `signing` knows the field names of sendSms's wire format, but for those of the array of
messages, which callers may give (`content`). Facts about the provider come from docs/provider.md; an assumption among
them stands beside a comment that says so.
"""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from . import __version__
from .connection import Connections
from .content import CONTENT_FIELD
from .errors import (
    CubeAuthenticationError,
    CubeError,
    CubeOutcomeUnknown,
    CubeRejected,
    CubeThrottled,
    CubeUnavailable,
)
from .models import mask_device_id
from .signing import signed_body

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .connection import Answer, Connection
    from .credentials import Credentials
    from .models import SendRequest

MAX_MESSAGE_LENGTH = 256
SUCCESS_CODE = "0000"


class CubeAnswer(NamedTuple):
    """Cube's answer to an accepted request.

    Parameters
    ----------
    code, message : str
        The provider's code ("0000") and message.
    latency : float
        Seconds from the start of the POST, over a connection that was open, to the end of the answer.
    """

    code: str
    message: str
    latency: float


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
    max_connections : int
        Size of the pool; a further thread waits for a connection.
    ssl_context : ssl.SSLContext, optional
        Where the trusted certificates come from; has to verify. By default `cube_sms.connection.default_ssl_context`.
    clock : Callable[[], float]
        Seconds since the epoch.

    Raises
    ------
    ValueError
        Where the URL is none, or not HTTPS, or the SSL context does not verify.

    Examples
    --------
    >>> client = CubeClient("https://api-uat.io.linksfield.net/cube/v4")
    >>> client.send_sms(Credentials("P002276", "secret"), request)  # doctest: +SKIP
    CubeAnswer(code='0000', message='success', latency=0.21)
    """

    def __init__(
        self,
        base_url: str,
        *,
        language: str = "zh-CN",
        timestamp_unit: Literal["s", "ms"] = "s",
        connect_timeout: float = 3.0,
        read_timeout: float = 10.0,
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
        self._ticks_per_second = 1000 if timestamp_unit == "ms" else 1
        self._clock = clock
        self.longest_post = connect_timeout + read_timeout
        """The most seconds one `send_sms` takes, connecting included but for the look-up of the host's name."""

    def connection(self) -> AbstractContextManager[Connection]:
        """Take one of the connections, which need not be open, as long as a context."""
        return self._connections.take()

    def send_sms(
        self,
        credentials: Credentials,
        request: SendRequest,
        *,
        over: Connection | None = None,
        left: Callable[[], None] = lambda: None,
    ) -> CubeAnswer:
        """Sign the request and post it once.

        Parameters
        ----------
        credentials : Credentials
            The account's access code and secret.
        request : SendRequest
            What to send.
        over : Connection, optional
            An open connection; by default one that is opened for this.
        left : Callable[[], None]
            Called when the request has left.

        Returns
        -------
        CubeAnswer
            For HTTP 200 with ``success`` true and ``code`` "0000", and for nothing else.

        Raises
        ------
        CubeRejected, CubeAuthenticationError, CubeThrottled, CubeUnavailable, CubeOutcomeUnknown
            See `cube_sms.errors`.
        """
        if over is None:
            with self.connection() as connection:
                connection.open()
                return self.send_sms(credentials, request, over=connection, left=left)
        started = time.perf_counter()
        body = signed_body(self._parameters(credentials, request), credentials.secret)
        try:
            answer = over.post("/sms/sendSms", body, self._headers, left)
            envelope = _envelope(answer.body)
            is_success = bool(envelope and envelope.success and envelope.code == SUCCESS_CODE)
            if envelope:
                envelope.code = _redact(envelope.code, credentials, request)
                envelope.message = _redact(envelope.message or "", credentials, request)
                if is_success and answer.status == 200:
                    return CubeAnswer(SUCCESS_CODE, envelope.message, time.perf_counter() - started)
            raise _error(answer, envelope, self._clock(), is_success=is_success)
        except CubeError as error:
            error.latency = time.perf_counter() - started
            raise

    def close(self) -> None:
        """Close every connection. The next POST opens one again."""
        self._connections.close()

    def _parameters(self, credentials: Credentials, request: SendRequest) -> dict[str, Any]:
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


class _Envelope(msgspec.Struct):
    code: str
    success: bool
    message: str | None = None


_DECODER = msgspec.json.Decoder(_Envelope)


def _envelope(answer: bytes) -> _Envelope | None:
    try:
        return _DECODER.decode(answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _error(answer: Answer, envelope: _Envelope | None, now: float, *, is_success: bool) -> CubeError:
    status = answer.status
    reason = f"HTTP {status}"
    details: dict[str, Any] = {"status": status}
    if envelope:
        details |= {"code": envelope.code, "message": envelope.message}
    match status:
        case 400:
            return CubeRejected(reason, **details)
        case 401 | 403:
            return CubeAuthenticationError(reason, **details)
        case 429:
            return CubeThrottled(reason, retry_after=_retry_after(answer.retry_after, now), **details)
        case 502 | 503:
            return CubeUnavailable(reason, retry_after=_retry_after(answer.retry_after, now), **details)
    # A server that broke, or sent us elsewhere, may say anything; another one that says no means it.
    if envelope and not is_success and (status < 300 or 400 <= status < 500):
        return CubeRejected(f"{reason}, without success", **details)
    return CubeOutcomeUnknown(reason if status != 200 else "the answer is no envelope", **details)


def _retry_after(value: str | None, now: float) -> float | None:
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _redact(text: str, credentials: Credentials, request: SendRequest) -> str:
    # The provider's words are logged and kept, and may quote what they are about.
    # The longest first, or a text within another one would leave the rest of it.
    for hidden in sorted((*request.texts, credentials.secret, credentials.access_code), key=len, reverse=True):
        if hidden in text:
            # A short one is looked for as a word of its own, or it would tear up every word that happens to hold it.
            pattern = re.escape(hidden) if len(hidden) > 3 else rf"(?<!\w){re.escape(hidden)}(?!\w)"
            text = re.sub(pattern, "[redacted]", text, flags=re.ASCII)
    text = text.replace(request.device_id, mask_device_id(request.device_id))
    return text[:MAX_MESSAGE_LENGTH]
