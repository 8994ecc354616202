"""Dead letters: what each says, and what many of them say together."""

from __future__ import annotations

import hashlib
import math
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.delivery.states import State
from cube_sms.platform import rfc3339
from cube_sms.queue.dead_letters import ACCOUNT, ATTEMPTS, CUT_FROM, DETAIL, LAST_CODE, OWN, REASON, REQUEST_ID

from .output import NONE, printable, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_sqs.type_defs import MessageTypeDef
    from rich.console import RenderableType

# Whatever is on the queue, this is the most that is shown of it. A sender writes some of it, and may write anything.
MOST_KINDS = 20
EXAMPLES = 5


class Kind(NamedTuple):
    """What dead letters are counted by.

    Parameters
    ----------
    reason : str
        Why they are there, "-" if SQS itself put them there.
    code, account : str, optional
        The provider's last code, and whose they are: of what Cube rejected alone.
    """

    reason: str
    code: str | None = None
    account: str | None = None

    def __str__(self) -> str:
        if self.code:
            return printable(f"{self.reason}, code {self.code}, account {self.account}")
        return "without a reason: put there by SQS" if self.reason == NONE else printable(self.reason)


OTHERS = Kind("other reasons")


def value_of(letter: MessageTypeDef, *names: str) -> str:
    """Return the value of the first of these attributes that it has, "-" if it has none."""
    attributes = letter.get("MessageAttributes", {})
    values = (attributes[name].get("StringValue") for name in names if name in attributes)
    return next(filter(None, values), NONE)


def reason_of(letter: MessageTypeDef) -> str:
    """Return why it is there, "-" if SQS itself put it there. EventBridge has a word of its own for it."""
    return value_of(letter, REASON, "ERROR_CODE")


def kind_of(letter: MessageTypeDef) -> Kind:
    """Return what it is counted by."""
    reason = reason_of(letter)
    if reason != State.REJECTED.letter:
        return Kind(reason)
    return Kind(reason, value_of(letter, LAST_CODE), value_of(letter, ACCOUNT))


def put_at(letter: MessageTypeDef) -> float:
    """Return when it was put there, in seconds since the epoch."""
    return int(letter["Attributes"]["SentTimestamp"]) / 1000


def describe(letter: MessageTypeDef) -> dict[str, str]:
    """Return what is known of a dead letter, without its content."""
    known = {
        REQUEST_ID: value_of(letter, REQUEST_ID),
        REASON: reason_of(letter),
        ACCOUNT: value_of(letter, ACCOUNT),
        ATTEMPTS: value_of(letter, ATTEMPTS),
        LAST_CODE: value_of(letter, LAST_CODE),
        DETAIL: value_of(letter, DETAIL, "ERROR_MESSAGE"),
        "putAt": rfc3339(put_at(letter)),
    }
    return known | ({CUT_FROM: value_of(letter, CUT_FROM)} if is_cut(letter) else {})


def is_cut(letter: MessageTypeDef) -> bool:
    """Return whether it holds only a part of its message."""
    return value_of(letter, CUT_FROM) != NONE


def identities(letter: MessageTypeDef) -> list[str]:
    """Return what identifies a dead letter that returns. One without an id gets one on its way, and keeps its body."""
    return [value_of(letter, REQUEST_ID), hashlib.sha256(letter["Body"].encode()).hexdigest()]


def whole(letter: MessageTypeDef, *, has_content: bool) -> dict[str, Any]:
    """Return all that a dead letter has.

    Parameters
    ----------
    letter : MessageTypeDef
        The dead letter.
    has_content : bool
        Whether its body is among it, and the values of the sender's own attributes: they may hold content.

    Returns
    -------
    dict
        What is known of it, how long its body is, and the names of the sender's attributes or all of those.
    """
    own = {*OWN, CUT_FROM}
    theirs = {name: value_of(letter, name) for name in letter.get("MessageAttributes", {}) if name not in own}
    about = {
        **describe(letter),
        "group": letter["Attributes"].get("MessageGroupId"),
        "messageId": letter["MessageId"],
        "bodyBytes": len(letter["Body"].encode()),
    }
    return (
        {**about, "attributes": theirs, "body": letter["Body"]} if has_content else {**about, "attributes": [*theirs]}
    )


@dataclass
class Group:
    """The dead letters of one kind.

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
    examples: dict[tuple[str, ...], dict[str, str]] = field(default_factory=dict)
    others: list[dict[str, str]] = field(default_factory=list)


class Summary:
    """Dead letters by their kind, with a few of each, as different as possible. Threads may share it.

    Parameters
    ----------
    examples : int
        How many of each.
    """

    def __init__(self, examples: int = EXAMPLES) -> None:
        self._most = examples
        self._groups: dict[Kind, Group] = {}
        self._lock = threading.Lock()
        self.count = 0

    def add(self, letter: MessageTypeDef) -> None:
        """Count a dead letter."""
        kind, known, sent = kind_of(letter), describe(letter), put_at(letter)
        known = {name: printable(value) for name, value in known.items()}
        fault = tuple(known[name] for name in (REASON, ACCOUNT, ATTEMPTS, LAST_CODE, DETAIL))
        with self._lock:
            self.count += 1
            if kind not in self._groups and len(self._groups) >= MOST_KINDS:
                kind = OTHERS
            group = self._groups.setdefault(kind, Group())
            group.count += 1
            group.oldest, group.newest = min(group.oldest, sent), max(group.newest, sent)
            if fault not in group.examples and len(group.examples) < self._most:
                group.examples[fault] = known
            elif len(group.others) < self._most:
                group.others.append(known)

    @property
    def data(self) -> list[dict[str, Any]]:
        """The kinds, those that there are most of first."""
        return [
            {
                REASON: printable(kind.reason),
                **({LAST_CODE: printable(kind.code), ACCOUNT: printable(kind.account or NONE)} if kind.code else {}),
                "count": group.count,
                "oldest": rfc3339(group.oldest),
                "newest": rfc3339(group.newest),
                "examples": self._examples(group),
            }
            for kind, group in self._sorted()
        ]

    def shown(self) -> Iterator[RenderableType]:
        """Yield a line for each kind, and a table of some of it."""
        for kind, group in self._sorted():
            yield f"{group.count} {kind} ({readable(group.oldest)} to {readable(group.newest)})"
            examples = self._examples(group)
            yield table(
                ["Message", "Reason", "Attempts", "Code", "Detail"],
                [
                    [*(each[name] for name in (REQUEST_ID, REASON, ATTEMPTS, LAST_CODE)), _detail(each)]
                    for each in examples
                ],
            )
            if group.count > len(examples):
                yield f"… and {group.count - len(examples)} more"
            yield ""

    def _sorted(self) -> list[tuple[Kind, Group]]:
        return sorted(self._groups.items(), key=lambda item: -item[1].count)

    def _examples(self, group: Group) -> list[dict[str, str]]:
        return [*group.examples.values(), *group.others][: self._most]


def _detail(known: dict[str, str]) -> str:
    if CUT_FROM not in known:
        return known[DETAIL]
    return f"(only a part of the message, which had {known[CUT_FROM]} bytes) {known[DETAIL]}"


def readable(seconds: float) -> str:
    """Return a time as people read it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}Z"
