"""A call of API Gateway (a REST API's, payload format 1.0): what its event holds, and how it is answered."""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from .errors import obstacle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .errors import ApiAnswer

# How long a caller is asked to wait, if the provider has not said.
DEFAULT_RETRY_AFTER = 5.0


def body_of(event: Mapping[str, Any]) -> bytes:
    """Return the call's body.

    Parameters
    ----------
    event : Mapping[str, Any]
        The event.

    Returns
    -------
    bytes
        The body, empty where there is none.

    Raises
    ------
    ValueError
        If it is said to be Base64 and is not.
    """
    text: str = event.get("body") or ""
    return base64.b64decode(text) if event.get("isBase64Encoded") else text.encode("utf-8", "surrogatepass")


def header_of(event: Mapping[str, Any], name: str) -> str | None:
    """Return a header of the call.

    Parameters
    ----------
    event : Mapping[str, Any]
        The event.
    name : str
        The header's name, in whatever case.

    Returns
    -------
    str or None
        All of its lines, joined by commas as RFC 9110 has it; None where there is none.

    Examples
    --------
    >>> header_of({"multiValueHeaders": {"prefer": ["respond-async", "wait=10"]}}, "Prefer")
    'respond-async, wait=10'
    """
    # `headers` hold the last line of each. An event made by hand may have only them.
    headers = event.get("multiValueHeaders") or {each: [line] for each, line in (event.get("headers") or {}).items()}
    lines = [line for each, lines in headers.items() if each.lower() == name.lower() for line in lines]
    return ", ".join(lines) if lines else None


class Reply(msgspec.Struct, frozen=True):
    """An HTTP reply.

    Parameters
    ----------
    status : int
        HTTP status.
    body : dict
        JSON members.
    headers : dict
        HTTP headers.
    """

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = {}

    @property
    def content_type(self) -> str:
        """The media type that belongs to the status."""
        return "application/json" if self.status < 400 else "application/problem+json"

    @property
    def for_lambda(self) -> dict[str, Any]:
        """What API Gateway takes for it from a function."""
        headers = {"Content-Type": self.content_type, **self.headers}
        return {
            "statusCode": self.status,
            "multiValueHeaders": {name: [value] for name, value in headers.items()},
            "body": json.dumps(self.body),
            "isBase64Encoded": False,
        }


def problem(status: int, title: str, detail: str, **members: Any) -> Reply:
    """Return a problem (RFC 9457), under the default type ``about:blank``: its meaning is that of the HTTP status.

    Parameters
    ----------
    status : int
        HTTP status.
    title, detail : str
        What kind of problem, and what about it.
    **members
        Further members; those that are None are left out.

    Returns
    -------
    Reply
        The problem.
    """
    known = {name: value for name, value in members.items() if value is not None}
    return Reply(status, {"title": title, "status": status, "detail": detail, **known})


def problem_of(
    answer: ApiAnswer, error: Exception | None, members: Mapping[str, Any], retry_after: float | None = None
) -> Reply:
    """Return the problem that an answer of the API is.

    Parameters
    ----------
    answer : ApiAnswer
        The answer.
    error : Exception, optional
        Its text may be shown.
    members : Mapping[str, Any]
        Further members; those that are None are left out.
    retry_after : float, optional
        Seconds to wait, if the answer asks for it.

    Returns
    -------
    Reply
        The problem.
    """
    reply = problem(answer.status, answer.title, answer.detail.replace("{error}", str(error)), **members)
    if not answer.is_later:
        return reply
    seconds = DEFAULT_RETRY_AFTER if retry_after is None else retry_after
    return replace(reply, headers={"Retry-After": str(math.ceil(seconds))})


def reply_to_error(error: Exception) -> Reply:
    """Return the reply to a call that cannot be dealt with.

    Parameters
    ----------
    error : Exception
        Why.

    Returns
    -------
    Reply
        400 with the faults for a request that is not valid, and 409 for an id that belongs to another one. 503 if AWS
        is unavailable. 500 for a record that cannot be read, and, without any detail, for all other errors.
    """
    met = obstacle(error)
    return problem_of(met.answer, met, met.members)
