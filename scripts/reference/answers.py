"""What answers mean: those of Cube, and those of the API."""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from cube_sms.delivery import State
from cube_sms.platform import Meaning
from cube_sms.provider import CubeError
from cube_sms.provider.answers import Interpreter
from cube_sms.provider.csss.answers import FORM as CSSS
from cube_sms.provider.http import Answer
from cube_sms.provider.v4.answers import FORM as V4

from .markdown import PROJECT, code, section, table
from .templates import application, resources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cube_sms.platform import Obstacle
    from cube_sms.provider.answers import Form

# A status that no server gives.
_ANY = 418

_STATUSES = [
    (200, "", b"not JSON", "200, without an envelope"),
    (302, "", b"", "302"),
    (400, "", b"", "400"),
    (401, "", b"", "401"),
    (403, "", b"", "403"),
    (404, "", b"", "404"),
    (429, "", b"", "429"),
    (500, "", b"", "500"),
    (502, "", b"", "502"),
    (503, "5", b"", "503, with `Retry-After`"),
    (503, "", b"", "503"),
    (504, "", b"", "504"),
]

# An envelope of each dialect with a code that nothing knows.
_UNKNOWN_CODES = {
    "csss": (CSSS, json.dumps({"code": "9999", "success": False})),
    "v4": (V4, json.dumps({"status": {"code": "CB-77-7777"}})),
}


def of_cube() -> str:
    """Return what an answer of Cube means, by status and by code: as the gateway itself reads it."""
    statuses = [
        [shown, code(_read(CSSS, status, retry_after, body), None)] for status, retry_after, body, shown in _STATUSES
    ]
    codes = [
        row
        for dialect, (form, unknown) in _UNKNOWN_CODES.items()
        for row in (
            [dialect, code(form.success_code), code(State.SENT)],
            *([dialect, code(each), code(kind.__name__)] for each, kind in form.meanings.items()),
            [dialect, "any other, with HTTP 200", code(_read(form, 200, "", unknown.encode()))],
        )
    ]
    listed = [
        [code(each), code(_read(CSSS, _ANY, "", b"", {f"HTTP {_ANY}": each}))] for each in get_args(Meaning.__value__)
    ]
    return (
        section("Statuses of Cube", table(["HTTP status", "error"], statuses))
        + section("Codes of Cube", table(["dialect", "code", "result"], codes))
        + section("Meanings in `CubeAnswerCodes`", table(["listed as", "error"], listed))
    )


def _read(form: Form, status: int, retry_after: str, body: bytes, codes: dict[str, Any] | None = None) -> str:
    """Return the error that the gateway makes of an answer."""
    question: Any = _Question()
    try:
        Interpreter(form, codes or {}, keeps_messages=False).read(
            Answer(status, retry_after or None, body), question, 0.0
        )
    except CubeError as error:
        return type(error).__name__
    raise ValueError(f"{status} is a success")


class _Secretless(NamedTuple):
    hidden: tuple[str, ...] = ()


class _Question(NamedTuple):
    """A query that hides nothing."""

    texts: tuple[str, ...] = ()
    device_ids: tuple[str, ...] = ()
    credentials: _Secretless = _Secretless()


class Problem(NamedTuple):
    """An answer of the API that is no success."""

    status: int
    title: str
    detail: str
    is_later: bool


def problems(kinds: list[type[Obstacle]]) -> str:
    """Return every problem that the API answers with, and what leads to it."""
    leading: dict[tuple[int, str], list[str]] = {}
    for name, answer in [
        *((kind.__name__, kind.answer) for kind in kinds),
        *((str(state), state.answer) for state in State if not state.is_sent),
    ]:
        leading.setdefault((answer.status, answer.title), []).append(name)
    found = sorted({each for each in _problems() if each.status >= 400})
    rows = [
        [
            str(each.status),
            each.title,
            each.detail.replace("{error}", "…"),
            "yes" if each.is_later else "",
            code(*leading.get((each.status, each.title), ())),
        ]
        for each in found
    ]
    return section(
        "Problems of the API",
        "Their media type is `application/problem+json`. Their type is `about:blank`: the status has the meaning.",
        table(["status", "title", "detail", "`Retry-After`", "errors and states"], rows),
    )


def _problems() -> Iterator[Problem]:
    for folder in ("layers/cube/cube_sms", "functions"):
        for path in sorted((PROJECT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and _name(node.func) in ("ApiAnswer", "problem"):
                    yield from _written(node)
    for name in application():
        for _, api in resources(name, "AWS::Serverless::Api"):
            yield from problems_of_gateway(api["Properties"])


def problems_of_gateway(api: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems that API Gateway answers with for an API, from its properties in a template."""
    for each in api["GatewayResponses"].values():
        body = json.loads(each["ResponseTemplates"]["application/json"])
        is_later = "Retry-After" in each["ResponseParameters"]["Headers"]
        yield Problem(body["status"], body["title"], body["detail"], is_later)


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else ""


def _written(call: ast.Call) -> Iterator[Problem]:
    """Yield the problem of a call whose status and title are written in the code."""
    match call.args:
        case [ast.Constant(value=int(status)), ast.Constant(value=str(title)), *rest]:
            detail = rest[0].value if rest and isinstance(rest[0], ast.Constant) else "{error}"
            is_later = len(rest) > 1 or any(
                each.arg == "is_later" and isinstance(each.value, ast.Constant) for each in call.keywords
            )
            yield Problem(status, title, str(detail), is_later)
