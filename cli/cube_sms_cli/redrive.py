"""Dead letters that leave their queue: they are redriven to the send queue, or deleted."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from cube_sms.platform import is_fifo

from .letters import Summary, identities, is_cut
from .look import Look
from .output import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef
    from rich.console import RenderableType

    from .choosing import Choice

type Tell = Callable[[int, int, int], None]
"""Takes how many dead letters were looked at, about how many there are, and how many are done."""


class Redrive:
    """Redrives dead letters to the send queue, each once, and sees which of them return.

    Parameters
    ----------
    sqs : SQSClient
        boto3's client.
    source, target : str
        URLs of the dead-letter queue and of the send queue.
    choice : Choice
        Which are to be redriven.
    """

    def __init__(self, sqs: SQSClient, source: str, target: str, choice: Choice) -> None:
        self._sqs = sqs
        self._source = source
        self._target = target
        self._choice = choice
        self._lock = threading.Lock()
        self._ids: set[str] = set()
        self._wait = 0.0
        self._hidden = 0
        self.put_back = 0
        self.refused = Summary()
        self.came_back = Summary()
        self.look = Look(sqs, source, self._take, self._later)

    def run(self, wait: float, tell: Tell) -> None:
        """Redrive them, and wait for those that return at once, so many seconds at the most."""
        self._tell = tell
        with self.look as look:
            look.run()
            if self.put_back:
                self._wait = wait
                look.wait(wait, lambda: self.came_back.count >= self.put_back)
                self._hidden = look.hidden

    @property
    def missing(self) -> list[str]:
        """The ids that were asked for, and that no redriven message has."""
        return [each for each in self._choice.request_id or () if each not in self._ids]

    @property
    def data(self) -> dict[str, Any]:
        """What became of them."""
        return {
            "putBack": self.put_back,
            "cameBack": self.came_back.count,
            "waitedSeconds": self._wait,
            "left": len(self.look.left),
            "behindOthers": self._hidden,
            "notLookedAt": self.look.unseen,
            "onlyInPart": self.refused.data,
            "cameBackByReason": self.came_back.data,
            "missing": self.missing,
        }

    def shown(self) -> Iterator[RenderableType]:
        """Yield what became of them, for people."""
        if self.refused.count:
            yield "Not redriven, because only a part of the message is there:"
            yield from self.refused.shown()
        if self.came_back.count:
            yield "Returned:"
            yield from self.came_back.shown()
        others = f" and about {self._hidden} behind them" if self._hidden else self.look.and_unseen
        yield (
            f"{self.put_back} redriven to the send queue, {self.came_back.count} returned within {self._wait:g} s, "
            f"{len(self.look.left)} left{others}"
        )

    def _take(self, letter: MessageTypeDef) -> bool:
        if self.look.age(letter) <= 0 and self._is_known(letter):
            # Within the second in which the look began.
            self.came_back.add(letter)
            return False
        if not self._choice(letter):
            return False
        if is_cut(letter):
            self.refused.add(letter)
            return False
        # First the one, then the other: between them the message is there twice, which its record allows.
        request_id, digest = identities(letter)
        with self._lock:
            self._ids.add(digest if request_id == NONE else request_id)
        self._sqs.send_message(
            QueueUrl=self._target,
            MessageBody=letter["Body"],
            MessageAttributes=attributes_to_send(letter),
            **place(letter, self._target),
        )
        self._sqs.delete_message(QueueUrl=self._source, ReceiptHandle=letter["ReceiptHandle"])
        with self._lock:
            self.put_back += 1
            self._tell(self.look.seen, self.look.expected, self.put_back)
        return True

    def _later(self, letter: MessageTypeDef) -> None:
        if self._is_known(letter):
            self.came_back.add(letter)

    def _is_known(self, letter: MessageTypeDef) -> bool:
        with self._lock:
            return not self._ids.isdisjoint(identities(letter))


class Deletion:
    """Deletes dead letters.

    Parameters
    ----------
    sqs : SQSClient
        boto3's client.
    source : str
        URL of the dead-letter queue.
    choice : Choice
        Which are to be deleted.
    """

    def __init__(self, sqs: SQSClient, source: str, choice: Choice) -> None:
        self._sqs = sqs
        self._source = source
        self._choice = choice
        self._lock = threading.Lock()
        self._ids: set[str] = set()
        self.deleted = 0
        self.look = Look(sqs, source, self._take)

    def run(self, tell: Tell) -> None:
        """Delete them."""
        self._tell = tell
        with self.look as look:
            look.run()

    @property
    def missing(self) -> list[str]:
        """The ids that were asked for, and that no deleted message has."""
        return [each for each in self._choice.request_id or () if each not in self._ids]

    @property
    def data(self) -> dict[str, Any]:
        """What became of them."""
        left, unseen = len(self.look.left), self.look.unseen
        return {"deleted": self.deleted, "left": left, "notLookedAt": unseen, "missing": self.missing}

    def shown(self) -> Iterator[RenderableType]:
        """Yield what became of them, for people."""
        yield f"{self.deleted} deleted, {len(self.look.left)} left{self.look.and_unseen}"

    def _take(self, letter: MessageTypeDef) -> bool:
        if not self._choice(letter):
            return False
        self._sqs.delete_message(QueueUrl=self._source, ReceiptHandle=letter["ReceiptHandle"])
        with self._lock:
            self._ids.update(identities(letter))
            self.deleted += 1
            self._tell(self.look.seen, self.look.expected, self.deleted)
        return True


def attributes_to_send(letter: MessageTypeDef) -> dict[str, Any]:
    """Return the attributes as they were: the message's identity is among them, and the claim that failed."""
    known = ("DataType", "StringValue", "BinaryValue")
    return {
        name: {key: value for key, value in attribute.items() if key in known}
        for name, attribute in letter.get("MessageAttributes", {}).items()
    }


def place(letter: MessageTypeDef, queue_url: str) -> dict[str, Any]:
    """Return what a FIFO queue needs: a group, and an id by which it drops a message that it has already.

    A message without a group gets one that is no device's: the queue function moves it to the group of its device.
    """
    if not is_fifo(queue_url):
        return {}
    group = letter["Attributes"].get("MessageGroupId", "redriven")
    return {"MessageGroupId": group, "MessageDeduplicationId": letter["MessageId"]}
