"""Letters: what each says, and what many of them say together."""

from __future__ import annotations

import hashlib
import math
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cube_sms.delivery.states import State
from cube_sms.queue.dead_letters import ACCOUNT, ATTEMPTS, CUT_FROM, DETAIL, LAST_CODE, REASON, REQUEST_ID

from .output import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_sqs.type_defs import MessageTypeDef

# Whatever is on the queue, this is the most that is printed of it. A sender writes some of it, and may write anything.
MOST_KINDS = 20
EXAMPLES = 5

# What is shown for what a letter does not say.
NONE = "-"


def value_of(letter: MessageTypeDef, *names: str) -> str:
    """Return the value of the first of these attributes that it has, "-" if it has none."""
    attributes = letter.get("MessageAttributes", {})
    values = (attributes[name].get("StringValue") for name in names if name in attributes)
    return next(filter(None, values), NONE)


def reason_of(letter: MessageTypeDef) -> str:
    """Return why it is there, "-" if SQS itself put it there. EventBridge has a word of its own for it."""
    return value_of(letter, REASON, "ERROR_CODE")


def kind_of(letter: MessageTypeDef) -> str:
    """Return what letters are counted by: their reason, and of what Cube rejected the code and the account too."""
    reason = reason_of(letter)
    if reason != State.REJECTED.letter:
        return "without a reason: put there by SQS" if reason == NONE else printable(reason)
    return printable(f"{reason}, code {value_of(letter, LAST_CODE)}, account {value_of(letter, ACCOUNT)}")


def put_at(letter: MessageTypeDef) -> float:
    """Return when it was put there, in seconds since the epoch."""
    return int(letter["Attributes"]["SentTimestamp"]) / 1000


def describe(letter: MessageTypeDef) -> str:
    """Return what is known of a letter: request id, reason, attempts, last code and detail."""
    detail = value_of(letter, DETAIL, "ERROR_MESSAGE")
    if is_cut(letter):
        detail = f"(only a part of the message, which had {value_of(letter, CUT_FROM)} bytes) {detail}"
    values = [value_of(letter, REQUEST_ID), reason_of(letter), value_of(letter, ATTEMPTS)]
    return "\t".join(map(printable, [*values, value_of(letter, LAST_CODE), detail]))


def is_cut(letter: MessageTypeDef) -> bool:
    """Return whether it holds only a part of its message."""
    return value_of(letter, CUT_FROM) != NONE


def identities(letter: MessageTypeDef) -> list[str]:
    """Return by what a letter is known that comes back. One without an id gets one on its way, and keeps its body."""
    return [value_of(letter, REQUEST_ID), hashlib.sha256(letter["Body"].encode()).hexdigest()]


@dataclass
class Group:
    """The letters of one kind.

    Parameters
    ----------
    count : int
        How many.
    oldest, newest : float
        When they were put there, in seconds since the epoch.
    examples : dict
        Some of them, by what they say went wrong.
    others : list
        Some more.
    """

    count: int = 0
    oldest: float = math.inf
    newest: float = 0.0
    examples: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


class Summary:
    """Letters by their kind, with a few of each: as different ones as there are. Threads may share it.

    Parameters
    ----------
    examples : int
        How many of each.
    """

    def __init__(self, examples: int = EXAMPLES) -> None:
        self._most = examples
        self._groups: dict[str, Group] = {}
        self._lock = threading.Lock()
        self.count = 0

    def add(self, letter: MessageTypeDef) -> None:
        """Count a letter."""
        kind, line, sent = kind_of(letter), describe(letter), put_at(letter)
        with self._lock:
            self.count += 1
            if kind not in self._groups and len(self._groups) >= MOST_KINDS:
                kind = "other reasons"
            group = self._groups.setdefault(kind, Group())
            group.count += 1
            group.oldest, group.newest = min(group.oldest, sent), max(group.newest, sent)
            detail = line.split("\t", 1)[1]
            if detail not in group.examples and len(group.examples) < self._most:
                group.examples[detail] = line
            elif len(group.others) < self._most:
                group.others.append(line)

    def lines(self) -> Iterator[str]:
        """Yield a line for each kind, those that there are most of first, and one for each example."""
        for kind, group in sorted(self._groups.items(), key=lambda item: -item[1].count):
            yield f"{group.count} {kind} ({readable(group.oldest)} to {readable(group.newest)})"
            shown = [*group.examples.values(), *group.others][: self._most]
            yield from shown
            if group.count > len(shown):
                yield f"… and {group.count - len(shown)} more"
            yield ""


def readable(seconds: float) -> str:
    """Return a time as people read it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}Z"
