"""Consumer of the send queue: sends a batch in groups, one query each, and settles each message."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, chain, takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.delivery import Message, Share, group_turns, share_of
from cube_sms.pacing import NotNowError
from cube_sms.platform import FAILED_CLAIM, RecordsUnavailableError, is_fifo, put_copy
from cube_sms.request import refuse_too_large

from .dead_letters import REQUEST_ID
from .messages import QueueMessage, read_message
from .settling import Settling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

    from cube_sms.delivery import Outcome, Sender
    from cube_sms.pacing import GateStatus
    from cube_sms.platform import Settings

    from .messages import Consumed

# While every connection has its POST, other threads claim the next messages and write the outcomes of the last ones. If
# a worker crashes, each of its threads may have left a group claimed.
THREADS_PER_CONNECTION = 1.25

# Seconds reserved at the end of an invocation: for Secrets Manager, DynamoDB, SQS and the metrics. Each message needs
# the second time, to return to the queue.
RESERVED_SECONDS = 2.0
PUT_BACK_SECONDS = 0.005

# A worker reserves the queries of a second at once, and at least this many. More would take lanes from others for
# longer.
LEAST_RESERVED = 10

# Seconds after which an invocation begins no further group: messages that have come meanwhile may be more urgent than
# the rest of a large batch.
BATCH_SECONDS = 10.0


class _Group(NamedTuple):
    """Messages that share a query. Groups with the same number in `turn` are sent one after the other."""

    messages: list[QueueMessage]
    turn: int


class QueueConsumer:
    """Sends the messages of a batch and settles each with the queue.

    Parameters
    ----------
    sender : Sender
        Sends messages that share a query.
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
        self._settling = Settling(sqs, settings, sender.records, clock=clock)
        self._most_reserved = max(LEAST_RESERVED, settings.cube_max_qps)
        self._clock = clock

    @property
    def gate_status(self) -> GateStatus:
        """The state of the gate, as last seen."""
        return self._sender.gate.status

    def consume(self, records: Sequence[Mapping[str, Any]], time_left: Callable[[], float]) -> Iterator[Consumed]:
        """Send a batch, and yield the result of each message as soon as it is known.

        Parameters
        ----------
        records : sequence of mapping
            The records of Lambda's SQS event.
        time_left : Callable[[], float]
            Seconds until Lambda ends the invocation. A message is begun only if it can be finished by then.

        Yields
        ------
        Consumed
            One for each record.
        """
        reserved = RESERVED_SECONDS + PUT_BACK_SECONDS * len(records)
        needed = self._sender.longest_send + reserved
        most = self._settings.max_content_length
        batch = [read_message(record, is_fifo=self._is_fifo, max_content_length=most) for record in records]
        groups = self._groups(_others_first(batch))
        staying: list[QueueMessage] = []
        # The FIFO groups with a message that stays: the later ones wait for it.
        held: set[str] = set()
        until = 0.0
        is_over_at = self._clock() + BATCH_SECONDS
        try:
            while groups and (left := time_left()) >= needed and self._clock() < is_over_at:
                deadline = self._clock() + left - reserved
                granted = self._reserve(groups, deadline - self._sender.longest_send)
                begun, groups = groups[:granted], groups[granted:]
                for message, consumed in self._consume_all(begun, deadline, lambda: time_left() >= needed):
                    if consumed is None:
                        staying.append(message)
                        continue
                    if not consumed.acknowledged:
                        held.add(message.group)
                    yield consumed
                staying += [message for message in _messages(groups) if message.group in held]
                groups = _without(groups, held)
        except NotNowError as error:
            until = error.until
        finally:
            self._sender.rest()
        staying += _messages(groups)
        if staying:
            yield from self._settling.put_back(staying, until, held, lambda: time_left() >= needed)

    def _groups(self, batch: Sequence[QueueMessage]) -> list[_Group]:
        """Return messages in groups that share a query each, in the order of the batch.

        The copies of one message are sent one after the other. On a FIFO queue, so are the messages of a FIFO group.
        """
        turns: dict[str, list[QueueMessage]] = {}
        for message in batch:
            turns.setdefault(message.group if self._is_fifo else message.identity, []).append(message)
        accounts = {message.account for message in batch if message.account}
        most = {account: self._sender.most_together(account) for account in accounts}

        def share(message: QueueMessage) -> Share | None:
            if isinstance(message.request, Exception) or self._is_misplaced(message):
                return None
            return share_of(message.request, most[message.request.account])

        merged = group_turns(list(turns.values()), share)
        groups = [_Group(group, number) for number, turn in enumerate(merged) for group in turn]
        places = {message.record["messageId"]: place for place, message in enumerate(batch)}
        return sorted(groups, key=lambda group: places[group.messages[0].record["messageId"]])

    def _reserve(self, groups: Sequence[_Group], latest: float) -> int:
        """Reserve slots, and return for how many groups they are enough. Groups of a closed account need none.

        Bulk messages have a reservation of their own, after the others.
        """
        others = list(takewhile(lambda group: not group.messages[0].is_bulk, groups))
        accounts = [group.messages[0].account for group in others or groups]
        needs_slot = [not account or not self._sender.gate.is_closed_for(account) for account in accounts]
        wanted = min(sum(needs_slot), self._most_reserved)
        try:
            granted = self._sender.gate.reserve(wanted, latest=latest, is_bulk=not others) if wanted else 0
        except RecordsUnavailableError:
            # Then each group tries to take a slot, and is retried by itself.
            granted = wanted
        taken = accumulate(needs_slot)
        return sum(slots <= granted for slots in taken)

    def _consume_all(
        self, begun: Sequence[_Group], deadline: float, is_in_time: Callable[[], bool]
    ) -> Iterator[tuple[QueueMessage, Consumed | None]]:
        """Consume groups, those with the same number in `turn` one after the other.

        The result of a message is None if the time does not suffice for it, or if an earlier one of its FIFO group
        stays.
        """
        turns: dict[int, list[list[QueueMessage]]] = {}
        for group in begun:
            turns.setdefault(group.turn, []).append(group.messages)

        def consume(turn: Sequence[Sequence[QueueMessage]]) -> list[tuple[QueueMessage, Consumed | None]]:
            results: list[tuple[QueueMessage, Consumed | None]] = []
            held: set[str] = set()
            for messages in turn:
                going = [message for message in messages if message.group not in held]
                consumed = self._consume(going, deadline) if going and is_in_time() else ()
                by_id: dict[str, Consumed] = {each.record_id: each for each in consumed}
                found = [(message, by_id.get(message.record["messageId"])) for message in messages]
                held |= {message.group for message, each in found if not (each and each.acknowledged)}
                results += found
            return results

        if len(turns) == 1:
            yield from chain.from_iterable(map(consume, turns.values()))
            return
        with ThreadPoolExecutor(math.ceil(self._settings.queue_send_concurrency * THREADS_PER_CONNECTION)) as pool:
            yield from chain.from_iterable(pool.map(consume, turns.values()))

    def _consume(self, messages: Sequence[QueueMessage], deadline: float) -> list[Consumed]:
        try:
            results = self._send(messages, deadline)
        except Exception as error:  # noqa: BLE001 - the fault of one group does not stop the batch
            return self._settling.settle(messages, [error] * len(messages))
        return self._settling.settle(messages, results)

    def _send(self, messages: Sequence[QueueMessage], deadline: float) -> Sequence[Outcome | Exception | None]:
        """Send messages that share a query. The result is None for one that was forwarded to its device's group."""
        sent = []
        for message in messages:
            # A message that is not sent is alone.
            if isinstance(message.request, Exception):
                return [message.request]
            if self._is_misplaced(message):
                self._forward(message)
                return [None]
            sent.append(Message(message.request, message.attribute(FAILED_CLAIM), message.sent_at))
        return self._sender.send_together(sent, deadline=deadline)

    def _is_misplaced(self, message: QueueMessage) -> bool:
        """Return whether a message has another FIFO group than that of its device."""
        request = message.request
        return self._is_fifo and not isinstance(request, Exception) and message.group != request.device_id

    def _forward(self, message: QueueMessage) -> None:
        """Forward a message to the FIFO group of its device, with the identity that it has."""
        request: Any = message.request
        identity: dict[str, MessageAttributeValueTypeDef] = {
            REQUEST_ID: {"DataType": "String", "StringValue": str(request.request_id)}
        }
        refuse_too_large(request, message.record["body"], identity)
        put_copy(self._sqs, self._settings.send_queue_url, message.record, identity, group=request.device_id)


def _others_first(batch: Sequence[QueueMessage]) -> list[QueueMessage]:
    """Return a batch with bulk messages at its end, each followed by the later messages of its FIFO group."""
    first: list[QueueMessage] = []
    last: list[QueueMessage] = []
    held: set[str] = set()
    for message in batch:
        if message.is_bulk:
            held.add(message.group)
        (last if message.group in held else first).append(message)
    return first + last


def _messages(groups: Sequence[_Group]) -> list[QueueMessage]:
    return [message for group in groups for message in group.messages]


def _without(groups: Sequence[_Group], held: set[str]) -> list[_Group]:
    """Return the groups without the messages of FIFO groups that wait."""
    left = [group._replace(messages=[each for each in group.messages if each.group not in held]) for group in groups]
    return [group for group in left if group.messages]
