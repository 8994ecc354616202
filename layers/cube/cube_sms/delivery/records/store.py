"""Who may post a message now, and what became of it.

A message is claimed with one conditional write before its POST, and the claim is finished with one after it; nothing
is read on the way. The ways into `State.SENDING` are the entries of `_INTO_SENDING`, the way out of it is the condition
in `finish`. While nobody has the message, `waiting` writes what becomes of it, and `followed` what its receipt says. No
other transition can be written.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.delivery.errors import RecordDeletedError, RequestConflictError
from cube_sms.delivery.looks import next_look
from cube_sms.delivery.states import State
from cube_sms.platform import DAY, KEY, rfc3339, shard_of

from .items import REFUSED_KEY, TEXT_LENGTH
from .record import Record, hash_of
from .transitions import ENDS_OF_CLAIMS, WAITING
from .waiting import TRIES, WaitingRecords

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.request import SendRequest


class Claim(NamedTuple):
    """What a claim came to.

    Parameters
    ----------
    record : Record
        The record as it is now.
    is_held : bool
        Whether the message is the caller's to post. If not, it is in a final state, or another worker's until its lease
        is over.
    has_ended : bool
        Whether it has just ended: its worker died, and it may not be posted again.
    """

    record: Record
    is_held: bool = False
    has_ended: bool = False


class _Transition(NamedTuple):
    condition: str
    attempts: str
    unsettled: str
    values: dict[str, Any]


_COUNTED = "if_not_exists(attempts, :zero) + :one"
_SEEN = "#owner = :seen_owner AND #state = :seen_state"

# It has ended, and somebody who knows which claim ended it has put it back onto the queue.
_OVER = _Transition(_SEEN, ":one", "if_not_exists(unsettled, :false)", {":false": False})

# The ways into State.SENDING, by the state that was seen; None for the first try, which has seen nothing.
_INTO_SENDING: dict[State | None, _Transition] = {
    # Nobody has it: it is new, or waits, or is to be tried again.
    None: _Transition(
        f"attribute_not_exists({KEY}) OR (requestHash = :hash AND #state IN (:queued, :retrying))",
        _COUNTED,
        "if_not_exists(unsettled, :false)",
        {":queued": State.QUEUED, ":retrying": State.RETRYING, ":zero": 0, ":false": False},
    ),
    # The lease is over: its worker died, and may have posted it.
    State.SENDING: _Transition(_SEEN, _COUNTED, ":true", {":zero": 0, ":true": True}),
    **{state: _OVER for state in State if state.can_restart},
}

# Longer than the stream of the table tells of it.
_REFUSAL_SECONDS = 2 * DAY

# A request may have more faults than an item or a task has room for.
_REFUSAL_LENGTH = 1024


class RecordStore(WaitingRecords):
    """The records of all messages, in one DynamoDB table. Safe to share between threads.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table.
    lease : float
        Seconds a claim holds; longer than its owner takes.
    retention : float
        Seconds a record is kept after it was last claimed.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        *,
        lease: float,
        retention: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(client, table, retention=retention, clock=clock)
        self.lease = lease

    def claim(self, request: SendRequest, *, restart: str | None = None, accepted_at: float | None = None) -> Claim:
        """Claim a message before it is posted: one write, where nobody else has it.

        Parameters
        ----------
        request : SendRequest
            The message.
        restart : str, optional
            The `Record.owner` of a record that has ended and is to start over with fresh attempts, where its state
            allows that (`State.can_restart`).
        accepted_at : float, optional
            When the request was accepted, in seconds since the epoch; now if it is not said.

        Returns
        -------
        Claim
            The message's record, and whether it is the caller's to post.

        Raises
        ------
        RequestConflictError
            Where the id belongs to a different request.
        SpoiledRecordError
            If somebody has changed the record so that it cannot be read.
        RecordsUnavailableError
            Where DynamoDB is away. A claim that it wrote all the same lapses.
        """
        owner = uuid.uuid4().hex
        request_hash = hash_of(request)
        seen: Record | None = None
        for _ in range(TRIES):
            record, is_written = self._write_claim(request, request_hash, owner, seen, accepted_at)
            # A write whose answer was lost is repeated by boto3, and then meets its own trace.
            if is_written or record.owner == owner:
                return Claim(record, is_held=True)
            if record.request_hash not in (None, request_hash):
                raise RequestConflictError(str(request.request_id))
            is_lapsed = record.state is State.SENDING and record.lease_until <= self._clock()
            if is_lapsed and request.delivery == "at-most-once":
                record = self.finish(record, State.UNKNOWN, by=owner, reason="its worker died", unsettled=True)
                if record.owner == owner:
                    return Claim(self._awaited(record, request), has_ended=True)
                # The worker was only late, and has recorded its outcome just now.
                seen = None
            elif is_lapsed or (record.state.can_restart and record.owner == restart):
                seen = record
            elif record.state in WAITING:
                seen = None
            else:
                break
        return Claim(self._awaited(record, request))

    def refuse(self, request_id: str, task_token: str | None, *, reason: str, detail: str) -> None:
        """Leave word of a request that is not accepted, for whoever waits for its outcome: one write.

        Such a request has no record, and may have the id of one that has.

        Parameters
        ----------
        request_id : str
            The request's id.
        task_token : str or None
            The token of the Step Functions task that waits, if one does.
        reason : str
            Why, in one word such as ``InvalidRequest``.
        detail : str
            What is wrong; no more of it is kept than a dead letter has.

        Raises
        ------
        RecordsUnavailableError
            Where DynamoDB is away.
        """
        now = self._clock()
        values: dict[str, object] = {
            ":reason": reason,
            ":detail": detail[:_REFUSAL_LENGTH],
            ":now": rfc3339(now),
            ":ttl": int(now + _REFUSAL_SECONDS),
        }
        update = "SET reason = :reason, detail = :detail, updatedAt = :now, #ttl = :ttl"
        if task_token:
            update, values[":tokens"] = f"{update}, taskTokens = :tokens", frozenset({task_token})
        self._table.put(REFUSED_KEY + request_id, update, values)

    def finish(
        self,
        record: Record,
        state: State,
        *,
        by: str | None = None,
        attempts: int | None = None,
        code: str | None = None,
        message: str | None = None,
        reason: str | None = None,
        job_id: str | None = None,
        content_hash: str | None = None,
        unsettled: bool = False,
    ) -> Record:
        """Write what a claim came to: one write.

        If somebody has deleted the record meanwhile, it is written anew. If another worker has begun anew before that,
        both may have sent the message, and its record says so.

        Parameters
        ----------
        record : Record
            The claimed record.
        state : State
            The state that follows: final, or `State.RETRYING`. No claim ends as cancelled, or by a receipt.
        by : str, optional
            The owner that ends it, where that is not the record's own but one that found its lease over.
        attempts : int, optional
            POSTs made, where they are not what the claim counted.
        code, message, reason : str, optional
            The provider's words, and ours.
        job_id : str, optional
            The provider's name for what it has accepted.
        content_hash : str, optional
            What its receipt is known by, if that is to be asked for.
        unsettled : bool
            Whether the outcome of a POST is unknown, now or from earlier.

        Returns
        -------
        Record
            The record as it is now: another state than asked for where the lease was over and another worker has it.

        Raises
        ------
        SpoiledRecordError
            If somebody has changed the record so that it cannot be read.
        RecordsUnavailableError
            Where DynamoDB is away.
        """
        if state not in ENDS_OF_CLAIMS:
            raise ValueError("a claim ends in another state")
        by = by or record.owner
        unsettled = unsettled or record.unsettled
        now = self._clock()
        values: dict[str, object] = {
            ":state": state,
            ":by": by,
            ":attempts": record.attempts if attempts is None else attempts,
            ":now": rfc3339(now),
            ":code": code and code[:TEXT_LENGTH],
            ":message": message and message[:TEXT_LENGTH],
            ":reason": reason and reason[:TEXT_LENGTH],
        }
        update = (
            "SET #state = :state, #owner = :by, attempts = :attempts, updatedAt = :now, code = :code,"
            " message = :message, reason = :reason"
        )
        if job_id:
            # Where there is none the item stays as small as it is.
            update += ", jobId = :job"
            values[":job"] = job_id[:TEXT_LENGTH]
        if content_hash and state is State.SENT:
            update += ", contentHash = :content, due = :due, dueAt = :dueAt"
            values |= {":content": content_hash, ":due": shard_of(record.message_id), ":dueAt": next_look(now, now)}
        try:
            # What is unsettled stays so: another worker may have found that out meanwhile.
            found, _ = self._table.update(
                record.message_id,
                update + (", unsettled = :unsettled" if unsettled else "") + " REMOVE leaseUntil",
                "#state = :sending AND #owner = :owner",
                {
                    **values,
                    **({":unsettled": True} if unsettled else {}),
                    ":sending": State.SENDING,
                    ":owner": record.owner,
                },
            )
        except RecordDeletedError:
            found, _ = self._restore(record, update, {**values, ":unsettled": unsettled})
            if found.owner == by:
                return replace(found, was_deleted=True)
        # Whoever takes a message over keeps its beginning, and knows that it may have been sent.
        if found.owner == by or (found.begun_at == record.begun_at and found.unsettled):
            return found
        if unsettled or state is State.SENT:
            found, _ = self._table.update(
                record.message_id,
                "SET unsettled = :true, possiblyDuplicated = :true",
                f"attribute_exists({KEY})",
                {":true": True},
            )
        return replace(found, was_deleted=True)

    def _awaited(self, record: Record, request: SendRequest) -> Record:
        """Return a record; a final one with the request's task token, which nothing else would answer any more."""
        token = request.task_token
        if not token or not record.state.is_final or token in record.task_tokens:
            return record
        record, _ = self._table.update(
            record.message_id,
            "ADD taskTokens :tokens",
            # Whatever has come between, it is the end that the task is told of.
            "#state = :state",
            {":tokens": frozenset({token}), ":state": record.state},
        )
        return record

    def _restore(self, record: Record, update: str, values: Mapping[str, Any]) -> tuple[Record, bool]:
        """Write a record that is gone as its last write would have left it."""
        return self._table.update(
            record.message_id,
            f"{update}, unsettled = :unsettled, requestHash = :hash, deviceId = :device, createdAt = :created,"
            " begunAt = :begun, possiblyDuplicated = :duplicated, #ttl = :ttl"
            + (", awaitReply = :await" if record.await_reply else "")
            + (" ADD taskTokens :tokens" if record.task_tokens else ""),
            f"attribute_not_exists({KEY})",
            {
                **values,
                ":hash": record.request_hash,
                ":device": record.device_id,
                ":created": record.created_at,
                ":begun": record.begun_at,
                ":duplicated": record.possibly_duplicated,
                ":ttl": int(self._clock() + self._retention),
                **({":tokens": record.task_tokens} if record.task_tokens else {}),
                **({":await": record.await_reply} if record.await_reply else {}),
            },
        )

    def _write_claim(
        self,
        request: SendRequest,
        request_hash: str,
        owner: str,
        seen: Record | None,
        accepted_at: float | None,
    ) -> tuple[Record, bool]:
        into = _INTO_SENDING[seen.state if seen else None]
        now = self._clock()
        return self._table.update(
            request.message_id,
            f"SET #state = :sending, attempts = {into.attempts}, requestHash = :hash, deviceId = :device,"
            " createdAt = if_not_exists(createdAt, :accepted), begunAt = if_not_exists(begunAt, :now),"
            " updatedAt = :now, leaseUntil = :lease, #owner = :owner, #ttl = :ttl,"
            f" unsettled = {into.unsettled}, possiblyDuplicated = {into.unsettled}"
            + (", awaitReply = :await" if request.await_reply else "")
            + " REMOVE expectedAt"
            + (" ADD taskTokens :tokens" if request.task_token else ""),
            into.condition,
            {
                ":sending": State.SENDING,
                ":one": 1,
                ":hash": request_hash,
                ":device": request.device_id,
                ":accepted": rfc3339(now if accepted_at is None else accepted_at),
                ":now": rfc3339(now),
                ":lease": now + self.lease,
                ":owner": owner,
                ":ttl": int(now + self._retention),
                **into.values,
                **({":tokens": frozenset({request.task_token})} if request.task_token else {}),
                **({":await": request.await_reply} if request.await_reply else {}),
                **({":seen_owner": seen.owner, ":seen_state": seen.state} if seen else {}),
            },
        )
