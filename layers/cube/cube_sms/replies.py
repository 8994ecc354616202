"""Replies of the API: an outcome, or a problem (RFC 9457)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from .errors import (
    CubeAuthenticationError,
    CubeOutcomeUnknown,
    CubeRejected,
    CubeThrottled,
    CubeUnavailable,
    InvalidRequestError,
)
from .models import DEFAULT_ACCOUNT
from .sending import State

if TYPE_CHECKING:
    from .models import SendRequest
    from .sending import Outcome

# What a caller is asked to wait where the provider has not said.
DEFAULT_RETRY_AFTER = 5.0


@dataclass(frozen=True, slots=True)
class Reply:
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
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content_type(self) -> str:
        """The media type that belongs to the status."""
        return "application/json" if self.status < 400 else "application/problem+json"


def problem(status: int, title: str, detail: str, **members: Any) -> Reply:
    """Return a problem, under the default type ``about:blank``: its meaning is that of the HTTP status.

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


def reply_to_error(error: Exception) -> Reply:
    """Return the reply to a request that cannot be dealt with.

    Parameters
    ----------
    error : Exception
        Why.

    Returns
    -------
    Reply
        400 with every fault for a request that is not valid, 503 where AWS is in the way, 500 for the rest, of which
        nothing is told.
    """
    if isinstance(error, InvalidRequestError):
        errors = [{"path": fault.path, "message": fault.message} for fault in error.faults]
        return problem(400, "Invalid send request", str(error), errors=errors)
    if isinstance(error, BotoCoreError | ClientError):
        return _later(problem(503, "The gateway is unavailable", "the message was not accepted"))
    return problem(500, "Internal error", "the log says more, under the request's id")


def reply_to_queued(request: SendRequest) -> Reply:
    """Return the reply to a request that was put onto the queue."""
    account = "" if request.account == DEFAULT_ACCOUNT else f"?account={request.account}"
    headers = {"Location": f"/messages/{request.request_id}{account}", "Preference-Applied": "respond-async"}
    return Reply(202, _identity(request), headers)


def reply_to_outcome(request: SendRequest, outcome: Outcome) -> Reply:
    """Return the reply to a request that was sent, or was not.

    Parameters
    ----------
    request : SendRequest
        The request.
    outcome : Outcome
        What became of it.

    Returns
    -------
    Reply
        200 where it was sent. Otherwise a problem that carries the message's state: 400 expired, 422 rejected by Cube,
        429 throttled, 502 credentials refused, 503 unavailable, 504 outcome unknown.
    """
    members = {**_identity(request), "state": outcome.state, "code": outcome.code, "message": outcome.message}
    if outcome.state is State.SENT:
        return Reply(200, members)
    if outcome.state is State.EXPIRED:
        return problem(400, "Expired", "expiresAt: is in the past", **members)
    detail = str(outcome.error)
    match outcome.error:
        case CubeRejected():
            return problem(422, "Rejected by Cube", detail, **members)
        case CubeThrottled():
            return _later(problem(429, "Too many requests", detail, **members), outcome.retry_after)
        case CubeAuthenticationError():
            return problem(502, "Cube refused the account's credentials", detail, **members)
        case CubeOutcomeUnknown():
            return problem(504, "Outcome unknown", f"{detail}; the message may have been sent", **members)
        case CubeUnavailable():
            return _later(problem(503, "Cube is unavailable", detail, **members), outcome.retry_after)
    # The text of a CredentialsError names the deployment's secret: that is for its log.
    return _later(problem(503, "Credentials unavailable", "they cannot be fetched now", **members), outcome.retry_after)


def _identity(request: SendRequest) -> dict[str, Any]:
    return {"requestId": request.request_id, "account": request.account}


def _later(reply: Reply, retry_after: float | None = None) -> Reply:
    seconds = DEFAULT_RETRY_AFTER if retry_after is None else retry_after
    return replace(reply, headers={"Retry-After": str(math.ceil(seconds))})


def prefers_async(prefer: str | None) -> bool:
    """Return whether a ``Prefer`` header (RFC 7240) holds ``respond-async``.

    Examples
    --------
    >>> prefers_async("respond-async, wait=10")
    True
    """
    preferences = (prefer or "").lower().split(",")
    return any(preference.partition(";")[0].strip() == "respond-async" for preference in preferences)
