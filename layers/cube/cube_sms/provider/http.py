"""Connections to Cube: what can go wrong on the wire, before the request has left and after.

The provider counts connections (3 per calling IP), so the pool has a fixed size and its connections are kept alive.
Nothing is retried or redirected here.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import allowed_gai_family, create_connection

from cube_sms.platform import default_ssl_context, parse_base_url

from .base import CubeOutcomeUnknown, CubeUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# This much of an answer is read. An envelope has some hundred bytes.
MAX_ANSWER_BYTES = 64 * 1024

# A connection that has been idle for longer is not used again. A device between us and Cube may have forgotten it: a
# NAT gateway drops idle flows after 350 s. A request sent into it would have an unknown outcome.
MAX_IDLE_SECONDS = 30.0


class Answer(NamedTuple):
    """A complete HTTP answer.

    Parameters
    ----------
    status : int
        HTTP status.
    retry_after : str or None
        The header of that name.
    body : bytes
        Decompressed, at most `MAX_ANSWER_BYTES`.
    """

    status: int
    retry_after: str | None
    body: bytes


class Connections:
    """All keep-alive connections to the provider, whatever the server: it counts those of an address together.

    Safe to share between threads.

    Parameters
    ----------
    connect_timeout, read_timeout : float
        Seconds for the connection, and for the whole answer once the request has left.
    size : int
        The most connections that are open at a time; a further thread waits for one.
    ssl_context : ssl.SSLContext, optional
        Has to verify; `default_ssl_context` where there is none.
    clock : Callable[[], float]
        Seconds since the epoch.

    Raises
    ------
    ValueError
        If the SSL context does not verify.
    """

    def __init__(
        self,
        *,
        connect_timeout: float,
        read_timeout: float,
        size: int,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._size = size
        self._places = threading.Semaphore(size)
        # Guards what follows.
        self._lock = threading.Lock()
        self._taken = 0
        self._idle: list[Connection] = []
        self._closings = 0
        if ssl_context and (ssl_context.verify_mode != ssl.CERT_REQUIRED or not ssl_context.check_hostname):
            raise ValueError("ssl_context: must verify the certificate and the host name")
        self._ssl_context = ssl_context
        self._options: dict[str, Any] = {"timeout": connect_timeout, "read_timeout": read_timeout, "clock": clock}
        self.longest_post = connect_timeout + read_timeout
        """The most seconds one POST takes, connecting included, except for the look-up of the host's name."""
        # The last reference may be in a cycle, in which the collector would finalise the sockets before a `__del__`.
        weakref.finalize(self, _close_all, self._idle)

    def server(self, base_url: str) -> Server:
        """Return one of the servers to which they go.

        Parameters
        ----------
        base_url : str
            ``https://host[:port][/path]``; plain HTTP is accepted for loopback hosts alone.

        Returns
        -------
        Server
            What makes connections to it.

        Raises
        ------
        ValueError
            If the URL is none, or not HTTPS.
        """
        url = parse_base_url(base_url)
        options = {**self._options, "host": str(url.hostname), "port": url.port}
        kind: type[_HTTPConnection] = _HTTPConnection
        if url.scheme == "https":
            kind = _HTTPSConnection
            options["ssl_context"] = self._ssl_context or default_ssl_context()
        return Server((url.scheme, str(url.hostname), url.port), url.path.rstrip("/"), partial(kind, **options))

    @contextmanager
    def take(self, server: Server) -> Iterator[Connection]:
        """Take a connection to a server, which need not be open, as long as this context."""
        with self._places:
            with self._lock:
                closings, connection = self._closings, self._pop(server)
                self._taken += 1
            try:
                yield connection
            finally:
                with self._lock:
                    self._taken -= 1
                    if is_kept := closings == self._closings:
                        self._idle.append(connection)
                if not is_kept:
                    connection.close()

    def _pop(self, server: Server) -> Connection:
        for number in reversed(range(len(self._idle))):
            if self._idle[number].origin == server.origin:
                return self._idle.pop(number)
        if self._taken + len(self._idle) >= self._size:
            # The provider counts an idle connection too: one to another server makes room.
            self._idle.pop(0).close()
        return Connection(server.make(), server.origin)

    def close(self) -> None:
        """Close every connection, those in use when they are returned. The next user of one can open it again."""
        with self._lock:
            self._closings += 1
            _close_all(self._idle)


def _close_all(idle: list[Connection]) -> None:
    while idle:
        idle.pop().close()


class Server(NamedTuple):
    """A server, and where on it the API is.

    Parameters
    ----------
    origin : tuple
        Scheme, host and port: what a connection goes to.
    path : str
        The path of the base URL, without a slash at its end.
    make : Callable[[], HTTPConnection]
        Makes a connection to it.
    """

    origin: tuple[str, str, int | None]
    path: str
    make: Callable[[], _HTTPConnection]


