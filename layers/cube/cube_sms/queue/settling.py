"""Settling messages with the queue: acknowledged, hidden for a while, put back, or copied onto another queue."""

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

# SQS keeps a message invisible for at most 12 hours from when it was received, of which the invocation has used some,
# and changes at most 10 at once.
MAX_INVISIBLE_SECONDS = 12 * 3600 - 15 * 60
SQS_BATCH_SIZE = 10

# A message that is put back unclaimed for longer than this is one that somebody may look for.
NOTED_SECONDS = 60.0

# Calls of SQS at the same time, and writes of those that wait.
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
        Where word is left of messages that wait, or are not accepted.
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
            What trying each came to; None if it has been put among the messages of its device.

        Returns
        -------
        list of Consumed
            What became of each. Whatever goes wrong with one message is that message's affair: it stays in the queue.
        """
        tried = list(zip(messages, results, strict=True))
        return self._calls.each(self._settle, tried)

    def put_back(
        self, messages: Sequence[QueueMessage], until: float, held: Collection[str], is_in_time: Callable[[], bool]
    ) -> list[Consumed]:
        """Put back messages that were not tried.

        Parameters
        ----------
        messages : sequence of QueueMessage
            The messages.
        until : float
            Seconds since the epoch from when on they may be sent; 0 if only time has run out.
        held : collection of str
            The groups of which a message stays that came before these.
        is_in_time : Callable[[], bool]
            Whether there is time to leave word of them.

        Returns
        -------
        list of Consumed
            One for each.
        """
        seconds = max(1.0, until - self._clock()) if until else 0.0
        # SQS keeps those behind the first of their group until that one can be received, and so need no time of theirs.
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
        """Put what cannot be sent onto the dead-letter queue, if no further try would change anything."""
        consumed.fault = error
        if not isinstance(error, Obstacle) or not (reason := error.letter):
            return
        request_id = getattr(error, "request_id", None) or message.record["messageId"]
        # A request has both, and so has what is wrong with one. A campaign waits for its rows without a token.
        token = getattr(message.request, "task_token", None) or None
        if token or getattr(message.request, "priority", None) == "bulk":
            self._records.refuse(request_id, token, reason=reason, detail=str(error))
        self._dead_letters.put(message.record, request_id=request_id, reason=reason, detail=str(error))
        consumed.dead_letter_reason = reason
        consumed.acknowledged = True

    def _follow(self, message: QueueMessage, consumed: Consumed, outcome: Outcome) -> None:
        """Do with a message what its outcome asks for."""
        if outcome.state is State.RETRYING and outcome.error and outcome.error.until is not None:
            # Nothing is wrong with the message.
            self._hide(message, outcome.error.until - self._clock() + put_back_spread(message.receives))
            if not outcome.record:
                self._note_waiting([message], outcome.error.until)
            return
        if outcome.state is State.RETRYING:
            # Without an attempt to count (AWS is in the way) receives are, or SQS would soon have had enough of them.
            self._hide(message, retry_delay(outcome.attempts or message.receives, outcome.retry_after))
            return
        if outcome.state is State.SENDING:
            # Whoever has it may be done any moment, and is done or dead when the lease is over.
            lease_left = outcome.record.lease_until - self._clock() if outcome.record else 0.0
            self._hide(message, max(1.0, min(lease_left, retry_delay(message.receives))))
            return
        if reason := outcome.state.letter:
            # What the provider refused has its answer, and waits only for somebody who knows better.
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
        # If it fails, they come back by themselves, when the queue's visibility timeout is over.
        with suppress(BotoCoreError, ClientError):
            self._sqs.change_message_visibility_batch(QueueUrl=self._queue_url, Entries=entries)

    def _note_waiting(
        self, messages: Sequence[QueueMessage], until: float, is_in_time: Callable[[], bool] = lambda: True
    ) -> None:
        """Leave word of messages that were put back unclaimed, if that is for long: nothing depends on it."""
        if until - self._clock() <= NOTED_SECONDS:
            return
        is_away = Event()

        def note(message: QueueMessage) -> None:
            if isinstance(message.request, Exception) or is_away.is_set() or not is_in_time():
                return
            try:
                self._records.note_queued(message.request, accepted_at=message.sent_at, expected_at=until)
            except RecordsUnavailableError:
                # Each further one could wait as long in vain.
                is_away.set()
            except Obstacle:
                # Whoever takes it next tells of it.
                return

        self._calls.each(note, messages)


def _request(message: QueueMessage) -> SendRequest | None:
    return None if isinstance(message.request, Exception) else message.request


def _visibility_timeout(seconds: float) -> int:
    return min(MAX_INVISIBLE_SECONDS, max(0, math.ceil(seconds)))
