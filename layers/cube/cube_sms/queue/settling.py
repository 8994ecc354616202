"""Settle messages with the queue: acknowledge them, hide them for a while, or copy them onto another queue."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from itertools import batched
from threading import Event
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from cube_sms.delivery import State, put_back_spread, retry_delay
from cube_sms.platform import FAILED_CLAIM, Obstacle, RecordsUnavailableError, SideBySide

from .dead_letters import ACCOUNT, ATTEMPTS, DETAIL, LAST_CODE, DeadLetterQueue
from .messages import Consumed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import ChangeMessageVisibilityBatchRequestEntryTypeDef

    from cube_sms.delivery import Outcome, RecordStore
    from cube_sms.platform import Settings
    from cube_sms.request import SendRequest

    from .messages import QueueMessage

# SQS keeps a message invisible for 12 hours after its receipt at most. The invocation has used some of that time. SQS
# changes 10 messages at once at most.
MAX_INVISIBLE_SECONDS = 12 * 3600 - 15 * 60
SQS_BATCH_SIZE = 10

# If a message returns to the queue unclaimed for longer than this, it gets a record, since a caller may ask for it.
NOTED_SECONDS = 60.0

# Calls of SQS at the same time, or writes of waiting messages.
CALLS_AT_ONCE = 8


class Settling:
    """Settles messages with the queue. Safe to share between threads.

    Parameters
    ----------
    sqs : SQSClient
        boto3's client.
    settings : Settings
        The deployment's settings.
    records : RecordStore
        The records, for messages that wait or are refused.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self, sqs: SQSClient, settings: Settings, records: RecordStore, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._sqs = sqs
        self._queue_url = settings.send_queue_url
        self._dead_letters = DeadLetterQueue(sqs, settings.dead_letter_queue_url)
        self._rejected = DeadLetterQueue(sqs, settings.rejected_queue_url)
        self._records = records
        self._clock = clock
        self._calls = SideBySide(CALLS_AT_ONCE)

    def settle(self, messages: Sequence[QueueMessage], results: Sequence[Outcome | Exception | None]) -> list[Consumed]:
        """Settle messages that were tried.

        Parameters
        ----------
        messages : sequence of QueueMessage
            The messages.
        results : sequence of Outcome, Exception or None
            The result of each; None if it was forwarded to the group of its device.

        Returns
        -------
        list of Consumed
            One for each. A message that cannot be settled stays on the queue, and the others are settled.
        """
        tried = list(zip(messages, results, strict=True))
        return self._calls.each(self._settle, tried)

    def put_back(
        self, messages: Sequence[QueueMessage], until: float, held: Collection[str], is_in_time: Callable[[], bool]
    ) -> list[Consumed]:
        """Return messages to the queue that were not tried.

        Parameters
        ----------
        messages : sequence of QueueMessage
            The messages.
        until : float
            Seconds since the epoch: when they may be sent; 0 if only the invocation has to end.
        held : collection of str
            The groups with an earlier message that stays.
        is_in_time : Callable[[], bool]
            Whether there is time to write their records.

        Returns
        -------
        list of Consumed
            One for each.
        """
        seconds = max(1.0, until - self._clock()) if until else 0.0
        # The later messages of a group need no time of their own: SQS keeps them until the first one can be received.
        waited_for = set(held)
        entries: list[ChangeMessageVisibilityBatchRequestEntryTypeDef] = []
        for index, message in enumerate(messages):
            spread = put_back_spread(message.receives) if seconds else 0.0
            pause = 0.0 if message.group in waited_for else seconds + spread
            waited_for.add(message.group)
            entries.append(
                {
                    "Id": str(index),
                    "ReceiptHandle": message.record["receiptHandle"],
                    "VisibilityTimeout": _visibility_timeout(pause),
                }
            )
        self._calls.each(self._hide_all, list(batched(entries, SQS_BATCH_SIZE, strict=False)))
        self._note_waiting(messages, until, is_in_time)
        return [
            Consumed(record_id=message.record["messageId"], request=_request(message), put_back_until=until)
            for message in messages
        ]

    def _settle(self, tried: tuple[QueueMessage, Outcome | Exception | None]) -> Consumed:
        message, result = tried
        now = self._clock()
        consumed = Consumed(
            record_id=message.record["messageId"],
            receives=message.receives,
            queue_age=max(0.0, now - (message.sent_at or now)),
            request=_request(message),
        )
        try:
            if result is None:
                consumed.forwarded = consumed.acknowledged = True
            elif isinstance(result, Exception):
                self._refuse(message, consumed, result)
            else:
                consumed.outcome = result
                self._follow(message, consumed, result)
        except Exception as error:  # noqa: BLE001
            consumed.fault = error
        return consumed

    def _refuse(self, message: QueueMessage, consumed: Consumed, error: Exception) -> None:
        """Put a message onto the dead-letter queue if no further try can succeed."""
        consumed.fault = error
        if not isinstance(error, Obstacle) or not (reason := error.letter):
            return
        request_id = getattr(error, "request_id", None) or message.record["messageId"]
        # A request has both, and so has the error of an invalid one. A campaign waits for its rows without a token.
        token = getattr(message.request, "task_token", None) or None
        if token or getattr(message.request, "priority", None) == "bulk":
            self._records.refuse(request_id, token, reason=reason, detail=str(error))
        self._dead_letters.put(message.record, request_id=request_id, reason=reason, detail=str(error))
        consumed.dead_letter_reason = reason
        consumed.acknowledged = True

    def _follow(self, message: QueueMessage, consumed: Consumed, outcome: Outcome) -> None:
        """Settle a message by its outcome."""
        if outcome.state is State.RETRYING and outcome.error and outcome.error.until is not None:
            # The message has no fault.
            self._hide(message, outcome.error.until - self._clock() + put_back_spread(message.receives))
            if not outcome.record:
                self._note_waiting([message], outcome.error.until)
            return
        if outcome.state is State.RETRYING:
            # If AWS prevents attempts, receives count instead. Otherwise SQS would soon make it a dead letter.
            self._hide(message, retry_delay(outcome.attempts or message.receives, outcome.retry_after))
            return
        if outcome.state is State.SENDING:
            # Another worker has claimed it, and may finish at any moment. At the end of the lease it has finished or
            # crashed.
            lease_left = outcome.record.lease_until - self._clock() if outcome.record else 0.0
            self._hide(message, max(1.0, min(lease_left, retry_delay(message.receives))))
            return
        if reason := outcome.state.letter:
            # A rejected message has its answer. It waits only for an operator who redrives it.
            is_dead = outcome.state is not State.REJECTED
            why: dict[str, str | int | None] = {
                DETAIL: outcome.record.reason if outcome.record else None,
                ACCOUNT: message.account,
                ATTEMPTS: outcome.attempts,
                LAST_CODE: outcome.code,
                FAILED_CLAIM: outcome.record.owner if outcome.record else None,
            }
            (self._dead_letters if is_dead else self._rejected).put(
                message.record, request_id=str(getattr(message.request, "request_id", "")), reason=reason, **why
            )
            consumed.dead_letter_reason = reason if is_dead else None
        consumed.acknowledged = True

    def _hide(self, message: QueueMessage, seconds: float) -> None:
        self._sqs.change_message_visibility(
            QueueUrl=self._queue_url,
            ReceiptHandle=message.record["receiptHandle"],
            VisibilityTimeout=_visibility_timeout(seconds),
        )

    def _hide_all(self, entries: Sequence[ChangeMessageVisibilityBatchRequestEntryTypeDef]) -> None:
        # If it fails, they are visible again when the queue's visibility timeout is over.
        with suppress(BotoCoreError, ClientError):
            self._sqs.change_message_visibility_batch(QueueUrl=self._queue_url, Entries=entries)

    def _note_waiting(
        self, messages: Sequence[QueueMessage], until: float, is_in_time: Callable[[], bool] = lambda: True
    ) -> None:
        """Write a record of messages that return to the queue unclaimed for long: for information only."""
        if until - self._clock() <= NOTED_SECONDS:
            return
        is_away = Event()

        def note(message: QueueMessage) -> None:
            if isinstance(message.request, Exception) or is_away.is_set() or not is_in_time():
                return
            try:
                self._records.note_queued(message.request, accepted_at=message.sent_at, expected_at=until)
            except RecordsUnavailableError:
                # Each further write could wait as long for the same result.
                is_away.set()
            except Obstacle:
                # The worker that takes the message next reports it.
                return

        self._calls.each(note, messages)


def _request(message: QueueMessage) -> SendRequest | None:
    return None if isinstance(message.request, Exception) else message.request


def _visibility_timeout(seconds: float) -> int:
    return min(MAX_INVISIBLE_SECONDS, max(0, math.ceil(seconds)))
