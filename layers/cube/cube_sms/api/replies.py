"""Replies of the API: an outcome, or a problem (RFC 9457)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cube_sms.delivery import State
from cube_sms.platform import ApiAnswer, FaultsError, Reply, problem_of
from cube_sms.request import DEFAULT_ACCOUNT

if TYPE_CHECKING:
    from cube_sms.delivery import Outcome, Record
    from cube_sms.platform import Fault
    from cube_sms.request import SendRequest

# The members of a record that a problem has.
_MEMBERS = frozenset({"requestId", "account", "state", "attempts", "possiblyDuplicated", "code", "message"})

# The answers that belong to no error and no state.
INVALID_CALL = ApiAnswer(400, "Invalid call")
NO_SUCH_MESSAGE = ApiAnswer(404, "Not found", "there is no such message")
NO_HISTORY = ApiAnswer(404, "Not found", "this deployment keeps no history of devices (DeviceHistory)")
TOO_LATE = ApiAnswer(409, "Too late", "the message cannot be cancelled: it is {state}")
# For a message that is being sent: if that fails, it can be cancelled.
NOT_NOW = TOO_LATE._replace(is_later=True)
NOT_RECORDED = ApiAnswer(504, "Outcome unknown", "it could not be recorded")


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
        202 with the location of the message, relative to the URL that was called (RFC 9110). So it keeps the stage or
        the base path of that URL.
    """
    # `.` and `..` are valid ids. In a path they have another meaning.
    own_id = str(request.request_id)
    own_id = own_id if own_id.strip(".") else own_id.replace(".", "%2E")
    account = "" if request.account == DEFAULT_ACCOUNT else f"?account={request.account}"
    location = f"{path.rpartition('/')[2] or '.'}/{own_id}{account}"
    return Reply(202, _identity(request), {"Location": location, "Preference-Applied": "respond-async"})


def reply_to_outcome(request: SendRequest, outcome: Outcome, now: float) -> Reply:
    """Return the reply to a request after an attempt to send it, now or before.

    Parameters
    ----------
    request : SendRequest
        The request.
    outcome : Outcome
        Its outcome.
    now : float
        Seconds since the epoch.

    Returns
    -------
    Reply
        200 if it was sent, otherwise a problem with the message's state. 400: expired; 409: under way. 422: rejected by
        Cube; 429: throttled, or no slot. 502: credentials refused; 503: unavailable, or attempts used up. 504: outcome
        unknown.
    """
    members = {**_identity(request), "state": outcome.state, "code": outcome.code, "message": outcome.message}
    if outcome.record:
        members |= {"attempts": outcome.attempts, "possiblyDuplicated": outcome.record.possibly_duplicated}
    error, retry_after = outcome.error, outcome.retry_after
    if outcome.state.is_sent:
        return Reply(200, {name: value for name, value in members.items() if value is not None})
    if outcome.state is State.SENDING and outcome.posts:
        return problem_of(NOT_RECORDED, error, members)
    if outcome.state is State.SENDING:
        lease_until = outcome.record.lease_until if outcome.record else now
        return problem_of(outcome.state.answer, error, members, max(1.0, lease_until - now))
    if outcome.state is State.RETRYING and error:
        if error.until is not None:
            retry_after = max(1.0, error.until - now)
        return problem_of(error.answer, error, members, retry_after)
    return problem_of(outcome.state.answer, error, members)


def reply_to_record(record: Record) -> Reply:
    """Return the reply that shows a message's record.

    Parameters
    ----------
    record : Record
        The record.

    Returns
    -------
    Reply
        200 with what is known of the message. If it waits, that includes from when on it may be sent.
    """
    return Reply(200, record.shown)


def reply_to_cancellation(record: Record, now: float) -> Reply:
    """Return the reply to a call that cancels a message.

    Parameters
    ----------
    record : Record
        The message's record as it is now.
    now : float
        Seconds since the epoch.

    Returns
    -------
    Reply
        200 with the record if the message is cancelled, now or before; otherwise 409 with its state. ``Retry-After``
        says that a later call may cancel it.
    """
    if record.state is State.CANCELLED:
        return reply_to_record(record)
    answer = TOO_LATE if record.state.is_final else NOT_NOW
    answer = answer._replace(detail=answer.detail.format(state=record.state))
    members = {name: value for name, value in record.members.items() if name in _MEMBERS}
    return problem_of(answer, None, members, max(1.0, record.lease_until - now))


def reply_to_faults(faults: list[Fault]) -> Reply:
    """Return the reply to a call with malformed parameters.

    Parameters
    ----------
    faults : list[Fault]
        The faults of the parameters.

    Returns
    -------
    Reply
        400 with the faults.
    """
    errors = [{"path": fault.path, "message": fault.message} for fault in faults]
    return problem_of(INVALID_CALL, FaultsError(faults), {"errors": errors})


def _identity(request: SendRequest) -> dict[str, Any]:
    return {"requestId": request.request_id, "account": request.account}


def prefers_async(prefer: str | None) -> bool:
    """Return whether a ``Prefer`` header (RFC 7240) holds ``respond-async``.

    Examples
    --------
    >>> prefers_async("respond-async, wait=10")
    True
    """
    # What is in quotes is a value, with its commas.
    preferences = re.sub(r'"(?:[^"\\]|\\.)*"', '""', prefer or "").lower().split(",")
    return any(preference.partition(";")[0].strip() == "respond-async" for preference in preferences)
