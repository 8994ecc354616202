"""Consumer of the send queue: what becomes of each message of a batch."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, batched, chain, takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from cube_sms.delivery import State, put_back_spread, retry_delay
from cube_sms.pacing import NotNowError
from cube_sms.platform import FAILED_CLAIM, Obstacle, RecordsUnavailableError, is_fifo, put_copy
from cube_sms.request import InvalidRequestError, parse_send_request, refuse_too_large, unwrap

from .dead_letters import ACCOUNT, ATTEMPTS, DETAIL, LAST_CODE, REQUEST_ID, DeadLetterQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import (
        ChangeMessageVisibilityBatchRequestEntryTypeDef,
        MessageAttributeValueTypeDef,
    )

    from cube_sms.delivery import Outcome, Sender
    from cube_sms.pacing import GateStatus
    from cube_sms.platform import Settings
    from cube_sms.request import SendRequest

# SQS keeps a message invisible for at most 12 hours from when it was received, of which the invocation has used some,
# and changes at most 10 at once.
MAX_INVISIBLE_SECONDS = 12 * 3600 - 15 * 60
SQS_BATCH_SIZE = 10

# While every connection has its POST, other threads claim the next messages and write the outcomes of the last ones. A
# worker that dies leaves as many messages behind as it has threads.
THREADS_PER_CONNECTION = 1.25

# A message that is put back unclaimed for longer than this is one that somebody may look for.
NOTED_SECONDS = 60.0

# Kept free at the end of an invocation: for Secrets Manager, DynamoDB, SQS, and the metrics.
RESERVED_SECONDS = 2.0


class Consumed(msgspec.Struct, kw_only=True):
    """What became of one message of a batch.

    Parameters
    ----------
    record_id : str
        The SQS message id.
    receives : int
        How often it has been received.
    queue_age : float
        Seconds since it was enqueued.
    request : SendRequest, optional
        The request, where the message was one.
    outcome : Outcome, optional
        What sending it came to.
    fault : Exception, optional
        Why it could not be sent, or not be settled with the queue.
    dead_letter_reason : str, optional
        Why it went to the dead-letter queue, where it did.
    acknowledged : bool
        Whether the message is done with and can be deleted from the queue.
    forwarded : bool
        Whether it has been put among the messages of its device, and comes again.
    put_back_until : float, optional
        Seconds since the epoch from when on it may be sent, where it was put back with the rest of its batch; zero if
        only time had run out.
    """

    record_id: str
    receives: int = 0
    queue_age: float = 0.0
    request: SendRequest | None = None
    outcome: Outcome | None = None
    fault: Exception | None = None
    dead_letter_reason: str | None = None
    acknowledged: bool = False
    forwarded: bool = False
    put_back_until: float | None = None


class _Parsed(NamedTuple):
    record: Mapping[str, Any]
    request: SendRequest | Exception

    @property
    def account(self) -> str | None:
        """Whose message it is, if it is one."""
        return None if isinstance(self.request, Exception) else self.request.account

    @property
    def is_bulk(self) -> bool:
        """Whether it leaves the reserve of the day's quota to others."""
        return not isinstance(self.request, Exception) and self.request.priority == "bulk"

    @property
    def identity(self) -> str:
        """What the records of one message share."""
        if isinstance(self.request, Exception):
            return f"invalid {self.record['messageId']}"
        return self.request.message_id


