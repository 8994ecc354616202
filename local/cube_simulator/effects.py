"""What a fault does to an answer; `faults` has the table."""

import base64
import gzip
import html
import json
from dataclasses import replace
from functools import cache

from local.cube_simulator.answers import Answer
from local.cube_simulator.dialects import Dialect
from local.cube_simulator.faults import Fault

HUGE = 1024 * 1024
BOMB = 11 * HUGE
_HTML = ("Content-Type", "text/html")


def instead(fault: Fault, dialect: Dialect, device: str, contents: list[str | None]) -> Answer:
    """Return what a request gets that a fault keeps from being processed."""
    match fault.kind:
        case "status":
            return _bare(fault.status, dialect)
        case "rejected":
            return Answer(200, dialect.envelope(fault.argument, "rejected"))
        case "echo":
            return _echo(fault.argument, dialect, device, " ".join(text or "" for text in contents))
        case "redirect":
            return Answer(302, b"", (("Location", fault.argument),))
        case "reset":
            return Answer(0, b"", delivery="reset")
        case _:
            return Answer(0, b"", delivery="close")


def spoiled(fault: Fault, dialect: Dialect, answer: Answer) -> Answer:
    """Return what is left of the answer to a request that was processed."""
    match fault.kind:
        case "status-after":
            return _bare(fault.status, dialect)
        case "delay":
            return replace(answer, pause=float(fault.argument))
        case "trickle":
            return replace(answer, delivery="trickle", step=float(fault.argument))
        case "truncated":
            return replace(answer, delivery="truncated")
        case "garbage":
            return Answer(200, b'{"code":"0000","data":')
        case "huge":
            return replace(answer, body=_padded(answer.body, HUGE))
        case "bomb":
            headers = (*answer.headers, ("Content-Encoding", "gzip"))
            return replace(answer, body=_bomb(answer.body), headers=headers)
        case _:
            return Answer(0, b"", delivery="reset")


def _echo(form: str, dialect: Dialect, device: str, content: str) -> Answer:
    if form == "code":
        return Answer(200, dialect.envelope(content, "rejected"))
    quote = {
        "plain": content,
        "cut": content[: len(content) - len(content) // 4],
        "upper": content.upper(),
        "html": html.escape(content).encode("ascii", "xmlcharrefreplace").decode(),
        "json": json.dumps(content),
        "spaces": " ".join(content.split()),
        "base64": base64.b64encode(content.encode(errors="replace")).decode(),
    }[form]
    return Answer(200, dialect.envelope("9500", f"{device}: {quote}"))


def _bare(status: int, dialect: Dialect) -> Answer:
    """Return an answer as the machines in front of an API give it: a proxy's page for 5xx, an envelope otherwise."""
    if status in (204, 304):
        return Answer(status, b"", ())
    if status < 500:
        return Answer(status, dialect.envelope(dialect.code_of_status(status), "refused"))
    page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\r\n"
    return Answer(status, page.encode(), (_HTML,))


def _padded(body: bytes, size: int) -> bytes:
    # A member that has no meaning, in either dialect.
    return body.replace(b"{", b'{"padding":"' + b"x" * size + b'",', 1)


@cache
def _bomb(body: bytes) -> bytes:
    return gzip.compress(_padded(body, BOMB))
