"""Records of messages in DynamoDB: who may post a message now, and what became of it.

A message is claimed with one conditional write before its POST, and the claim is finished with one after it; nothing
is read on the way. The ways into `State.SENDING` are the entries of `_INTO_SENDING`, the way out of it is the condition
in `finish`: no other transition can be written.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from .aws import update_item
from .errors import RecordsUnavailableError, RequestConflictError
from .states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from .models import SendRequest


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
        POSTs made. While it is `State.SENDING` the next one is counted, since a worker that dies cannot count it.
    request_hash : str
        SHA-256 of the request.
    device_id : str
        Where it goes.
    created_at, updated_at : str
        RFC 3339, UTC.
    owner : str
        The claim that wrote the record last.
    lease_until : float
        Seconds since the epoch until which a claim holds.
    unsettled : bool
        Whether the outcome of a POST is unknown.
    possibly_duplicated : bool
        Whether it was claimed again after a POST whose outcome is unknown.
    code, message, reason : str, optional
        The provider's code in its last answer, its words where they are kept, and ours for what went wrong.
    task_tokens : frozenset of str
        Of the Step Functions tasks that wait for the outcome.
    """

    message_id: str
    state: State
    attempts: int
    request_hash: str
    device_id: str
    created_at: str
    updated_at: str
    owner: str
    lease_until: float = 0.0
    unsettled: bool = False
    possibly_duplicated: bool = False
    code: str | None = None
    message: str | None = None
    reason: str | None = None
    task_tokens: frozenset[str] = field(default=frozenset(), repr=False)

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
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
        }


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

# The ways into State.SENDING, by the state that was seen; None for the first try, which has seen nothing.
_INTO_SENDING = {
    # Nobody has it, or it is to be tried again.
    None: _Transition(
        "attribute_not_exists(messageId) OR (requestHash = :hash AND #state = :retrying)",
        _COUNTED,
        "if_not_exists(unsettled, :false)",
        {":retrying": State.RETRYING, ":zero": 0, ":false": False},
    ),
    # The lease is over: its worker died, and may have posted it.
    State.SENDING: _Transition(_SEEN, _COUNTED, ":true", {":zero": 0, ":true": True}),
    # Its attempts were used up, and somebody has put it back onto the queue.
    State.FAILED: _Transition(_SEEN, ":one", "if_not_exists(unsettled, :false)", {":false": False}),
}

# Keys of items that leave word of requests which were not accepted: no account is without a name.
REFUSED_KEY = "#refused#"

# Longer than the stream of the table tells of it.
_REFUSAL_SECONDS = 2 * 86400

# A request may have more faults than an item or a task has room for.
_REFUSAL_LENGTH = 1024

# A claim that another one forestalls is tried again on what that left.
_TRIES = 3


