"""Replies of the API: an outcome, or a problem (RFC 9457)."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from msgspec.structs import replace

from .errors import (
    CubeAuthenticationError,
    CubeOutcomeUnknown,
    CubeThrottled,
    CubeUnavailable,
    GateClosedError,
    InvalidRequestError,
    NotNowError,
    RecordsUnavailableError,
    RequestConflictError,
    SpoiledRecordError,
)
from .models import DEFAULT_ACCOUNT
from .states import State

if TYPE_CHECKING:
    from .models import SendRequest
    from .records import Record
    from .sending import Outcome

# What a caller is asked to wait where the provider has not said.
DEFAULT_RETRY_AFTER = 5.0

_WHAT_TO_DO = "try again after Retry-After seconds, or have it queued with Prefer: respond-async"


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
        400 with the faults for a request that is not valid, 409 for an id that belongs to another one, 503 where AWS
        is in the way, 500 for a record that cannot be read, and for the rest, of which nothing is told.
    """
    if isinstance(error, InvalidRequestError):
        errors = [{"path": fault.path, "message": fault.message} for fault in error.faults]
        return problem(400, "Invalid send request", str(error), errors=errors, moreErrors=error.more or None)
    if isinstance(error, RequestConflictError):
        return problem(409, "Conflict", str(error), requestId=error.request_id)
    if isinstance(error, BotoCoreError | ClientError | RecordsUnavailableError):
        return _later(problem(503, "The gateway is unavailable", "AWS is in the way; try again"))
    if isinstance(error, SpoiledRecordError):
        detail = "somebody has changed the message's record; an operator has to mend it"
        return problem(500, "Record cannot be read", detail, requestId=error.request_id)
    return problem(500, "Internal error", "the log says more, under the request's id")


def reply_to_queued(request: SendRequest, path: str) -> Reply:
    """Return the reply to a request that was put onto the queue.

    Parameters
    ----------
    request : SendRequest
        The request.
    path : str
        The path that was called, of which only the end counts.

    Returns
    -------
    Reply
        202 with where to ask for the message. That is relative to the URL that was called (RFC 9110), so that it holds
        the stage or base path of that URL, whatever stands before the API.
    """
    # `.` and `..` are ids, and would lead elsewhere.
    own_id = str(request.request_id)
    own_id = own_id if own_id.strip(".") else own_id.replace(".", "%2E")
    account = "" if request.account == DEFAULT_ACCOUNT else f"?account={request.account}"
    location = f"{path.rpartition('/')[2] or '.'}/{own_id}{account}"
    return Reply(202, _identity(request), {"Location": location, "Preference-Applied": "respond-async"})


def reply_to_outcome(request: SendRequest, outcome: Outcome, now: float) -> Reply:
    """Return the reply to a request that was sent, or was not, now or before.

    Parameters
    ----------
    request : SendRequest
        The request.
    outcome : Outcome
        What became of it.
    now : float
        Seconds since the epoch.

    Returns
    -------
    Reply
        200 where it was sent. Otherwise a problem that carries the message's state: 400 expired, 409 under way, 422
        rejected by Cube, 429 throttled or no slot, 502 credentials refused, 503 unavailable or attempts used up, 504
        outcome unknown.
    """
    members = {**_identity(request), "state": outcome.state, "code": outcome.code, "message": outcome.message}
    if outcome.record:
        members |= {"attempts": outcome.attempts, "possiblyDuplicated": outcome.record.possibly_duplicated}
    match outcome.state:
        case State.SENT:
            return Reply(200, {name: value for name, value in members.items() if value is not None})
        case State.EXPIRED:
            return problem(400, "Expired", "expiresAt: is in the past", **members)
        case State.REJECTED:
            return problem(422, "Rejected by Cube", "Cube said no", **members)
        case State.UNKNOWN:
            return problem(504, "Outcome unknown", "the message may have been sent", **members)
        case State.FAILED:
            return problem(503, "Attempts used up", "the message is not tried again", **members)
        case State.SENDING if outcome.posts:
            return problem(504, "Outcome unknown", "it could not be recorded", **members)
        case State.SENDING:
            lease_until = outcome.record.lease_until if outcome.record else now
            return _later(
                problem(409, "Under way", "the message is being sent", **members), max(1.0, lease_until - now)
            )
    return _reply_to_retrying(outcome, members, now)


def _reply_to_retrying(outcome: Outcome, members: dict[str, Any], now: float) -> Reply:
    match outcome.error:
        case NotNowError() as error:
            is_away = isinstance(error, GateClosedError) and error.reason in ("unavailable", "probing")
            status, title = (503, "Cube is unavailable") if is_away else (429, "Too many requests")
            detail = f"{error}; {_WHAT_TO_DO}"
            return _later(problem(status, title, detail, **members), max(1.0, error.until - now))
        case CubeThrottled():
            return _later(problem(429, "Too many requests", str(outcome.error), **members), outcome.retry_after)
        case CubeAuthenticationError():
            return problem(502, "Cube refused the account's credentials", str(outcome.error), **members)
        case CubeOutcomeUnknown():
            detail = f"{outcome.error}; the message may have been sent"
            return problem(504, "Outcome unknown", detail, **members)
        case CubeUnavailable():
            return _later(problem(503, "Cube is unavailable", str(outcome.error), **members), outcome.retry_after)
    # The text of any other error names resources of the deployment: that is for its log.
    return _later(problem(503, "The gateway is unavailable", "AWS is in the way; try again", **members))


def reply_to_record(record: Record) -> Reply:
    """Return the reply that shows a message's record.

    Parameters
    ----------
    record : Record
        The record.

    Returns
    -------
    Reply
        200 with what is known of the message.
    """
    return Reply(200, record.members)


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
    # What stands in quotes is a value, commas and all.
    preferences = re.sub(r'"(?:[^"\\]|\\.)*"', '""', prefer or "").lower().split(",")
    return any(preference.partition(";")[0].strip() == "respond-async" for preference in preferences)
