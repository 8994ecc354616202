"""The least that a POST costs: bytes into a socket, and bytes out of it."""

from __future__ import annotations

import json
import socket
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from benchmarks.peers.cube import ACCOUNT, URL, signed_body

url = urlsplit(URL)


@cache
def connection() -> socket.socket:
    """Return the one connection."""
    return socket.create_connection((str(url.hostname), url.port or 80))


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Send a batch from the queue."""
    for record in event["Records"]:
        body = signed_body(json.loads(record["body"]), ACCOUNT)
        head = f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
        connection().sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        connection().recv(65536)
    return {"batchItemFailures": []}
