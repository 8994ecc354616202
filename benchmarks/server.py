"""A server that costs the measured process as little as possible: Cube and Secrets Manager with fixed answers.

It runs in a process of its own, so that its CPU is not counted, and answers as soon as a request is complete.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Self

from benchmarks.functions import ROOT

if TYPE_CHECKING:
    from types import TracebackType


class Server:
    """The server, as long as this context runs."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.server"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The end of its standard input ends it, and so does our own end.
        self._process.communicate(timeout=10)


def _answer(body: object) -> bytes:
    content = json.dumps(body, separators=(",", ":")).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


_ACCEPTED = _answer({"code": "0000", "data": None, "message": "success", "success": True})
_ACCOUNTS = {"default": {"access_code": "P002276", "secret": "test-secret"}}
_SECRET = _answer({"Name": "cube-sms", "SecretString": json.dumps(_ACCOUNTS)})


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    received = b""
    while data := connection.recv(65536):
        received += data
        head, end, body = received.partition(b"\r\n\r\n")
        if end and len(body) >= _content_length(head):
            connection.sendall(_SECRET if head.startswith(b"POST / ") else _ACCEPTED)
            received = b""


def _content_length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])


def _accept(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=[connection], daemon=True).start()


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        threading.Thread(target=_accept, args=[listening], daemon=True).start()
        sys.stdin.read()
        os._exit(0)
