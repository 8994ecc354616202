"""An HTTP/1.1 proxy in front of one server on loopback, which can look at every call and spoil it."""

from __future__ import annotations

import http.client
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class Call(NamedTuple):
    """A request, and the client's port."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    port: int


class Answer(NamedTuple):
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HangUp(Exception):  # noqa: N818 - an order, not an error
    """Close the client's connection without an answer."""


class HttpProxy:
    """A proxy that runs as long as this context. What it is in front of can be set, and changed, while it runs.

    Parameters
    ----------
    upstream : str
        URL of the server.
    keep_alive : bool
        Whether a client's connection is kept for its next call.
    """

    def __init__(self, upstream: str = "", *, keep_alive: bool = True) -> None:
        self.upstream = upstream
        self.keep_alive = keep_alive
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def connected(self, port: int) -> None:
        """Look at a new connection of a client; may raise `HangUp`."""

    def before(self, call: Call) -> Answer | None:
        """Look at a call before it is forwarded, and perhaps answer it in place of the server; may raise `HangUp`."""

    def after(self, call: Call, answer: Answer) -> Answer:
        """Look at an answer before the client has it, and return what it gets; may raise `HangUp`."""
        return answer

    def handle(self, call: Call) -> Answer:
        """Answer a call."""
        return self.before(call) or self.after(call, self._forward(call))

    def _forward(self, call: Call) -> Answer:
        # A connection for each call: none that the server closes just when it is used again.
        connection = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=60)
        try:
            connection.request(call.method, call.path, call.body, {**call.headers, "Connection": "close"})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read())
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    proxy: HttpProxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that has been killed reads no answer, and a server that is stopped gives none.
        if not isinstance(sys.exception(), OSError | http.client.HTTPException):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        try:
            self.server.proxy.connected(self.client_address[1])
            super().handle()
        except HangUp:
            self.close_connection = True

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""

    def _proxy(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = proxy.handle(Call(self.command, self.path, dict(self.headers), body, self.client_address[1]))
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        if not proxy.keep_alive:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_DELETE = _proxy  # noqa: N815 - names of http.server's
