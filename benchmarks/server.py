"""A server in place of Cube and AWS: answers that are always the same, as late as is asked for, and no limits.

It runs in a process of its own, so that its CPU is not counted. It takes every update of DynamoDB for granted, keeps
what the update says for a while, and returns it: so it serves whoever writes, whatever they write. Nothing may be put
onto a queue: a message that was not sent is an error in a benchmark.

How late Cube answers stands in its base URL (`Server.cube_url`), how many accounts a secret has in its name
(`secret_id`).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import subprocess
import sys
import threading
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.request import urlopen

from benchmarks.functions import AUTHORITIES, ROOT
from layers.dependencies.build import write_authorities

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

AWS_SECONDS = 0.005

# Name of the file with all authorities, in the folder that has each of them in a file.
BUNDLE = "all.pem"

# Longer than a batch, and so than any message is under way. A benchmark may send a hundred thousand.
_KEPT_ITEMS = 5000

_ASSIGNMENT = re.compile(r"\s*([#\w]+)\s*=\s*((?:[^,(]|\([^)]*\))+)")
_TERM = re.compile(r"if_not_exists\(([#\w]+), ?(:\w+)\)|([:#\w]+)|([+-])")


class Certificate(NamedTuple):
    """A certificate for 127.0.0.1 that signs itself.

    Parameters
    ----------
    chain, key : Path
        The certificate, and its key.
    """

    chain: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Make one in a folder, with the command line of OpenSSL."""
        made = cls(folder / "certificate.pem", folder / "key.pem")
        subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command = ["openssl", "req", "-x509", *key, *subject, "-out", str(made.chain), "-keyout", str(made.key)]
        subprocess.run(command, check=True, capture_output=True)
        return made

    def trust(self, folder: Path) -> Path:
        """Return a folder with the authorities of our layer and this certificate, in files of their own and in one."""
        trusted, bundle = folder / "trusted", folder / BUNDLE
        bundle.write_text(AUTHORITIES.read_text("utf-8") + self.chain.read_text("utf-8"), "utf-8")
        write_authorities(bundle, trusted)
        bundle.rename(trusted / BUNDLE)
        return trusted


class Server:
    """The server, as long as this context runs.

    Parameters
    ----------
    certificate : Certificate, optional
        With one it talks TLS.
    aws_seconds : float
        How late DynamoDB, SQS and Secrets Manager answer.
    """

    def __init__(self, certificate: Certificate | None = None, aws_seconds: float = AWS_SECONDS) -> None:
        command = [sys.executable, "-m", "benchmarks.server", str(aws_seconds), *map(str, certificate or ())]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        port = int(self._process.stdout.readline())
        self.aws_url = f"{'https' if certificate else 'http'}://127.0.0.1:{port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The end of its standard input ends it, and so does our own end.
        self._process.communicate(timeout=10)

    def cube_url(self, delay: float = 0.0) -> str:
        """Return the base URL of a Cube that answers after so many seconds."""
        return f"{self.aws_url}/{delay * 1000:g}/cube/v4"

    def calls(self) -> dict[str, int]:
        """Return how often each operation has been called."""
        counted: dict[str, int] = self._get("calls")
        return counted

    def item(self) -> dict[str, Any]:
        """Return the item that has been updated last, in DynamoDB's types."""
        item: dict[str, Any] = self._get("item")
        return item

    def _get(self, name: str) -> Any:
        with urlopen(f"{self.aws_url}/{name}") as answer:  # nosec B310 # our own server
            return json.load(answer)


def secret_id(accounts: int = 1) -> str:
    """Return the name of a secret with so many accounts: `default`, and others called `account-1` and so on."""
    return f"accounts-{accounts}"


class _Refused(Exception):  # noqa: N818 - not an error of ours
    """What no function does when all goes well."""