class RecordStore:
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
        self._client = client
        self._table = table
        self._lease = lease
        self._retention = retention
        self._clock = clock

    def claim(self, request: SendRequest, *, restart: str | None = None) -> Claim:
        """Claim a message before it is posted: one write, where nobody else has it.

        Parameters
        ----------
        request : SendRequest
            The message.
        restart : str, optional
            The `Record.owner` of a record in `State.FAILED` that is to start over with fresh attempts.

        Returns
        -------
        Claim
            The message's record, and whether it is the caller's to post.

        Raises
        ------
        RequestConflictError
            Where the id belongs to a different request.
        RecordsUnavailableError
            Where DynamoDB is away. A claim that it wrote all the same lapses.
        """
        owner = uuid.uuid4().hex
        request_hash = hash_of(request)
        seen: Record | None = None
        for _ in range(_TRIES):
            record, is_written = self._write_claim(request, request_hash, owner, seen)
            # A write whose answer was lost is repeated by boto3, and then meets its own trace.
            if is_written or record.owner == owner:
                return Claim(record, is_held=True)
            if record.request_hash != request_hash:
                raise RequestConflictError(str(request.request_id))
            is_lapsed = record.state is State.SENDING and record.lease_until <= self._clock()
            if is_lapsed and request.delivery == "at-most-once":
                record = self.finish(record, State.UNKNOWN, by=owner, reason="its worker died", unsettled=True)
                if record.owner == owner:
                    return Claim(self._awaited(record, request), has_ended=True)
                # The worker was only late, and has recorded its outcome just now.
                seen = None
            elif is_lapsed or (record.state is State.FAILED and record.owner == restart):
                seen = record
            elif record.state is State.RETRYING:
                seen = None
            else:
                break
        return Claim(self._awaited(record, request))

    def refuse(self, request_id: str, task_token: str, *, reason: str, detail: str) -> None:
        """Leave word for a Step Functions task that waits for a request which is not accepted: one write.

        Such a request has no record, and may have the id of one that has.

        Parameters
        ----------
        request_id : str
            The request's id.
        task_token : str
            The task's token.
        reason : str
            Why, in one word such as ``InvalidRequest``.
        detail : str
            What is wrong; no more of it is kept than a dead letter has.

        Raises
        ------
        RecordsUnavailableError
            Where DynamoDB is away.
        """
        values = {
            ":reason": reason,
            ":detail": detail[:_REFUSAL_LENGTH],
            ":tokens": frozenset({task_token}),
            ":ttl": int(self._clock() + _REFUSAL_SECONDS),
        }
        update_item(
            self._client,
            self._table,
            REFUSED_KEY + request_id,
            UpdateExpression="SET reason = :reason, detail = :detail, taskTokens = :tokens, #ttl = :ttl",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={name: _attribute(value) for name, value in values.items()},
        )

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
        unsettled: bool = False,
    ) -> Record:
        """Write what a claim came to: one write.

        Parameters
        ----------
        record : Record
            The claimed record.
        state : State
            The state that follows, any but `State.SENDING`.
        by : str, optional
            The owner that ends it, where that is not the record's own but one that found its lease over.
        attempts : int, optional
            POSTs made, where they are not what the claim counted.
        code, message, reason : str, optional
            The provider's words, and ours.
        unsettled : bool
            Whether the outcome of a POST is unknown, now or from earlier.

        Returns
        -------
        Record
            The record as it is now: another state than asked for where the lease was over and another worker has it.

        Raises
        ------
        RecordsUnavailableError
            Where DynamoDB is away.
        """
        if state is State.SENDING:
            raise ValueError("a claim ends in another state")
        written, _ = self._update(
            record.message_id,
            "SET #state = :state, #owner = :by, attempts = :attempts, updatedAt = :now, code = :code,"
            " message = :message, reason = :reason, unsettled = :unsettled REMOVE leaseUntil",
            "#state = :sending AND #owner = :owner",
            {},
            {
                ":state": state,
                ":by": by or record.owner,
                ":attempts": record.attempts if attempts is None else attempts,
                ":now": _rfc3339(self._clock()),
                ":code": code,
                ":message": message,
                ":reason": reason,
                ":unsettled": unsettled or record.unsettled,
                ":sending": State.SENDING,
                ":owner": record.owner,
            },
        )
        return written

    def get(self, message_id: str) -> Record | None:
        """Return the record of a message.

        Parameters
        ----------
        message_id : str
            ``<account>#<requestId>``.

        Returns
        -------
        Record or None
            As DynamoDB has it at this moment.

        Raises
        ------
        RecordsUnavailableError
            Where DynamoDB is away.
        """
        try:
            answer = self._client.get_item(
                TableName=self._table, Key={"messageId": {"S": message_id}}, ConsistentRead=True
            )
        except (BotoCoreError, ClientError) as error:
            raise RecordsUnavailableError(error) from error
        return read_record(answer["Item"]) if "Item" in answer else None

    def _awaited(self, record: Record, request: SendRequest) -> Record:
        """Return a record; a final one with the request's task token, which nothing else would answer any more."""
        token = request.task_token
        if not token or not record.state.is_final or token in record.task_tokens:
            return record
        record, _ = self._update(
            record.message_id,
            "ADD taskTokens :tokens",
            "#state = :state AND #owner = :owner",
            {},
            {":tokens": frozenset({token}), ":state": record.state, ":owner": record.owner},
        )
        return record

    def _write_claim(
        self, request: SendRequest, request_hash: str, owner: str, seen: Record | None
    ) -> tuple[Record, bool]:
        into = _INTO_SENDING[seen.state if seen else None]
        now = self._clock()
        return self._update(
            request.message_id,
            f"SET #state = :sending, attempts = {into.attempts}, requestHash = :hash, deviceId = :device,"
            " createdAt = if_not_exists(createdAt, :now), updatedAt = :now, leaseUntil = :lease, #owner = :owner,"
            f" #ttl = :ttl, unsettled = {into.unsettled}, possiblyDuplicated = {into.unsettled}"
            + (" ADD taskTokens :tokens" if request.task_token else ""),
            into.condition,
            {"#ttl": "ttl"},
            {
                ":sending": State.SENDING,
                ":one": 1,
                ":hash": request_hash,
                ":device": request.device_id,
                ":now": _rfc3339(now),
                ":lease": now + self._lease,
                ":owner": owner,
                ":ttl": int(now + self._retention),
                **into.values,
                **({":tokens": frozenset({request.task_token})} if request.task_token else {}),
                **({":seen_owner": seen.owner, ":seen_state": seen.state} if seen else {}),
            },
        )

    def _update(
        self, message_id: str, update: str, condition: str, names: Mapping[str, str], values: Mapping[str, Any]
    ) -> tuple[Record, bool]:
        item, is_written = update_item(
            self._client,
            self._table,
            message_id,
            UpdateExpression=update,
            ConditionExpression=condition,
            ExpressionAttributeNames={"#state": "state", "#owner": "owner", **names},
            ExpressionAttributeValues={name: _attribute(value) for name, value in values.items()},
        )
        if not item:
            raise RecordsUnavailableError(f"the record of {message_id} has been deleted")
        return read_record(item), is_written