class QueueConsumer:
    """Sends the messages of a batch and settles each with the queue.

    Parameters
    ----------
    sender : Sender
        Sends one message.
    sqs : SQSClient
        boto3's client.
    settings : Settings
        The deployment's settings.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self, sender: Sender, sqs: SQSClient, settings: Settings, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._sender = sender
        self._sqs = sqs
        self._settings = settings
        self._is_fifo = is_fifo(settings.send_queue_url)
        self._dead_letters = DeadLetterQueue(sqs, settings.dead_letter_queue_url)
        self._rejected = DeadLetterQueue(sqs, settings.rejected_queue_url)
        self._clock = clock

    @property
    def gate_status(self) -> GateStatus:
        """The state of the gate, as last seen."""
        return self._sender.gate.status

    def consume(self, records: Sequence[Mapping[str, Any]], time_left: Callable[[], float]) -> Iterator[Consumed]:
        """Send a batch, and yield what became of each message as soon as it is known.

        Parameters
        ----------
        records : sequence of mapping
            The records of Lambda's SQS event.
        time_left : Callable[[], float]
            Seconds until the invocation is cut off. No message is begun that might not be finished by then.

        Yields
        ------
        Consumed
            One for each record.
        """
        needed = self._sender.longest_send + RESERVED_SECONDS
        waiting = self._others_first([self._parse(record) for record in records])
        staying: list[_Parsed] = []
        # The groups of which a message stays: those behind it wait for it.
        held: set[str] = set()
        until = 0.0
        try:
            while waiting and (left := time_left()) >= needed:
                deadline = self._clock() + left - RESERVED_SECONDS
                granted = self._reserve(waiting, deadline - self._sender.longest_send)
                begun, waiting = waiting[:granted], waiting[granted:]
                for parsed, consumed in self._consume_all(begun, deadline, lambda: time_left() >= needed):
                    if consumed is None:
                        staying.append(parsed)
                        continue
                    if not consumed.acknowledged:
                        held.add(self._group(parsed.record))
                    yield consumed
                staying += [parsed for parsed in waiting if self._group(parsed.record) in held]
                waiting = [parsed for parsed in waiting if self._group(parsed.record) not in held]
        except NotNowError as error:
            until = error.until
        finally:
            self._sender.rest()
        staying += waiting
        self._put_back([parsed.record for parsed in staying], max(1.0, until - self._clock()) if until else 0.0, held)
        self._note_waiting(staying, until, lambda: time_left() >= needed)
        for parsed in staying:
            request = None if isinstance(parsed.request, Exception) else parsed.request
            yield Consumed(record_id=parsed.record["messageId"], request=request, put_back_until=until)

    def _others_first(self, batch: Sequence[_Parsed]) -> list[_Parsed]:
        """Return a batch with bulk messages at its end, and with them those that they precede in their groups."""
        first: list[_Parsed] = []
        last: list[_Parsed] = []
        held: set[str] = set()
        for parsed in batch:
            group = self._group(parsed.record)
            if parsed.is_bulk:
                held.add(group)
            (last if group in held else first).append(parsed)
        return first + last

    def _reserve(self, waiting: Sequence[_Parsed], latest: float) -> int:
        """Reserve slots, and return for how many messages there are enough: those of a closed account need none.

        Bulk messages have a reservation of their own, after the others.
        """
        others = list(takewhile(lambda parsed: not parsed.is_bulk, waiting))
        waiting = others or waiting
        needs_slot = [not parsed.account or not self._sender.gate.is_closed_for(parsed.account) for parsed in waiting]
        wanted = sum(needs_slot)
        try:
            granted = self._sender.gate.reserve(wanted, latest=latest, is_bulk=not others) if wanted else 0
        except RecordsUnavailableError:
            # Each message then tries for itself, and is retried for itself.
            granted = wanted
        taken = accumulate(needs_slot)
        return sum(slots <= granted for slots in taken)

    def _consume_all(
        self, begun: Sequence[_Parsed], deadline: float, is_in_time: Callable[[], bool]
    ) -> Iterator[tuple[_Parsed, Consumed | None]]:
        """Consume records in turns, those of one message one after the other, on a FIFO queue those of one group.

        None for those there was no time for, and for those behind one of their group that stays.
        """
        turns: dict[str, list[_Parsed]] = {}
        for parsed in begun:
            turns.setdefault(self._group(parsed.record) if self._is_fifo else parsed.identity, []).append(parsed)

        def consume(turn: list[_Parsed]) -> list[Consumed | None]:
            results: list[Consumed | None] = []
            is_held = False
            for parsed in turn:
                consumed = self._consume(parsed, deadline) if not is_held and is_in_time() else None
                is_held = self._is_fifo and not (consumed and consumed.acknowledged)
                results.append(consumed)
            return results

        in_turns = [parsed for turn in turns.values() for parsed in turn]
        if len(turns) == 1:
            yield from zip(in_turns, chain.from_iterable(map(consume, turns.values())), strict=True)
            return
        with ThreadPoolExecutor(math.ceil(self._settings.queue_send_concurrency * THREADS_PER_CONNECTION)) as pool:
            yield from zip(in_turns, chain.from_iterable(pool.map(consume, turns.values())), strict=True)

    def _parse(self, record: Mapping[str, Any]) -> _Parsed:
        own_id = record["messageId"]
        try:
            body, event_id = unwrap(record["body"].encode("utf-8", "surrogatepass"))
            own_id = event_id or own_id
            request = parse_send_request(
                body, request_id=_attribute(record, REQUEST_ID), max_content_length=self._settings.max_content_length
            ).identified(own_id)
        except InvalidRequestError as error:
            error.request_id = error.request_id or own_id
            return _Parsed(record, error)
        except Exception as error:  # noqa: BLE001 - dealt with when the record's turn comes
            return _Parsed(record, error)
        return _Parsed(record, request)

    def _consume(self, parsed: _Parsed, deadline: float) -> Consumed:
        now = self._clock()
        record = parsed.record
        consumed = Consumed(
            record_id=record["messageId"],
            receives=_receives(record),
            queue_age=max(0.0, now - (_sent_at(record) or now)),
        )
        # Whatever goes wrong with one message is that message's affair: it stays in the queue and the batch goes on.
        try:
            self._send(parsed, consumed, deadline)
        except Exception as error:  # noqa: BLE001
            consumed.fault = error
        return consumed

    def _send(self, parsed: _Parsed, consumed: Consumed, deadline: float) -> None:
        record, request = parsed
        try:
            if isinstance(request, Exception):
                raise request
            consumed.request = request
            if self._is_fifo and self._group(record) != request.device_id:
                self._forward(record, request)
                consumed.forwarded = consumed.acknowledged = True
                return
            restart = _attribute(record, FAILED_CLAIM)
            consumed.outcome = self._sender.send(
                request, restart=restart, accepted_at=_sent_at(record), deadline=deadline
            )
        except Obstacle as error:
            if not (reason := error.letter):
                raise
            request_id = getattr(error, "request_id", None) or record["messageId"]
            # A request has both, and so has what is wrong with one. A campaign waits for its rows without a token.
            token = getattr(request, "task_token", None) or None
            if token or getattr(request, "priority", None) == "bulk":
                self._sender.records.refuse(request_id, token, reason=reason, detail=str(error))
            self._dead_letters.put(record, request_id=request_id, reason=reason, detail=str(error))
            consumed.dead_letter_reason = reason
            consumed.acknowledged = True
            consumed.fault = error
        else:
            self._settle(record, consumed, request, consumed.outcome)

    def _settle(self, record: Mapping[str, Any], consumed: Consumed, request: SendRequest, outcome: Outcome) -> None:
        if outcome.state is State.RETRYING and outcome.error and outcome.error.until is not None:
            # Nothing is wrong with the message.
            self._hide(record, outcome.error.until - self._clock() + put_back_spread(consumed.receives))
            if not outcome.record:
                self._note_waiting([_Parsed(record, request)], outcome.error.until)
            return
        if outcome.state is State.RETRYING:
            # Without an attempt to count (AWS is in the way) receives are, or SQS would soon have had enough of them.
            self._hide(record, retry_delay(outcome.attempts or consumed.receives, outcome.retry_after))
            return
        if outcome.state is State.SENDING:
            # Whoever has it may be done any moment, and is done or dead when the lease is over.
            lease_left = outcome.record.lease_until - self._clock() if outcome.record else 0.0
            self._hide(record, max(1.0, min(lease_left, retry_delay(consumed.receives))))
            return
        if reason := outcome.state.letter:
            # What the provider refused has its answer, and waits only for somebody who knows better.
            is_dead = outcome.state is not State.REJECTED
            why: dict[str, str | int | None] = {
                DETAIL: outcome.record.reason if outcome.record else None,
                ACCOUNT: request.account,
                ATTEMPTS: outcome.attempts,
                LAST_CODE: outcome.code,
                FAILED_CLAIM: outcome.record.owner if outcome.record else None,
            }
            (self._dead_letters if is_dead else self._rejected).put(
                record, request_id=str(request.request_id), reason=reason, **why
            )
            consumed.dead_letter_reason = reason if is_dead else None
        consumed.acknowledged = True

    def _group(self, record: Mapping[str, Any]) -> str:
        # A standard queue knows groups too, and keeps no order in them.
        attributes = record.get("attributes", {}) if self._is_fifo else {}
        return str(attributes.get("MessageGroupId", record["messageId"]))

    def _forward(self, record: Mapping[str, Any], request: SendRequest) -> None:
        """Put a message that came under another group among those of its device, with the identity it has."""
        identity: dict[str, MessageAttributeValueTypeDef] = {
            REQUEST_ID: {"DataType": "String", "StringValue": str(request.request_id)}
        }
        refuse_too_large(request, record["body"], identity)
        put_copy(self._sqs, self._settings.send_queue_url, record, identity, group=request.device_id)

    def _hide(self, record: Mapping[str, Any], seconds: float) -> None:
        self._sqs.change_message_visibility(
            QueueUrl=self._settings.send_queue_url,
            ReceiptHandle=record["receiptHandle"],
            VisibilityTimeout=_visibility_timeout(seconds),
        )

    def _note_waiting(
        self, parsed: Iterable[_Parsed], until: float, is_in_time: Callable[[], bool] = lambda: True
    ) -> None:
        """Leave word of messages that were put back unclaimed, if that is for long: nothing depends on it."""
        if until - self._clock() <= NOTED_SECONDS:
            return
        for record, request in parsed:
            if isinstance(request, Exception):
                continue
            if not is_in_time():
                return
            try:
                self._sender.records.note_queued(request, accepted_at=_sent_at(record), expected_at=until)
            except RecordsUnavailableError:
                # Each further one could wait as long in vain.
                return
            except Obstacle:
                # Whoever takes it next tells of it.
                continue

    def _put_back(self, records: Sequence[Mapping[str, Any]], seconds: float, held: Collection[str]) -> None:
        # SQS keeps those behind the first of their group until that one can be received, and so need no time of theirs.
        waited_for = set(held)
        entries: list[ChangeMessageVisibilityBatchRequestEntryTypeDef] = []
        for index, record in enumerate(records):
            spread = put_back_spread(_receives(record)) if seconds else 0.0
            pause = 0.0 if self._group(record) in waited_for else seconds + spread
            waited_for.add(self._group(record))
            entries.append(
                {
                    "Id": str(index),
                    "ReceiptHandle": record["receiptHandle"],
                    "VisibilityTimeout": _visibility_timeout(pause),
                }
            )
        for batch in batched(entries, SQS_BATCH_SIZE, strict=False):
            try:
                self._sqs.change_message_visibility_batch(QueueUrl=self._settings.send_queue_url, Entries=batch)
            except (BotoCoreError, ClientError):
                # They come back by themselves, when the queue's visibility timeout is over.
                return


def _sent_at(record: Mapping[str, Any]) -> float | None:
    """Return when a message came onto the queue, in seconds since the epoch."""
    sent = record.get("attributes", {}).get("SentTimestamp")
    return int(sent) / 1000 if sent else None


def _receives(record: Mapping[str, Any]) -> int:
    return int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))


def _visibility_timeout(seconds: float) -> int:
    return min(MAX_INVISIBLE_SECONDS, max(0, math.ceil(seconds)))


def _attribute(record: Mapping[str, Any], name: str) -> str | None:
    value: str | None = record.get("messageAttributes", {}).get(name, {}).get("stringValue")
    return value