class Connection:
    """One keep-alive connection, open or not.

    To open it and to post are two steps, because opening takes a while. The time, the lease and the limits have to be
    checked after it, right before the request leaves.

    Parameters
    ----------
    http : urllib3.connection.HTTPConnection
        The HTTP connection.
    origin : tuple
        Its destination.
    """

    def __init__(self, http: _HTTPConnection, origin: tuple[str, str, int | None]) -> None:
        self._http = http
        self.origin = origin

    def open(self) -> None:
        """Open the connection, or open it again if it cannot be used any more.

        It cannot if the server has closed it, if it was idle for too long, or if there is anything to read. An
        unexpected answer would be taken for the answer to the next request.

        Raises
        ------
        CubeUnavailable
            If no connection comes about.
        """
        if self._http.is_connected:
            return
        self._http.close()
        try:
            self._http.connect()
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            self._http.close()
            raise CubeUnavailable(f"no connection ({type(error).__name__})") from error

    def post(self, path: str, body: bytes, headers: Mapping[str, str], left: Callable[[], None]) -> Answer:
        """Post once, over a connection that is open.

        Parameters
        ----------
        path : str
            The whole path.
        body : bytes
            Sent as it is.
        headers : Mapping[str, str]
            Sent as they are.
        left : Callable[[], None]
            Called when the request has left.

        Returns
        -------
        Answer
            Whatever its status; a redirect is an answer like any other.

        Raises
        ------
        CubeOutcomeUnknown
            If anything breaks.
        """
        return self._request("POST", path, body, headers, left)

    def get(self, path: str, headers: Mapping[str, str], left: Callable[[], None]) -> Answer:
        """Get once, over a connection that is open.

        Parameters
        ----------
        path : str
            The whole path, with its query.
        headers, left
            As for `post`.

        Returns
        -------
        Answer
            As for `post`.

        Raises
        ------
        CubeOutcomeUnknown
            If anything breaks.
        """
        return self._request("GET", path, None, headers, left)

    def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], left: Callable[[], None]
    ) -> Answer:
        response = None
        try:
            # A server may answer, and close the connection, before it has read all of a request.
            with suppress(BrokenPipeError, ConnectionResetError):
                self._http.request(method, path, body, headers, preload_content=False)
            left()
            response = self._http.getresponse()
            if response.status < 200:
                # http.client takes an interim answer other than 100 for the answer, and leaves that one unread.
                self.close()
                raise CubeOutcomeUnknown(f"interim answer HTTP {response.status}", status=response.status)
            content = response.read(MAX_ANSWER_BYTES + 1, decode_content=True)
            if len(content) > MAX_ANSWER_BYTES:
                raise CubeOutcomeUnknown(f"the answer is over {MAX_ANSWER_BYTES} bytes", status=response.status)
        # The texts of these errors stay out of ours: they can quote bytes of the answer.
        except (TimeoutError, urllib3.exceptions.TimeoutError) as error:
            raise CubeOutcomeUnknown("no complete answer in time") from error
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            raise CubeOutcomeUnknown(f"the connection broke before the answer ({type(error).__name__})") from error
        finally:
            if response is None or not response.closed:
                self.close()
        return Answer(response.status, response.headers.get("Retry-After"), content)

    def close(self) -> None:
        """Close the connection. It can be opened again."""
        self._http.close()


class _AnswerReader(io.RawIOBase):
    """The socket's side of an answer, with one deadline for all of it."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, deadline: float) -> None:
        self._sock = sock
        self._raw = raw
        self._deadline = deadline
        self.is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.is_over:
            return 0
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the whole answer took too long")
        self._sock.settimeout(remaining)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _AnswerBuffer(io.BufferedReader):
    """An answer, and whatever came with its last bytes."""

    def __init__(self, reader: _AnswerReader, note_rest: Callable[[], None]) -> None:
        super().__init__(reader)
        self._reader = reader
        self._note_rest = note_rest

    def close(self) -> None:
        if not self.closed:
            self._reader.is_over = True
            if self.peek(1):
                self._note_rest()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    def __init__(
        self, sock: socket.socket, *args: Any, read_timeout: float, note_rest: Callable[[], None], **options: Any
    ) -> None:
        super().__init__(sock, *args, **options)
        reader = _AnswerReader(sock, self.fp.detach(), time.monotonic() + read_timeout)
        self.fp = _AnswerBuffer(reader, note_rest)


class _HTTPConnection(HTTPConnection):
    def __init__(self, *args: Any, read_timeout: float, clock: Callable[[], float], **options: Any) -> None:
        super().__init__(*args, **options)
        self.response_class = partial(  # type: ignore[assignment]
            _BoundedResponse, read_timeout=read_timeout, note_rest=self._note_rest
        )
        # Not the monotonic clock: it may stand still while Lambda has the environment frozen.
        self._clock = clock
        self._last_used = 0.0
        self._has_rest = False

    def _note_rest(self) -> None:
        self._has_rest = True

    def _new_conn(self) -> socket.socket:
        # urllib3 gives each address of the host the whole time, and the TLS handshake as much again. Here the addresses
        # share it, so that one which does not answer leaves time for the others, and the handshake has what is left.
        found = socket.getaddrinfo(self.host, self.port, allowed_gai_family(), socket.SOCK_STREAM)
        deadline = time.monotonic() + float(self.timeout or 0)
        failed = OSError("the host has no address")
        for tried, (*_, address) in enumerate(found):
            share = max(0.001, deadline - time.monotonic()) / (len(found) - tried)
            try:
                sock = create_connection((str(address[0]), int(address[1])), share, socket_options=self.socket_options)
            except OSError as error:
                failed = error
            else:
                sock.settimeout(max(0.001, deadline - time.monotonic()))
                return sock
        raise failed

    def connect(self) -> None:
        super().connect()
        self._last_used = self._clock()
        self._has_rest = False

    def request(self, *args: Any, **options: Any) -> None:
        super().request(*args, **options)
        self._last_used = self._clock()

    @property
    def is_connected(self) -> bool:
        if self.sock is None or self._has_rest or self._clock() - self._last_used > MAX_IDLE_SECONDS:
            return False
        # A look whether there is something to read is not enough: TLS sends words of its own, and keeps what it has
        # decrypted.
        self.sock.settimeout(0)
        try:
            self.sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        return False


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    pass