def hash_of(request: SendRequest) -> str:
    """Return what tells a request from another one under the same id.

    Parameters
    ----------
    request : SendRequest
        The request.

    Returns
    -------
    str
        SHA-256 in hexadecimal digits.
    """
    # The id is the record's key. A field left out and the same field with its default are one, and so is a time in two
    # time zones, unless UTC has no date for it: at the two ends of the calendar.
    expires_at = request.expires_at
    if expires_at:
        with suppress(OverflowError):
            expires_at = expires_at.astimezone(UTC)
    content = msgspec.json.encode(
        msgspec.structs.replace(request, request_id=msgspec.UNSET, expires_at=expires_at, task_token=msgspec.UNSET)
    )
    return hashlib.sha256(content).hexdigest()


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _attribute(value: object) -> dict[str, Any]:
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": str(value)}
        case frozenset():
            return {"SS": list(value)}
    return {"S": str(value)}


def read_record(item: Mapping[str, Any]) -> Record:
    """Return the record in an item of the table.

    Parameters
    ----------
    item : Mapping[str, Any]
        The item, in DynamoDB's types.

    Returns
    -------
    Record
        The record.
    """
    values = {name: next(iter(typed.values())) for name, typed in item.items() if "NULL" not in typed}
    return Record(
        message_id=values["messageId"],
        state=State(values["state"]),
        attempts=int(values["attempts"]),
        request_hash=values["requestHash"],
        device_id=values["deviceId"],
        created_at=values["createdAt"],
        updated_at=values["updatedAt"],
        owner=values["owner"],
        lease_until=float(values.get("leaseUntil", 0)),
        unsettled=values["unsettled"],
        possibly_duplicated=values["possiblyDuplicated"],
        code=values.get("code"),
        message=values.get("message"),
        reason=values.get("reason"),
        task_tokens=frozenset(values.get("taskTokens", ())),
    )
