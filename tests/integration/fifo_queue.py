"""A FIFO queue in the time of a test's clock, and Lambda's part of it.

Messages of a group are received in order. A received message blocks those behind it until it is deleted or visible
again. Those before it can be received.
"""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SEND_QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/cube-sms-send.fifo"
DEAD_LETTER_QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/cube-sms-dead-letters.fifo"

VISIBILITY_TIMEOUT = 360.0
DEDUPLICATION_SECONDS = 300.0


@dataclass(eq=False)
class Message:
    """A message on the queue."""

    body: str
    group: str
    attributes: dict[str, Any]
    sent_at: float
    message_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    receipt: str = ""
    receives: int = 0
    visible_at: float = 0.0

    def record(self) -> dict[str, Any]:
        """Return it as a record of Lambda's event."""
        return {
            "messageId": self.message_id,
            "receiptHandle": self.receipt,
            "body": self.body,
            "attributes": {
                "ApproximateReceiveCount": str(self.receives),
                "SentTimestamp": str(int(self.sent_at * 1000)),
                "MessageGroupId": self.group,
            },
            "messageAttributes": {
                name: {"dataType": value["DataType"], "stringValue": value["StringValue"]}
                for name, value in self.attributes.items()
            },
        }


class FifoQueues:
    """The send queue and the dead-letter queue, with as much of SQS's API as the functions call."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.messages: list[Message] = []
        self.letters: list[str] = []
        self._receipts = itertools.count()
        self._seen: dict[tuple[str, str, str], float] = {}

    def send_message(
        self,
        *,
        QueueUrl: str,  # noqa: N803 - AWS's names
        MessageBody: str,  # noqa: N803
        MessageGroupId: str,  # noqa: N803
        MessageDeduplicationId: str,  # noqa: N803
        MessageAttributes: dict[str, Any] | None = None,  # noqa: N803
    ) -> None:
        key = (QueueUrl, MessageGroupId, MessageDeduplicationId)
        if self._clock() < self._seen.get(key, 0.0):
            return
        self._seen[key] = self._clock() + DEDUPLICATION_SECONDS
        if QueueUrl == DEAD_LETTER_QUEUE:
            self.letters.append(MessageBody)
        else:
            assert QueueUrl == SEND_QUEUE
            self.messages.append(Message(MessageBody, MessageGroupId, MessageAttributes or {}, self._clock()))

    def change_message_visibility(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:  # noqa: N803
        assert QueueUrl == SEND_QUEUE
        for message in self.messages:
            # An older receipt changes nothing.
            if message.receipt == ReceiptHandle:
                message.visible_at = self._clock() + VisibilityTimeout

    def change_message_visibility_batch(self, *, QueueUrl: str, Entries: Sequence[dict[str, Any]]) -> None:  # noqa: N803
        for entry in Entries:
            self.change_message_visibility(
                QueueUrl=QueueUrl,
                ReceiptHandle=entry["ReceiptHandle"],
                VisibilityTimeout=entry["VisibilityTimeout"],
            )

    def receive(self, most: int) -> list[dict[str, Any]]:
        """Receive messages as Lambda does, and return their records."""
        blocked: set[str] = set()
        received: list[dict[str, Any]] = []
        for message in self.messages:
            if message.visible_at > self._clock():
                blocked.add(message.group)
            elif message.group not in blocked and len(received) < most:
                message.receipt = str(next(self._receipts))
                message.receives += 1
                message.visible_at = self._clock() + VISIBILITY_TIMEOUT
                received.append(message.record())
        return received

    def delete(self, receipts: set[str]) -> None:
        """Delete messages by their receipts, as Lambda does when the function has returned; older ones do nothing."""
        self.messages = [message for message in self.messages if message.receipt not in receipts]

    def next_visible_at(self) -> float:
        """Return when something can be received next."""
        firsts = {message.group: message for message in reversed(self.messages)}
        return min(message.visible_at for message in firsts.values())
