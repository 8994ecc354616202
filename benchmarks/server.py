"""A server that costs the measured process as little as possible: Cube, Secrets Manager and DynamoDB, fixed answers.

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
_CLAIMED = {
    "messageId": {"S": "default#order-7781-wakeup"},
    "state": {"S": "SENDING"},
    "attempts": {"N": "1"},
    "requestHash": {"S": "0" * 64},
    "deviceId": {"S": "89314404000939952211"},
    "createdAt": {"S": "2026-01-12T10:00:00.000Z"},
    "updatedAt": {"S": "2026-01-12T10:00:00.000Z"},
    "leaseUntil": {"N": "9999999999.5"},
    "owner": {"S": "0" * 32},
    "ttl": {"N": "9999999999"},
    "unsettled": {"BOOL": False},
    "possiblyDuplicated": {"BOOL": False},
}
_CLAIM = _answer({"Attributes": _CLAIMED})
_FINISH = _answer({"Attributes": _CLAIMED | {"state": {"S": "SENT"}}})


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    received = b""
    while data := connection.recv(65536):
        received += data
        head, end, body = received.partition(b"\r\n\r\n")
        if end and len(body) >= _content_length(head):
            connection.sendall(_answer_to(head, body))
            received = b""


def _answer_to(head: bytes, body: bytes) -> bytes:
    if not head.startswith(b"POST / "):
        return _ACCEPTED
    if b"DynamoDB" not in head:
        return _SECRET
    return _FINISH if b"REMOVE leaseUntil" in body else _CLAIM


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
