"""Log lines and metrics of the follow-up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cube_sms.platform import Level, Metric, Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a follower reports of one step.

    Parameters
    ----------
    text : str
        Text of the log line; empty for no line.
    level : {"info", "warning", "error"}
        Level of the log line.
    account : str, optional
        Account that it concerns.
    fields : Mapping[str, Any]
        Other members of the log line.
    counts : Mapping[Metric, float]
        Metrics, with the value that each counts.
    error : Exception, optional
        An unexpected error. It has a log line and a metric of its own.
    """

    text: str = ""
    level: Level = "info"
    account: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[Metric, float] = field(default_factory=dict)
    error: Exception | None = None


def report_told(telemetry: Telemetry, told: Told, correlation_id: str) -> None:
    """Write a follower's report to logs and metrics.

    Parameters
    ----------
    telemetry : Telemetry
        Logs and metrics.
    told : Told
        The report.
    correlation_id : str
        Id of the invocation.
    """
    if told.text:
        telemetry.log(told.level, told.text, correlation_id, account=told.account, **told.fields)
    if told.error:
        telemetry.failed(told.error, correlation_id, account=told.account)
    for metric, value in told.counts.items():
        telemetry.count(metric, value, account=told.account)
