"""What becomes of a message while nobody has it: word that it waits, and its end where somebody cancels it.

Nothing here is on the way of a message that is sent. A claim goes ahead whatever is said of one that waits.
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

# A write that another one forestalls is tried again on what that left.
TRIES = 3


class Cancellation(NamedTuple):
    """What cancelling a message came to.

    Parameters
    ----------
    record : Record
        The message's record as it is now. It is cancelled if its state is `State.CANCELLED`; with every other state it
        was too late.
    has_ended : bool
        Whether the message has just been cancelled.
    """

    record: Record
    has_ended: bool = False


class _End(NamedTuple):
    condition: str
    values: dict[str, Any]
    remark: str = ""


# What was not sent, and what may have been.
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
    """The records of messages that nobody has, in the table of all records. Safe to share between threads.

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
        """Leave word that a message waits on the queue: one write, which changes no record but of one that waits.

        Parameters
        ----------
        request : SendRequest
            The message.
        accepted_at : float, optional
            When the request was accepted, in seconds since the epoch; now if it is not said.
        expected_at : float, optional
            From when on it may be sent, in seconds since the epoch. Only this is news of a message that waits already.

        Returns
        -------
        Record
            The record as it is now: in another state if somebody has the message, or it has ended.

        Raises
        ------
        SpoiledRecordError
            If somebody has changed the record so that it cannot be read.
        RecordsUnavailableError
            Where DynamoDB is away.
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
        """End a message that nobody has, so that it is not sent any more: one write, or two.

        If an earlier POST may have sent the message, its reason says so. One that was cancelled before gets another
        owner: what was put back to start it over starts nothing any more.

        Parameters
        ----------
        message_id : str
            ``<account>#<requestId>``. There need be no record of it: whoever takes such a message later finds that it
            has ended.
        request : SendRequest, optional
            The request, where it is known.
        reason : str
            Why.
        overrides : bool
            Whether a message that was cancelled for another reason is cancelled for this one from now on. Otherwise
            such a message is left as it is.

        Returns
        -------
        Cancellation
            The message's record. In another state than `State.CANCELLED` it has ended before, or somebody has it.

        Raises
        ------
        RequestConflictError
            Where the id belongs to a different request than the one that is given.
        SpoiledRecordError
            If somebody has changed the record so that it cannot be read.
        RecordsUnavailableError
            Where DynamoDB is away.
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
        """Write an end where its condition holds; return the record, and whether the end is ours."""
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
        # A write whose answer was lost is repeated by boto3, and then meets its own trace.
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
