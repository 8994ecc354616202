"""What becomes of a message while nobody has it: word that it waits, and its end where somebody cancels it.

Nothing here is on the way of a message that is sent. A claim goes ahead whatever is said of one that waits.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

from cube_sms.delivery.errors import RequestConflictError
from cube_sms.delivery.states import State
from cube_sms.platform import KEY, rfc3339

from .items import TEXT_LENGTH
from .record import Record, hash_of
from .table import RecordTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.request import SendRequest

WAITING = frozenset({State.QUEUED, State.RETRYING})
"""The states of a message that has not ended and that nobody has."""

# A write that another one forestalls is tried again on what that left.
TRIES = 3

# What is not sent any more and was not sent before, and what may have been.
_NOT_SENT = (State.CANCELLED, "#state IN (:queued, :retrying) AND unsettled = :false")
_MAY_BE_SENT = (State.UNKNOWN, "#state = :retrying AND unsettled = :true")


class Cancellation(NamedTuple):
    """What cancelling a message came to.

    Parameters
    ----------
    record : Record
        The message's record as it is now. It is cancelled if its state is `State.CANCELLED`; with every other state it
        was too late.
    has_ended : bool
        Whether the message has just ended: cancelled, or as `State.UNKNOWN`.
    """

    record: Record
    has_ended: bool = False


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

    def cancel(self, message_id: str, *, request: SendRequest | None = None, reason: str = "cancelled") -> Cancellation:
        """End a message that nobody has, so that it is not sent any more: one write, two if it may have been sent.

        A message that may have been sent ends as `State.UNKNOWN`, since `State.CANCELLED` says that it was not.

        Parameters
        ----------
        message_id : str
            ``<account>#<requestId>``. There need be no record of it: whoever takes such a message later finds that it
            has ended.
        request : SendRequest, optional
            The request, where it is known.
        reason : str
            Why.

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
        owner = uuid.uuid4().hex
        may_be_sent = False
        for _ in range(TRIES):
            record, is_written = self._write_end(message_id, owner, request, reason, may_be_sent)
            # A write whose answer was lost is repeated by boto3, and then meets its own trace.
            if is_written or record.owner == owner:
                return Cancellation(record, has_ended=True)
            if request and not record.is_of(request):
                raise RequestConflictError(str(request.request_id))
            if record.state not in WAITING:
                break
            may_be_sent = record.unsettled
        return Cancellation(record)

    def _write_end(
        self, message_id: str, owner: str, request: SendRequest | None, reason: str, may_be_sent: bool
    ) -> tuple[Record, bool]:
        now = self._clock()
        state, seen = _MAY_BE_SENT if may_be_sent else _NOT_SENT
        values = {
            ":state": state,
            ":owner": owner,
            ":zero": 0,
            ":now": rfc3339(now),
            ":reason": (f"{reason}, after a POST whose outcome is unknown" if may_be_sent else reason)[:TEXT_LENGTH],
            ":ttl": int(now + self._retention),
            ":false": False,
            ":retrying": State.RETRYING,
            **({":true": True} if may_be_sent else {":queued": State.QUEUED}),
        }
        update = (
            "SET #state = :state, #owner = :owner, attempts = if_not_exists(attempts, :zero),"
            " createdAt = if_not_exists(createdAt, :now), updatedAt = :now, reason = :reason, #ttl = :ttl,"
            " unsettled = if_not_exists(unsettled, :false),"
            " possiblyDuplicated = if_not_exists(possiblyDuplicated, :false)"
        )
        condition = seen
        if request:
            update += ", requestHash = :hash, deviceId = :device"
            condition += " AND requestHash = :hash"
            values |= {":hash": hash_of(request), ":device": request.device_id}
        update += " REMOVE expectedAt"
        if request and request.task_token:
            update += " ADD taskTokens :tokens"
            values[":tokens"] = frozenset({request.task_token})
        if not may_be_sent:
            condition = f"attribute_not_exists({KEY}) OR ({condition})"
        return self._table.update(message_id, update, condition, values)
