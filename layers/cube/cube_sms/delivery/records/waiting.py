"""Writes to the record of a message that no worker has claimed: that it waits, and that it is cancelled.

Sending a message needs none of this. A claim succeeds whatever the record says of a waiting message.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.delivery.errors import RequestConflictError
from cube_sms.delivery.states import State
from cube_sms.platform import KEY, rfc3339

from .items import TEXT_LENGTH
from .record import Record, hash_of
from .table import RecordTable
from .transitions import WAITING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.request import SendRequest

# If another write comes first, the write is tried again on the record as it is then.
TRIES = 3


class Cancellation(NamedTuple):
    """The result of a cancellation.

    Parameters
    ----------
    record : Record
        The message's record as it is now. The message is cancelled if its state is `State.CANCELLED`. In
        every other state the cancellation came too late.
    has_ended : bool
        Whether the message has just been cancelled.
    """

    record: Record
    has_ended: bool = False


class _End(NamedTuple):
    condition: str
    values: dict[str, Any]
    remark: str = ""


# For messages that were not sent, and for those that may have been sent.
_NOT_SENT = _End(
    "#state IN (:queued, :retrying) AND unsettled = :false",
    {":queued": State.QUEUED, ":retrying": State.RETRYING},
)
_MAY_BE_SENT = _End(
    "#state = :retrying AND unsettled = :true",
    {":retrying": State.RETRYING, ":true": True},
    ", after a POST whose outcome is unknown",
)


class WaitingRecords:
    """The records of messages that no worker has claimed, in the table of all records. Safe to share between threads.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table.
    retention : float
        Seconds a record is kept after it was last claimed, queued or cancelled.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self, client: DynamoDBClient, table: str, *, retention: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._table = RecordTable(client, table)
        self._retention = retention
        self._clock = clock

    def get(self, message_id: str) -> Record | None:
        """Return the record of a message: see `RecordTable.get`."""
        return self._table.get(message_id)

    def note_queued(
        self, request: SendRequest, *, accepted_at: float | None = None, expected_at: float | None = None
    ) -> Record:
        """Record that a message waits on the queue: one write, which changes only the record of a waiting message.

        Parameters
        ----------
        request : SendRequest
            The message.
        accepted_at : float, optional
            When the request was accepted, in seconds since the epoch; by default now.
        expected_at : float, optional
            From when on it may be sent, in seconds since the epoch. If the message waits already, only this is written.

        Returns
        -------
        Record
            The record as it is now: in another state if a worker has claimed the message, or it has ended.

        Raises
        ------
        SpoiledRecordError
            If somebody has changed the record so that it cannot be read.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        now = self._clock()
        values = {
            ":queued": State.QUEUED,
            ":zero": 0,
            ":false": False,
            ":hash": hash_of(request),
            ":device": request.device_id,
            ":created": rfc3339(now if accepted_at is None else accepted_at),
            ":now": rfc3339(now),
            ":owner": uuid.uuid4().hex,
            ":ttl": int(now + self._retention),
        }
        update = (
            "SET #state = :queued, attempts = :zero, requestHash = :hash, deviceId = :device,"
            " createdAt = if_not_exists(createdAt, :created), updatedAt = :now, #owner = :owner, #ttl = :ttl,"
            " unsettled = :false, possiblyDuplicated = :false"
        )
        condition = f"attribute_not_exists({KEY})"
        if expected_at is not None:
            update += ", expectedAt = :expected"
            condition += " OR (#state = :queued AND requestHash = :hash)"
            values[":expected"] = rfc3339(expected_at)
        if request.task_token:
            update += " ADD taskTokens :tokens"
            values[":tokens"] = frozenset({request.task_token})
        return self._table.update(request.message_id, update, condition, values)[0]

    def cancel(
        self,
        message_id: str,
        *,
        request: SendRequest | None = None,
        reason: str = "cancelled",
        overrides: bool = False,
    ) -> Cancellation:
        """End a message that no worker has claimed, so that it is not sent: one write, or two.

        If an earlier POST may have sent the message, its reason says so. If the message was cancelled before, it gets
        another owner: a copy on the queue that is to start it over then has no effect.

        Parameters
        ----------
        message_id : str
            ``<account>#<requestId>``. It may have no record yet: a worker that receives the message later finds that
            it has ended.
        request : SendRequest, optional
            The request, if it is known.
        reason : str
            The reason.
        overrides : bool
            Whether this reason replaces the reason of an earlier cancellation. Otherwise such a message stays as it
            is.

        Returns
        -------
        Cancellation
            The message's record. If its state is not `State.CANCELLED`, the message has ended before, or a worker has
            claimed it.

        Raises
        ------
        RequestConflictError
            If the id belongs to a different request than the one that is given.
        SpoiledRecordError
            If somebody has changed the record so that it cannot be read.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        now = self._clock()
        values: dict[str, Any] = {
            ":owner": uuid.uuid4().hex,
            ":zero": 0,
            ":false": False,
            ":now": rfc3339(now),
            ":reason": reason[:TEXT_LENGTH],
            ":ttl": int(now + self._retention),
        }
        record, is_ours = self._end(message_id, _NOT_SENT, values, request)
        for _ in range(TRIES):
            if is_ours:
                break
            if request and not record.is_of(request):
                raise RequestConflictError(str(request.request_id))
            if record.state is State.CANCELLED:
                return Cancellation(self._cancel_again(message_id, values, overrides))
            if record.state not in WAITING:
                break
            record, is_ours = self._end(message_id, _MAY_BE_SENT if record.unsettled else _NOT_SENT, values, request)
        return Cancellation(record, has_ended=is_ours)

    def _end(
        self, message_id: str, end: _End, values: Mapping[str, Any], request: SendRequest | None
    ) -> tuple[Record, bool]:
        """Write an end if its condition holds; return the record, and whether this call has written its end."""
        reason = f"{values[':reason']}{end.remark}"[:TEXT_LENGTH]
        given = {**values, ":reason": reason, **end.values, ":state": State.CANCELLED}
        update = (
            "SET #state = :state, #owner = :owner, attempts = if_not_exists(attempts, :zero),"
            " createdAt = if_not_exists(createdAt, :now), updatedAt = :now, reason = :reason, #ttl = :ttl,"
            " unsettled = if_not_exists(unsettled, :false),"
            " possiblyDuplicated = if_not_exists(possiblyDuplicated, :false)"
        )
        condition = end.condition
        if request:
            update += ", requestHash = :hash, deviceId = :device"
            condition = f"{condition} AND requestHash = :hash"
            given |= {":hash": hash_of(request), ":device": request.device_id}
        update += " REMOVE expectedAt"
        if request and request.task_token:
            update += " ADD taskTokens :tokens"
            given[":tokens"] = frozenset({request.task_token})
        if end is _NOT_SENT:
            condition = f"attribute_not_exists({KEY}) OR ({condition})"
        record, is_written = self._table.update(message_id, update, condition, given)
        # If the answer to a write is lost, boto3 repeats the write, and finds what it has written itself.
        return record, is_written or record.owner == values[":owner"]

    def _cancel_again(self, message_id: str, values: Mapping[str, Any], overrides: bool) -> Record:
        condition = "#state = :cancelled" if overrides else "#state = :cancelled AND reason = :reason"
        record, _ = self._table.update(
            message_id,
            "SET #owner = :owner, reason = :reason, #ttl = :ttl",
            condition,
            {
                ":cancelled": State.CANCELLED,
                **{name: values[name] for name in (":owner", ":reason", ":ttl")},
            },
        )
        return record
