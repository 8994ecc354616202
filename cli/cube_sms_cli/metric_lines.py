"""What functions have counted in the last minutes, from the lines of their logs that CloudWatch makes metrics of.

The lines are there seconds after an invocation, and CloudWatch's metrics a minute or two later. Those who ask again are
sent what is new alone.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from cube_sms.platform import metrics

from .errors import OperatorError
from .log_lines import entry_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mypy_boto3_logs import CloudWatchLogsClient

    from cube_sms.platform import Metric

# Seconds that are looked back, and those of them in which queries are counted for the rate.
WINDOW = 300.0
RATE_WINDOW = 30.0

# Metrics have an account's name under this, and lines of dead letters their reason under that.
_PATTERN = '{ $.Account = "*" || $.dead_letter_reason = "*" }'

# Milliseconds before the newest line that are read again: what has that time may have been stored since.
_OVERLAP = 10_000

# CloudWatch Logs may answer with no line and a token, and a log without end is none that can be summed up.
_MOST_CALLS = 50

# What identifies a line: when it was written, in which stream, and its text.
type _Event = tuple[int, str, str]


class MetricLines:
    """The lines of some log groups.

    Parameters
    ----------
    client : CloudWatchLogsClient
        boto3's client.
    groups : iterable of str
        Names of the groups.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(self, client: CloudWatchLogsClient, groups: Iterable[str], *, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._lines: dict[str, dict[_Event, tuple[float, dict[str, Any]]]] = {group: {} for group in groups}

    def read(self) -> None:
        """Read what is new, and forget what is older than the window.

        Raises
        ------
        OperatorError
            If there is more than can be read.
        """
        oldest = self._clock() - WINDOW
        for group, lines in self._lines.items():
            newest = max((at for at, _ in lines.values()), default=0.0)
            for event in self._events(group, max(int(oldest * 1000), int(newest * 1000) - _OVERLAP)):
                entry = entry_of(event["message"])
                if entry:
                    key = (event["timestamp"], event["logStreamName"], event["message"])
                    lines[key] = (event["timestamp"] / 1000, entry)
            self._lines[group] = {key: (at, entry) for key, (at, entry) in lines.items() if at >= oldest}

    def count(self, metric: Metric) -> float:
        """Return the sum of a metric of counts."""
        return sum(sum(values) for _, values in self._values(metric))

    @property
    def rate(self) -> float:
        """Queries to Cube a second, lately."""
        # Each has a latency.
        since = self._clock() - RATE_WINDOW
        return sum(len(values) for at, values in self._values(metrics.CUBE_LATENCY) if at >= since) / RATE_WINDOW

    @property
    def letters(self) -> Counter[str]:
        """How many dead letters were made for which reason."""
        reasons = (entry.get("dead_letter_reason") for _, entry in self._all())
        return Counter(str(reason) for reason in reasons if reason)

    def _values(self, metric: Metric) -> Iterator[tuple[float, list[float]]]:
        for at, entry in self._all():
            if "_aws" in entry and metric.name in entry:
                values = entry[metric.name]
                yield at, values if isinstance(values, list) else [values]

    def _all(self) -> Iterator[tuple[float, dict[str, Any]]]:
        for lines in self._lines.values():
            yield from lines.values()

    def _events(self, group: str, since: int) -> Iterator[Any]:
        token: dict[str, Any] = {}
        for _ in range(_MOST_CALLS):
            answer: Any = self._client.filter_log_events(
                logGroupName=group, startTime=since, filterPattern=_PATTERN, **token
            )
            yield from answer["events"]
            if not answer.get("nextToken"):
                return
            token = {"nextToken": answer["nextToken"]}
        raise OperatorError(
            f"The log group {group} has more lines of the last minutes than can be read. Use the dashboard."
        )
