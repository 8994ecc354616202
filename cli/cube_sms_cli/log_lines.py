"""The lines that the functions have logged of a message."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_logs import CloudWatchLogsClient

    from .stack import Stack

_SUFFIX = "LogGroup"

# CloudWatch reads all that was logged in a time for each question. After so long, the command shows what was found.
MOST_SECONDS = 30.0

# A message from the queue has one id in the log; each call of the API has one of its own.
_MOST_IDS = 5

# What each line has, whatever it is about.
_FRAME = frozenset({"level", "message", "timestamp", "function_request_id"})
_IDENTITY = frozenset({"correlation_id", "request_id", "message_id", "account", "device_id"})


class Line(NamedTuple):
    """A line of a log.

    Parameters
    ----------
    at : float
        When it was written, in seconds since the epoch.
    function : str
        Of which function, such as "SendFromQueue".
    level, text : str
        Its level, and what happened.
    fields : dict
        Its other members.
    """

    at: float
    function: str
    level: str
    text: str
    fields: dict[str, Any]

    @property
    def is_attempt(self) -> bool:
        """Whether it reports a message that was posted."""
        return bool(self.fields.get("latencies_ms"))

    @property
    def told(self) -> dict[str, Any]:
        """Its members, except for those that say whose line it is."""
        return {name: value for name, value in self.fields.items() if name not in _IDENTITY}


class Found(NamedTuple):
    """The lines that were found.

    Parameters
    ----------
    lines : list of Line
        They, in the order of time.
    is_cut : bool
        Whether there may be more.
    """

    lines: list[Line]
    is_cut: bool


class LogLines:
    """The logs of the functions that send messages and publish outcomes.

    Parameters
    ----------
    stack : Stack
        Whose functions.
    since, until : float
        Of which time, in seconds since the epoch.
    most : int
        How many lines of each function at the most.
    """

    def __init__(self, stack: Stack, since: float, until: float, most: int) -> None:
        self._logs: CloudWatchLogsClient = stack.client("logs")
        self._groups = {
            name.removesuffix(_SUFFIX): value for name, value in stack.outputs.items() if name.endswith(_SUFFIX)
        }
        self._since, self._until, self._most = since, until, most
        self._deadline = time.monotonic() + MOST_SECONDS
        self._is_cut = False

    def of_message(self, account: str, request_id: str) -> Found:
        """Return the lines of a message: those that name it, and those with the ids that these have."""
        names = {request_id, f"{account}#{request_id}"}

        def is_own(fields: dict[str, Any]) -> bool:
            if fields.get("account", account) != account:
                return False
            named = {fields.get(name) for name in ("message_id", "request_id", "correlation_id")}
            return not names.isdisjoint(named | set(fields.get("message_ids", ())))

        own = self._search([request_id], is_own)
        ids = {str(line.fields["correlation_id"]) for line in own if "correlation_id" in line.fields} - {request_id}

        def is_other(fields: dict[str, Any]) -> bool:
            return fields.get("correlation_id") in ids and not is_own(fields)

        others = self._search(sorted(ids)[:_MOST_IDS], is_other)
        return Found(sorted([*own, *others], key=lambda line: line.at), self._is_cut or len(ids) > _MOST_IDS)

    def _search(self, words: list[str], is_wanted: Callable[[dict[str, Any]], bool]) -> list[Line]:
        questions = [(function, group, word) for function, group in self._groups.items() for word in words]
        with ThreadPoolExecutor(max(1, len(self._groups))) as pool:
            found = pool.map(lambda each: list(self._ask(*each, is_wanted=is_wanted)), questions)
            return [line for lines in found for line in lines]

    def _ask(
        self, function: str, group: str, word: str, *, is_wanted: Callable[[dict[str, Any]], bool]
    ) -> Iterator[Line]:
        pages = self._logs.get_paginator("filter_log_events").paginate(
            logGroupName=group,
            # A pattern of JSON would be read by the same rules, and none of an id's characters ends the quotes.
            filterPattern=f'"{word}"',
            startTime=int(self._since * 1000),
            endTime=int(self._until * 1000),
        )
        count = 0
        for page in pages:
            for event in page["events"]:
                line = _line(function, event["timestamp"] / 1000, event["message"])
                # CloudWatch takes a word for found in a longer one.
                if line is None or not is_wanted(line.fields):
                    continue
                if count == self._most:
                    self._is_cut = True
                    return
                count += 1
                yield line
            if time.monotonic() > self._deadline:
                self._is_cut = True
                return


def entry_of(text: str) -> dict[str, Any] | None:
    """Return the JSON object that a line of a log is; None if it is none."""
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _line(function: str, at: float, text: str) -> Line | None:
    """Return what a line of the log says; None for what is no entry of ours, and for metrics."""
    entry = entry_of(text)
    if entry is None or "message" not in entry or "_aws" in entry:
        return None
    fields = {name: value for name, value in entry.items() if name not in _FRAME}
    return Line(at, function, str(entry.get("level", "INFO")), str(entry["message"]), fields)
