"""What logs and metrics tell of a look at what is due."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cube_sms.platform import Level, Metric, Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a follower tells of one thing that it has done.

    Parameters
    ----------
    text : str
        What happened, as a line of the log; empty for no line.
    level : {"info", "warning", "error"}
        The level of that line.
    account : str, optional
        Whose it is.
    fields : Mapping[str, Any]
        What else the line tells.
    counts : Mapping[Metric, float]
        The metrics that count it.
    error : Exception, optional
        What could not be dealt with. It has a line and a metric of its own.
    """

    text: str = ""
    level: Level = "info"
    account: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[Metric, float] = field(default_factory=dict)
    error: Exception | None = None


def report_told(telemetry: Telemetry, told: Told, correlation_id: str) -> None:
    """Report what a follower tells.

    Parameters
    ----------
    telemetry : Telemetry
        Where to.
    told : Told
        What it tells.
    correlation_id : str
        The id of the invocation.
    """
    if told.text:
        telemetry.log(told.level, told.text, correlation_id, account=told.account, **told.fields)
    if told.error:
        telemetry.failed(told.error, correlation_id, account=told.account)
    for metric, value in told.counts.items():
        telemetry.count(metric, value, account=told.account)
