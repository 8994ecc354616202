"""What happens to a message, as its record shows it from one look to the next."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cube_sms.delivery import State
from cube_sms.request import DEFAULT_ACCOUNT

from .errors import OperatorError
from .output import table
from .problems import problem
from .times import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from .stack import Stack

# Seconds between two looks.
_PAUSE = 0.5

_OK = 200
_MISSING = 404

# What a look notes of a record.
_NOTED = ("state", "attempts", "code", "reason", "expectedAt")


def path_of(request_id: str, account: str) -> str:
    """Return the path of a message in the API.

    Examples
    --------
    >>> path_of("order-7781", "default"), path_of("order-7781", "fleet")
    ('/messages/order-7781', '/messages/order-7781?account=fleet')
    """
    query = "" if account == DEFAULT_ACCOUNT else f"?account={quote(account, safe='')}"
    return f"/messages/{quote(request_id, safe='')}{query}"


def record_of(stack: Stack, request_id: str, account: str) -> dict[str, Any] | None:
    """Return the record of a message as the API shows it, None if there is none.

    Raises
    ------
    OperatorError
        If the API does not answer as it should.
    """
    answer = stack.call_api("GET", path_of(request_id, account))
    if answer.status == _MISSING:
        return None
    if answer.status != _OK:
        raise OperatorError(problem(answer))
    return answer.body


class Timeline:
    """The states of a message that were seen, and when it reached each."""

    def __init__(self) -> None:
        self.record: dict[str, Any] | None = None
        self.entries: list[dict[str, Any]] = []

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to the message by itself."""
        return bool(self.record) and State[self.entries[-1]["state"]].is_final

    def add(self, record: dict[str, Any]) -> bool:
        """Note what a look has found, and return whether that is news.

        Parameters
        ----------
        record : dict
            The record as the API shows it.
        """
        since = self.entries[-1]["at"] if self.entries else record["createdAt"]
        seconds = datetime.fromisoformat(record["updatedAt"]) - datetime.fromisoformat(since)
        entry = {"at": record["updatedAt"], "afterSeconds": round(seconds.total_seconds(), 3)}
        entry |= {name: record.get(name) for name in _NOTED}
        self.record = record
        if self.entries and entry["at"] == since and all(self.entries[-1][name] == entry[name] for name in _NOTED):
            return False
        self.entries.append(entry)
        return True

    def table(self) -> Table:
        """Return it as a table, from when the request was accepted on."""
        rows = [[self.record["createdAt"], "accepted", *[None] * 4]] if self.record else []
        rows += [
            [each["at"], each["state"], _short(each["afterSeconds"]), each["attempts"], each["code"], why(each)]
            for each in self.entries
        ]
        return table(["At", "State", "After", "Attempts", "Code", "Why"], rows)


def why(entry: dict[str, Any]) -> str | None:
    """Return why a message is in its state, or until when."""
    until = f"until {entry['expectedAt']}" if entry.get("expectedAt") else None
    return ", ".join(filter(None, [entry["reason"], until])) or None


def follow(
    timeline: Timeline,
    look: Callable[[], dict[str, Any] | None],
    tell: Callable[[str], None],
    *,
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Look at a message until it has ended.

    Parameters
    ----------
    timeline : Timeline
        Takes a note of each change.
    look : Callable[[], dict or None]
        Returns its record, None while there is none.
    tell : Callable[[str], None]
        Takes a line for each change.
    seconds : float
        How long at the most.
    sleep : Callable[[float], None]
        Waits for seconds.
    clock : Callable[[], float]
        Seconds of any origin.
    """
    deadline = clock() + seconds
    while not timeline.has_ended:
        record = look()
        if record and timeline.add(record):
            entry = timeline.entries[-1]
            tell(", ".join(filter(None, [f"{entry['at']} {entry['state']}", why(entry)])))
        if clock() >= deadline:
            break
        if not timeline.has_ended:
            sleep(_PAUSE)


def _short(seconds: float) -> str:
    return duration(seconds) if seconds >= 10 else f"{seconds:.2f} s"
