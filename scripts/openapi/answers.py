"""The answers in docs/openapi.json: made of the errors, states and constants that the code answers with."""

from __future__ import annotations

import inspect
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cube_sms.platform import ApiAnswer, Obstacle

JSON, PROBLEM = "application/json", "application/problem+json"

HEADERS = {
    "Retry-After": {
        "description": "Seconds to wait before the next call.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Location": {
        "description": "The address of the message, relative to the URL of the call.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Preference-Applied": {"description": "What the caller preferred.", "schema": {"const": "respond-async"}},
}


class Refused(NamedTuple):
    """A problem as the answer to a call.

    Parameters
    ----------
    status : int
        HTTP status.
    title : str
        Title of the problem.
    when : str
        What has happened.
    is_later : bool
        Whether ``Retry-After`` says when to call again.
    """

    status: int
    title: str
    when: str
    is_later: bool


def of_answer(answer: ApiAnswer, when: str = "") -> Refused:
    """Return an answer of the API as a problem, explained by its own detail if nothing else is given."""
    return Refused(answer.status, answer.title, when or answer.detail, answer.is_later)


def of_error(kind: type[Obstacle]) -> Refused:
    """Return the answer of a class of errors, explained by the first sentence of its docstring."""
    return of_answer(kind.answer, first_sentence(kind))


def first_sentence(thing: object) -> str:
    """Return the first sentence of a docstring.

    Examples
    --------
    >>> first_sentence(first_sentence)
    'Return the first sentence of a docstring.'
    """
    summary = " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split()).replace("``", "`")
    return f"{summary.partition('. ')[0].removesuffix('.')}."


def sentence(text: str) -> str:
    """Return a text as a sentence.

    Examples
    --------
    >>> sentence("there is no such message")
    'There is no such message.'
    >>> sentence("expiresAt: is in the past")
    '`expiresAt`: is in the past.'
    """
    name, colon, _ = text.partition(": ")
    if colon and " " not in name:
        return f"`{name}`{text.removeprefix(name).removesuffix('.')}."
    return f"{text[0].upper()}{text[1:].removesuffix('.')}."


def ref(name: str) -> dict[str, str]:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def done(schema: str, description: str, *headers: str) -> dict[str, Any]:
    """Return a response with an object of a schema, and with headers."""
    return {
        "description": description,
        **({"headers": {name: {"required": True, **HEADERS[name]} for name in headers}} if headers else {}),
        "content": {JSON: {"schema": ref(schema)}},
    }


def problems(refused: Iterable[Refused]) -> dict[str, Any]:
    """Return a response for each status, with the titles of its problems."""
    by_status: dict[int, list[Refused]] = {}
    for each in dict.fromkeys(refused):
        by_status.setdefault(each.status, []).append(each)
    return {str(status): _response(status, some) for status, some in by_status.items()}


def add_gateway_form(responses: dict[str, Any], status: int, when: str) -> None:
    """Add an answer of API Gateway, in its own form: neither a function nor a template gives it."""
    response = responses.setdefault(str(status), {"description": f"{HTTPStatus(status).phrase}.\n", "content": {}})
    response["description"] += f"\n- {when}"
    form = {"type": "object", "description": "API Gateway's own form: a member with its message."}
    response["content"][JSON] = {"schema": form}


def _response(status: int, refused: list[Refused]) -> dict[str, Any]:
    whens: dict[str, list[str]] = {}
    for each in refused:
        whens.setdefault(each.title, []).append(sentence(each.when))
    lines = [f"- **{title}**: {' '.join(dict.fromkeys(texts))}" for title, texts in whens.items()]
    own = {"properties": {"status": {"const": status}, "title": {"enum": list(whens)}}}
    later = [each.is_later for each in refused]
    return {
        "description": "\n".join([f"{HTTPStatus(status).phrase}.", "", *lines]),
        **({"headers": {"Retry-After": {"required": all(later), **HEADERS["Retry-After"]}}} if any(later) else {}),
        "content": {PROBLEM: {"schema": {"allOf": [ref("Problem"), own]}}},
    }
