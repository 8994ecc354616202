"""What is kept of a message, of a request that was not accepted, and of what a device has answered."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any

import msgspec

from cube_sms.delivery.states import State

if TYPE_CHECKING:
    from cube_sms.request import SendRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is kept of a message: neither its content nor credentials.

    Parameters
    ----------
    message_id : str
        ``<account>#<requestId>``, the table's key.
    state : State
        Its state.
    attempts : int
        POSTs made. While it is `State.SENDING` the next one is counted, since a worker that crashes cannot count it.
    request_hash : str or None
        SHA-256 of the request; None if the message was cancelled before the gateway saw the request.
    device_id : str or None
        The device that receives it; None for the same reason.
    created_at, updated_at : str
        When the request was accepted, and when the record was written last: RFC 3339, UTC.
    begun_at : str or None
        When it was first claimed.
    expected_at : str or None
        From when on it may be sent, if it waits and that is known.
    owner : str
        The claim that wrote the record last.
    lease_until : float
        Seconds since the epoch until which a claim holds.
    unsettled : bool
        Whether the outcome of a POST is unknown.
    possibly_duplicated : bool
        Whether it was claimed again after a POST whose outcome is unknown.
    code, message, reason : str, optional
        The provider's code in its last answer, its words if they are kept, and the gateway's words for what went wrong.
    job_id : str, optional
        The provider's name for what it has accepted, if it gives one.
    content_hash : str, optional
        A hash that identifies its content, while its receipt is asked for.
    due_at : float, optional
        Seconds since the epoch at which the receipt is asked for next.
    task_tokens : frozenset of str
        The tokens of the Step Functions tasks that wait for the outcome.
    await_reply : int, optional
        Seconds for which they wait for the device's reply after it was sent; None if they wait only for the outcome.
    was_deleted : bool
        Whether somebody deleted the record while its claim was held, as `RecordStore.finish` found. The table does not
        keep this.
    """

    message_id: str
    state: State
    attempts: int
    request_hash: str | None
    device_id: str | None
    created_at: str
    updated_at: str
    owner: str
    begun_at: str | None = None
    expected_at: str | None = None
    lease_until: float = 0.0
    unsettled: bool = False
    possibly_duplicated: bool = False
    code: str | None = None
    message: str | None = None
    reason: str | None = None
    job_id: str | None = None
    content_hash: str | None = None
    due_at: float | None = None
    task_tokens: frozenset[str] = field(default=frozenset(), repr=False)
    await_reply: int | None = None
    was_deleted: bool = field(default=False, compare=False)

    @property
    def members(self) -> dict[str, Any]:
        """What callers and consumers of events see of it, as JSON members."""
        account, _, request_id = self.message_id.partition("#")
        return {
            "requestId": request_id,
            "account": account,
            "deviceId": self.device_id,
            "state": self.state,
            "attempts": self.attempts,
            "possiblyDuplicated": self.possibly_duplicated,
            "code": self.code,
            "message": self.message,
            "reason": self.reason,
            "jobId": self.job_id,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
        }

    @property
    def shown(self) -> dict[str, Any]:
        """What the API and the command show of it: its members and, if it waits, from when on it may be sent."""
        return self.members | ({"expectedAt": self.expected_at} if self.state is State.QUEUED else {})

    def is_of(self, request: SendRequest) -> bool:
        """Return whether it is the record of this request, rather than of another one under the same id.

        If a message was cancelled before the gateway saw its request, its record is of every request under its id.
        """
        return self.request_hash in (None, hash_of(request))


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is kept of a request that was not accepted, for as long as its task may wait.

    Parameters
    ----------
    request_id : str
        The request's id.
    reason, detail : str
        The reason in one word, and what is wrong.
    updated_at : str
        When the request was last refused: RFC 3339, UTC.
    task_tokens : frozenset of str
        The tokens of the Step Functions tasks that wait for it.
    """

    request_id: str
    reason: str
    detail: str
    updated_at: str
    task_tokens: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def members(self) -> dict[str, Any]:
        """What a waiting task gets, as JSON members."""
        return {"requestId": self.request_id, "reason": self.reason, "detail": self.detail}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptReply:
    """What a device has answered.

    Parameters
    ----------
    event_id : str
        The id, which stays the same if the provider reports the reply again.
    account : str
        The account of the device.
    device_id : str
        The device that answered, usually the ICCID of the SIM.
    message_type : str
        ``Text`` or ``Binary``.
    content : str or None
        The content; None if it is not kept.
    received_at : str
        When the provider received it: RFC 3339, UTC.
    in_reply_to : str or None
        The id of the request that it answers, if one waited.
    """

    event_id: str
    account: str
    device_id: str
    message_type: str
    content: str | None = field(repr=False)
    received_at: str
    in_reply_to: str | None = None

    @property
    def members(self) -> dict[str, Any]:
        """What callers and consumers of events see of it, as JSON members."""
        return {
            "eventId": self.event_id,
            "account": self.account,
            "deviceId": self.device_id,
            "messageType": self.message_type,
            "content": self.content,
            "receivedAt": self.received_at,
            "inReplyTo": self.in_reply_to,
        }


def hash_of(request: SendRequest) -> str:
    """Return a hash that distinguishes a request from another one under the same id.

    Parameters
    ----------
    request : SendRequest
        The request.

    Returns
    -------
    str
        SHA-256 in hexadecimal digits.
    """
    # The id is the record's key. A field that is left out has the hash of its default. A time has the same hash in each
    # time zone, except at the two ends of the calendar, where UTC has no date for it.
    expires_at = request.expires_at
    if expires_at:
        with suppress(OverflowError):
            expires_at = expires_at.astimezone(UTC)
    content = msgspec.json.encode(
        msgspec.structs.replace(
            request, request_id=msgspec.UNSET, expires_at=expires_at, priority=msgspec.UNSET, task_token=msgspec.UNSET
        )
    )
    return hashlib.sha256(content).hexdigest()