class _Table:
    """The newest items by their keys. Every condition holds."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.last: dict[str, Any] = {}

    def update(self, call: dict[str, Any]) -> dict[str, Any]:
        item = self.items.setdefault(json.dumps(call["Key"]), dict(call["Key"]))
        if len(self.items) > _KEPT_ITEMS:
            del self.items[next(iter(self.items))]
        names, values = call.get("ExpressionAttributeNames", {}), call.get("ExpressionAttributeValues", {})
        assignments, removed = _parse_update(call["UpdateExpression"])
        item |= {names.get(name, name): _value(terms, item, names, values) for name, terms in assignments}
        for name in removed:
            item.pop(names.get(name, name), None)
        self.last = item
        # Of what was before, nothing is said: no condition fails here.
        return {"Attributes": item} if call.get("ReturnValues", "NONE").endswith("_NEW") else {}

    def get(self, call: dict[str, Any]) -> dict[str, Any]:
        item = self.items.get(json.dumps(call["Key"]))
        return {"Item": item} if item else {}


@cache
def _parse_update(text: str) -> tuple[list[tuple[str, list[tuple[str, ...]]]], list[str]]:
    clauses = re.split(r"\s*\b(SET|REMOVE)\s+", text)
    found = dict(zip(clauses[1::2], clauses[2::2], strict=True))
    assignments = [(name, _TERM.findall(value)) for name, value in _ASSIGNMENT.findall(found.get("SET", ""))]
    return assignments, [name.strip() for name in found.get("REMOVE", "").split(",") if name.strip()]


def _value(
    terms: list[tuple[str, ...]], item: dict[str, Any], names: dict[str, str], values: dict[str, Any]
) -> dict[str, Any]:
    total: dict[str, Any] | None = None
    sign = 1
    for attribute, default, operand, operator in terms:
        if operator:
            sign = -1 if operator == "-" else 1
            continue
        if attribute:
            value = item.get(names.get(attribute, attribute), values[default])
        elif operand.startswith(":"):
            value = values[operand]
        else:
            value = item[names.get(operand, operand)]
        total = value if total is None else {"N": f"{float(total['N']) + sign * float(value['N']):g}"}
    return total or {}


def _secret(call: dict[str, Any]) -> dict[str, Any]:
    count = int(call["SecretId"].rpartition("-")[2])
    names = ["default", *(f"account-{number}" for number in range(1, count))]
    accounts = {name: {"access_code": "P002276", "secret": "test-secret"} for name in names}
    arn = f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{call['SecretId']}"
    return {
        "ARN": arn,
        "Name": call["SecretId"],
        "VersionId": "0" * 32,
        "VersionStages": ["AWSCURRENT"],
        "SecretString": json.dumps(accounts),
    }


_ACCEPTED = {"code": "0000", "data": None, "message": "success", "success": True}


class _Answers:
    """What is answered to each call."""

    def __init__(self, aws_seconds: float) -> None:
        self._aws_seconds = aws_seconds
        self.calls: Counter[str] = Counter()
        self._table = _Table()
        self._accepted = _http(_ACCEPTED)

    def answer(self, head: str, body: bytes) -> tuple[float, bytes]:
        """Return after how many seconds a request is answered, and what."""
        path = head.split(" ", 2)[1]
        if path in ("/calls", "/item"):
            return 0.0, _http(self.calls if path == "/calls" else self._table.last)
        if path != "/":
            self.calls["sendSms"] += 1
            return float(path.split("/")[1]) / 1000, self._accepted
        found = re.search(r"x-amz-target: *(\S+)", head, re.IGNORECASE)
        operation = found[1].rpartition(".")[2] if found else "unknown"
        self.calls[operation] += 1
        try:
            return self._aws_seconds, _http(self._aws(operation, json.loads(body)))
        except _Refused:
            return self._aws_seconds, _http({"__type": "Refused", "message": operation}, "400 Bad Request")

    def _aws(self, operation: str, call: dict[str, Any]) -> dict[str, Any]:
        match operation:
            case "UpdateItem":
                return self._table.update(call)
            case "GetItem":
                return self._table.get(call)
            case "GetSecretValue":
                return _secret(call)
            case "TransactWriteItems":
                for item in call["TransactItems"]:
                    if "Update" in item:
                        self._table.update(item["Update"])
            case "BatchWriteItem":
                return {"UnprocessedItems": {}}
            case "PutEvents":
                return {"FailedEntryCount": 0, "Entries": [{"EventId": "0"} for _ in call["Entries"]]}
            case "SendMessage" | "SendMessageBatch" | "ChangeMessageVisibility" | "ChangeMessageVisibilityBatch":
                raise _Refused
        return {}


def _http(body: object, status: str = "200 OK") -> bytes:
    content = json.dumps(body, separators=(",", ":")).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


class _Connection(asyncio.Protocol):
    def __init__(self, answers: _Answers) -> None:
        self._answers = answers
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        found = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if end and len(body) >= (int(found[1]) if found else 0):
            self._received = b""
            delay, answer = self._answers.answer(head.decode(), body)
            if delay:
                asyncio.get_running_loop().call_later(delay, self._write, answer)
            else:
                self._write(answer)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def _serve(aws_seconds: str, *certificate: str) -> None:
    answers = _Answers(float(aws_seconds))
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(answers), "127.0.0.1", 0, backlog=1024, ssl=context
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(_serve(*sys.argv[1:]))
