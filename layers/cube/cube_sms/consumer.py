"""Consumer of the send queue: what becomes of each message of a batch."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from .backoff import retry_delay
from .dead_letters import ATTEMPTS_USED_UP, CONFLICT, FAILED_CLAIM, INVALID_REQUEST, REQUEST_ID, DeadLetterQueue
from .errors import InvalidRequestError, RequestConflictError
from .models import parse_send_request
from .states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_sqs import SQSClient

    from .models import SendRequest
    from .sending import Outcome, Sender
    from .settings import Settings

# SQS keeps a message invisible for at most 12 hours from when it was received, of which the invocation has used some,
# and changes at most 10 at once.
MAX_INVISIBLE_SECONDS = 12 * 3600 - 15 * 60
SQS_BATCH_SIZE = 10

# Kept free at the end of an invocation: for Secrets Manager, DynamoDB, SQS, and the metrics.
RESERVED_SECONDS = 2.0


@dataclass(slots=True, kw_only=True)
class Consumed:
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
    """

    record_id: str
    receives: int = 0
    queue_age: float = 0.0
    request: SendRequest | None = None
    outcome: Outcome | None = None
    fault: Exception | None = None
    dead_letter_reason: str | None = None
    acknowledged: bool = False


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
        self._dead_letters = DeadLetterQueue(sqs, settings.dead_letter_queue_url)
        self._clock = clock

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
            One for each record, in no certain order.
        """
        needed = self._sender.longest_send + RESERVED_SECONDS

        def consume_in_time(record: Mapping[str, Any]) -> Consumed | None:
            return self._consume(record) if time_left() >= needed else None

        left_over = []
        for record, consumed in _map_unordered(consume_in_time, records, self._settings.queue_send_concurrency):
            if consumed is None:
                left_over.append(record)
            else:
                yield consumed
        self._hand_back(left_over)
        for record in left_over:
            yield Consumed(record_id=record["messageId"])

    def _consume(self, record: Mapping[str, Any]) -> Consumed:
        now = self._clock()
        attributes = record.get("attributes", {})
        consumed = Consumed(
            record_id=record["messageId"],
            receives=int(attributes.get("ApproximateReceiveCount", 1)),
            queue_age=max(0.0, now - int(attributes.get("SentTimestamp", now * 1000)) / 1000),
        )
        # Whatever goes wrong with one message is that message's affair: it stays in the queue and the batch goes on.
        try:
            self._send(record, consumed)
        except Exception as error:  # noqa: BLE001
            consumed.fault = error
        return consumed

    def _send(self, record: Mapping[str, Any], consumed: Consumed) -> None:
        try:
            request = parse_send_request(
                record["body"].encode("utf-8", "surrogatepass"),
                request_id=_attribute(record, REQUEST_ID),
                max_content_length=self._settings.max_content_length,
            ).identified(record["messageId"])
            consumed.request = request
            consumed.outcome = self._sender.send(request, restart=_attribute(record, FAILED_CLAIM))
        except (InvalidRequestError, RequestConflictError) as error:
            reason = INVALID_REQUEST if isinstance(error, InvalidRequestError) else CONFLICT
            request_id = error.request_id or record["messageId"]
            self._dead_letters.put(record, request_id=request_id, reason=reason, detail=str(error))
            consumed.dead_letter_reason = reason
            consumed.acknowledged = True
            consumed.fault = error
        else:
            self._settle(record, consumed, request, consumed.outcome)

    def _settle(self, record: Mapping[str, Any], consumed: Consumed, request: SendRequest, outcome: Outcome) -> None:
        if outcome.state is State.RETRYING:
            # Without an attempt to count (AWS is in the way) receives are, or SQS would soon have had enough of them.
            self._hide(record, retry_delay(outcome.attempts or consumed.receives, outcome.retry_after))
            return
        if outcome.state is State.SENDING:
            # Whoever has it may be done any moment, and is done or dead when the lease is over.
            lease_left = outcome.record.lease_until - self._clock() if outcome.record else 0.0
            self._hide(record, max(1.0, min(lease_left, retry_delay(consumed.receives))))
            return
        if outcome.state is State.FAILED:
            self._dead_letters.put(
                record,
                request_id=str(request.request_id),
                reason=ATTEMPTS_USED_UP,
                detail=outcome.record.reason if outcome.record else None,
                attempts=outcome.attempts,
                lastCode=outcome.code,
                **{FAILED_CLAIM: outcome.record.owner if outcome.record else None},
            )
            consumed.dead_letter_reason = ATTEMPTS_USED_UP
        consumed.acknowledged = True

    def _hide(self, record: Mapping[str, Any], seconds: float) -> None:
        self._sqs.change_message_visibility(
            QueueUrl=self._settings.send_queue_url,
            ReceiptHandle=record["receiptHandle"],
            VisibilityTimeout=min(MAX_INVISIBLE_SECONDS, math.ceil(seconds)),
        )

    def _hand_back(self, records: Sequence[Mapping[str, Any]]) -> None:
        for batch in batched(records, SQS_BATCH_SIZE, strict=False):
            try:
                self._sqs.change_message_visibility_batch(
                    QueueUrl=self._settings.send_queue_url,
                    Entries=[
                        {"Id": str(index), "ReceiptHandle": record["receiptHandle"], "VisibilityTimeout": 0}
                        for index, record in enumerate(batch)
                    ],
                )
            except (BotoCoreError, ClientError):
                # They come back by themselves, when the queue's visibility timeout is over.
                return


def _map_unordered[Item, Result](
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, Result]]:
    if workers == 1 or len(items) == 1:
        for item in items:
            yield item, function(item)
        return
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(function, item): item for item in items}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _attribute(record: Mapping[str, Any], name: str) -> str | None:
    value: str | None = record.get("messageAttributes", {}).get(name, {}).get("stringValue")
    return value
