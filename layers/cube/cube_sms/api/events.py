"""What an event of API Gateway holds of a send request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cube_sms.platform import Fault, body_of
from cube_sms.request import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping


def request_of(event: Mapping[str, Any]) -> bytes:
    """Return the send request that a call has for its body.

    Parameters
    ----------
    event : Mapping[str, Any]
        The event.

    Returns
    -------
    bytes
        The body; empty if there is none.

    Raises
    ------
    InvalidRequestError
        If the event marks the body as Base64, and it is not.
    """
    try:
        return body_of(event)
    except ValueError as error:
        raise InvalidRequestError([Fault("$", "is not Base64")]) from error
