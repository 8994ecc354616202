"""Records of messages in DynamoDB: who may post a message now, and what became of it.

A message is claimed with one conditional write before its POST, and the claim is finished with one after it; nothing
is read on the way. The ways into `State.SENDING` are the entries of `_INTO_SENDING`, the way out of it is the condition
in `finish`: no other transition can be written.
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from cube_sms.platform import Fault, RecordsUnavailableError, update_item

from .errors import RecordDeletedError, RequestConflictError, SpoiledRecordError
from .states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

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
    was_deleted : bool
        Whether somebody had deleted it while its claim was held, as `RecordStore.finish` found. It is not kept.
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


class Refusal(NamedTuple):
    """What is kept of a request that was not accepted, for as long as its task may wait.

    Parameters
    ----------
    reason, detail : str
        Why, in one word, and what is wrong.
    """

    reason: str
    detail: str


class _Transition(NamedTuple):
    condition: str
    attempts: str
    unsettled: str
    values: dict[str, Any]


_COUNTED = "if_not_exists(attempts, :zero) + :one"
_SEEN = "#owner = :seen_owner AND #state = :seen_state"

# It has ended with a letter, and somebody has put that back onto the queue.
_OVER = _Transition(_SEEN, ":one", "if_not_exists(unsettled, :false)", {":false": False})

# The ways into State.SENDING, by the state that was seen; None for the first try, which has seen nothing.
_INTO_SENDING: dict[State | None, _Transition] = {
    # Nobody has it, or it is to be tried again.
    None: _Transition(
        "attribute_not_exists(messageId) OR (requestHash = :hash AND #state = :retrying)",
        _COUNTED,
        "if_not_exists(unsettled, :false)",
        {":retrying": State.RETRYING, ":zero": 0, ":false": False},
    ),
    # The lease is over: its worker died, and may have posted it.
    State.SENDING: _Transition(_SEEN, _COUNTED, ":true", {":zero": 0, ":true": True}),
    **{state: _OVER for state in State if state.letter},
}

# Keys of items that leave word of requests which were not accepted: no account is without a name.
REFUSED_KEY = "#refused#"

# Longer than the stream of the table tells of it.
_REFUSAL_SECONDS = 2 * 86400

# A request may have more faults than an item or a task has room for.
_REFUSAL_LENGTH = 1024

# The most characters of a text in a record: no key has more, and ten events have to fit into one call.
_TEXT_LENGTH = 2048

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)

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
            The `Record.owner` of a record whose state leaves a letter (`State.letter`), and which is to start over with
            fresh attempts.

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
            elif is_lapsed or (record.state.letter and record.owner == restart):
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

        If somebody has deleted the record meanwhile, it is written anew. If another worker has begun anew before that,
        both may have sent the message, and its record says so.

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
        SpoiledRecordError
            If somebody has changed the record so that it cannot be read.
        RecordsUnavailableError
            Where DynamoDB is away.
        """
        if state is State.SENDING:
            raise ValueError("a claim ends in another state")
        by = by or record.owner
        unsettled = unsettled or record.unsettled
        values = {
            ":state": state,
            ":by": by,
            ":attempts": record.attempts if attempts is None else attempts,
            ":now": _rfc3339(self._clock()),
            ":code": code and code[:_TEXT_LENGTH],
            ":message": message and message[:_TEXT_LENGTH],
            ":reason": reason and reason[:_TEXT_LENGTH],
        }
        update = (
            "SET #state = :state, #owner = :by, attempts = :attempts, updatedAt = :now, code = :code,"
            " message = :message, reason = :reason"
        )
        try:
            # What is unsettled stays so: another worker may have found that out meanwhile.
            found, _ = self._update(
                record.message_id,
                update + (", unsettled = :unsettled" if unsettled else "") + " REMOVE leaseUntil",
                "#state = :sending AND #owner = :owner",
                {},
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
        if found.owner == by or (found.created_at == record.created_at and found.unsettled):
            return found
        if unsettled or state is State.SENT:
            found, _ = self._update(
                record.message_id,
                "SET unsettled = :true, possiblyDuplicated = :true",
                "attribute_exists(messageId)",
                {},
                {":true": True},
            )
        return replace(found, was_deleted=True)

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
        SpoiledRecordError
            If somebody has changed the record so that it cannot be read.
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

    def _restore(self, record: Record, update: str, values: Mapping[str, Any]) -> tuple[Record, bool]:
        """Write a record that is gone as its last write would have left it."""
        return self._update(
            record.message_id,
            f"{update}, unsettled = :unsettled, requestHash = :hash, deviceId = :device, createdAt = :created,"
            " possiblyDuplicated = :duplicated, #ttl = :ttl"
            + (" ADD taskTokens :tokens" if record.task_tokens else ""),
            "attribute_not_exists(messageId)",
            {"#ttl": "ttl"},
            {
                **values,
                ":hash": record.request_hash,
                ":device": record.device_id,
                ":created": record.created_at,
                ":duplicated": record.possibly_duplicated,
                ":ttl": int(self._clock() + self._retention),
                **({":tokens": record.task_tokens} if record.task_tokens else {}),
            },
        )

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
        names = {"#state": "state", "#owner": "owner", **names}
        try:
            item, is_written = update_item(
                self._client,
                self._table,
                message_id,
                UpdateExpression=update,
                ConditionExpression=condition,
                # DynamoDB refuses a name that is not used.
                ExpressionAttributeNames={name: text for name, text in names.items() if name in update + condition},
                ExpressionAttributeValues={name: _attribute(value) for name, value in values.items()},
            )
        except RecordsUnavailableError as error:
            if _is_refused(error.__cause__):
                # Such as an addition to what is no number.
                self._look_for_faults(message_id)
            raise
        if not item:
            raise RecordDeletedError(f"the record of {message_id} has been deleted")
        return read_record(item), is_written

    def _look_for_faults(self, message_id: str) -> None:
        # An update that nothing meets: those that send may update the table, and not read it.
        never = "attribute_exists(messageId) AND attribute_not_exists(messageId)"
        item, _ = update_item(self._client, self._table, message_id, ConditionExpression=never)
        if item:
            read_record(item)


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


def _is_refused(error: BaseException | None) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] == "ValidationException"


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

    Raises
    ------
    SpoiledRecordError
        If the item is not as the gateway writes it. The error names attributes and shows no value.
    """
    faults: list[Fault] = []
    read: Any = partial(_read, item, faults)
    record = Record(
        message_id=read("messageId", "S", _key),
        state=read("state", "S", State),
        attempts=read("attempts", "N", _count),
        request_hash=read("requestHash", "S", _text),
        device_id=read("deviceId", "S", _text),
        created_at=read("createdAt", "S", _time),
        updated_at=read("updatedAt", "S", _time),
        owner=read("owner", "S", _text),
        lease_until=read("leaseUntil", "N", float, 0.0),
        unsettled=read("unsettled", "BOOL", _flag),
        possibly_duplicated=read("possiblyDuplicated", "BOOL", _flag),
        code=read("code", "S", _text, None),
        message=read("message", "S", _text, None),
        reason=read("reason", "S", _text, None),
        task_tokens=read("taskTokens", "SS", frozenset, frozenset()),
    )
    if faults:
        raise SpoiledRecordError(item["messageId"]["S"], faults)
    return record


def read_refusal(item: Mapping[str, Any]) -> Refusal:
    """Return what an item of the table says of a request that was not accepted.

    Parameters
    ----------
    item : Mapping[str, Any]
        The item, in DynamoDB's types.

    Returns
    -------
    Refusal
        What it says.

    Raises
    ------
    SpoiledRecordError
        As for `read_record`.
    """
    faults: list[Fault] = []
    read: Any = partial(_read, item, faults)
    refusal = Refusal(read("reason", "S", _text), read("detail", "S", _text))
    if faults:
        raise SpoiledRecordError(item["messageId"]["S"], faults)
    return refusal


_REQUIRED = object()


def _read(
    item: Mapping[str, Any],
    faults: list[Fault],
    name: str,
    kind: str,
    convert: Callable[[Any], object],
    default: object = _REQUIRED,
) -> object:
    """Return an attribute of an item; note what is wrong with it."""
    typed = item.get(name)
    if typed is None or "NULL" in typed:
        if default is _REQUIRED:
            faults.append(Fault(name, "is missing"))
        return default
    if kind not in typed:
        faults.append(Fault(name, f"must be of DynamoDB's type {kind}"))
        return default
    try:
        return convert(typed[kind])
    except (TypeError, ValueError):
        faults.append(Fault(name, "is not as the gateway writes it"))
        return default


def _text(text: str) -> str:
    if len(text) > _TEXT_LENGTH:
        raise ValueError
    return text


def _key(text: str) -> str:
    if text.startswith("#") or "#" not in text:
        raise ValueError
    return text


def _count(digits: str) -> int:
    number = int(digits)
    if not 0 <= number < 2**31:
        raise ValueError
    return number


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _time(text: str) -> str:
    # As `_rfc3339` writes it, and as EventBridge takes it.
    if not _TIME.fullmatch(text) or datetime.fromisoformat(text).timestamp() < 0:
        raise ValueError
    return text
