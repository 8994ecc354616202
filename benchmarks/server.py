"""A server in place of Cube and AWS: answers that are always the same, as late as is asked for, and no limits.

It runs in a process of its own, so that its CPU is not counted. It accepts every update of a record without a check,
keeps what the update has for a while, and returns it: it serves every writer. Workers may compete for the gate alone.
It refuses messages for a queue: a message that was not sent is an error in a benchmark.

The base URL of Cube has the delay of its answers (`Server.cube_url`). The name of a secret has the number of its
accounts: ``accounts-2`` has `default` and `account-1`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.request import urlopen

from benchmarks.report import ROOT
from local import items

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AWS_SECONDS = 0.005

# Longer than a batch, and so than any message is under way. A benchmark may send a hundred thousand.
_KEPT_ITEMS = 5000
_GATE = {"messageId": {"S": "#gate"}}
_ACCEPTED = {"code": "0000", "data": None, "message": "success", "success": True}


class Server(NamedTuple):
    """The server."""

    aws_url: str

    def cube_url(self, delay: float = 0.0) -> str:
        """Return the base URL of a Cube that answers after so many seconds."""
        return f"{self.aws_url}/{delay * 1000:g}/cube/v4"

    def calls(self) -> Counter[str]:
        """Return how often each operation has been called."""
        with urlopen(f"{self.aws_url}/calls") as answer:  # nosec B310 # our own server
            return Counter(json.load(answer))


@contextmanager
def serving(*certificate: Path, aws_seconds: float = AWS_SECONDS) -> Iterator[Server]:
    """Run the server, which talks TLS with a certificate and its key, for as long as this context."""
    command = [sys.executable, "-m", "benchmarks.server", str(aws_seconds), *map(str, certificate)]
    # The end of its standard input ends it, and so does our own end.
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield Server(f"{'https' if certificate else 'http'}://127.0.0.1:{int(process.stdout.readline())}")
        process.communicate(timeout=10)


class _Answers:
    """What is answered to each call."""

    def __init__(self, aws_seconds: float) -> None:
        self._aws_seconds = aws_seconds
        self._calls: Counter[str] = Counter()
        self._items: dict[str, items.Item] = {}
        self._gate: items.Item = {}
        self._accepted = _http(_ACCEPTED)

    def answer(self, head: str, body: bytes) -> tuple[float, bytes]:
        """Return after how many seconds a request is answered, and what."""
        path = head.split(" ", 2)[1]
        if path == "/calls":
            return 0.0, _http(self._calls)
        if path != "/":
            return float(path.split("/")[1]) / 1000, self._accepted
        found = re.search(r"x-amz-target: *\S+\.(\w+)", head, re.IGNORECASE)
        operation = found[1] if found else "unknown"
        self._calls[operation] += 1
        answer = self._aws(operation, json.loads(body))
        return self._aws_seconds, _http(answer, "400 Bad Request" if "__type" in answer else "200 OK")

    def _aws(self, operation: str, call: dict[str, Any]) -> dict[str, Any]:
        match operation:
            case "UpdateItem":
                is_gate = call["Key"] == _GATE
                item = self._gate if is_gate else self._items.setdefault(json.dumps(call["Key"]), dict(call["Key"]))
                self._calls["gate"] += is_gate
                if is_gate and not items.meets(item, call):
                    return {"__type": "ConditionalCheckFailedException", "Item": item}
                if len(self._items) > _KEPT_ITEMS:
                    del self._items[next(iter(self._items))]
                items.apply(item, call)
                return {"Attributes": item} if call.get("ReturnValues") == "ALL_NEW" else {}
            case "PutItem":
                return {}
            case "GetSecretValue":
                names = ["default", *(f"account-{number}" for number in range(1, int(call["SecretId"].split("-")[1])))]
                accounts = {name: {"access_code": "P002276", "secret": "test-secret"} for name in names}
                return {"Name": call["SecretId"], "VersionId": "0" * 32, "SecretString": json.dumps(accounts)}
            case "PutEvents":
                return {"FailedEntryCount": 0, "Entries": [{"EventId": "0"} for _ in call["Entries"]]}
        return {"__type": "Refused", "message": operation}


def _http(body: object, status: str = "200 OK") -> bytes:
    content = json.dumps(body, separators=(",", ":")).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def _serve(aws_seconds: str, *certificate: str) -> None:
    answers = _Answers(float(aws_seconds))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"content-length: *(\d+)", head, re.IGNORECASE)
                seconds, answer = answers.answer(head, await reader.readexactly(int(length[1]) if length else 0))
                if seconds:
                    await asyncio.sleep(seconds)
                writer.write(answer)
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
    if context:
        context.load_cert_chain(*certificate)
    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
