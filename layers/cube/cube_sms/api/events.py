"""What an event of API Gateway (a REST API's, payload format 1.0) holds of the call."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from cube_sms.platform import Fault
from cube_sms.request import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    InvalidRequestError
        Where it is said to be Base64 and is not.
    """
    text: str = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(text)
    except ValueError as error:
        raise InvalidRequestError([Fault("$", "is not Base64")]) from error


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
    # `headers` hold the last line of each. Whoever makes an event by hand may give them alone.
    headers = event.get("multiValueHeaders") or {each: [line] for each, line in (event.get("headers") or {}).items()}
    lines = [line for each, lines in headers.items() if each.lower() == name.lower() for line in lines]
    return ", ".join(lines) if lines else None
