"""A log group, read piece by piece: who asks again and again is sent what is new alone."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

# Milliseconds before the newest line that are read again: what has that time may have been stored since.
_OVERLAP = 5_000

_MOST_LINES = 10_000

# When, and in which stream.
type _Moment = tuple[int, str]


class Log:
    """What functions have printed into a log group.

    Parameters
    ----------
    client : CloudWatchLogsClient
        boto3's client.
    group : str
        Name of the group.
    """

    def __init__(self, client: CloudWatchLogsClient, group: str) -> None:
        self._client = client
        self._group = group
        self._lines: dict[_Moment, list[str]] = {}
        self._entries: dict[_Moment, list[dict[str, Any]]] = {}
        self._newest = 0

    def lines(self) -> list[str]:
        """Return all lines there are."""
        self._read()
        return [*chain.from_iterable(self._lines.values())]

    def entries(self) -> list[dict[str, Any]]:
        """Return those that are JSON objects, parsed."""
        self._read()
        return [*chain.from_iterable(self._entries.values())]

    def _read(self) -> None:
        since = max(0, self._newest - _OVERLAP)
        # The local AWS has no pages: it answers with the oldest lines, as many as one answer may hold.
        while self._read_since(since) == _MOST_LINES and self._newest > since:
            since = self._newest

    def _read_since(self, since: int) -> int:
        found: dict[_Moment, list[str]] = {}
        events = self._client.filter_log_events(logGroupName=self._group, startTime=since)["events"]
        for event in events:
            found.setdefault((event["timestamp"], event["logStreamName"]), []).append(event["message"])
        for moment, lines in found.items():
            if self._lines.get(moment) != lines:
                self._lines[moment] = lines
                self._entries[moment] = [json.loads(line) for line in lines if line.startswith("{")]
                self._newest = max(self._newest, moment[0])
        return len(events)
