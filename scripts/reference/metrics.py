"""The metrics and the alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cube_sms.platform import metrics as declared
from cube_sms.platform.metrics import Metric

from .docstrings import attribute_docs
from .markdown import code, prose, section, table
from .templates import application, resources

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNITS = {"Count": "Count", "Milliseconds": "ms", "Percent": "%"}


def metrics() -> str:
    """Return the metrics with their units and dimensions, and the alarms with the metrics that they watch."""
    meanings = attribute_docs(declared)
    rows = [
        [code(metric.name), _UNITS[metric.unit], metric.of, meanings[name]]
        for name, metric in vars(declared).items()
        if isinstance(metric, Metric)
    ]
    return section("Metrics", table(["metric", "unit", "`Account`", ""], rows)) + section(
        "Alarms", table(["alarm", "watches", "meaning"], _alarms())
    )


def _alarms() -> Iterator[list[str]]:
    for name in ("monitoring/alarms.yaml", *application()):
        for _, alarm in resources(name, "AWS::CloudWatch::Alarm"):
            properties = alarm["Properties"]
            called = properties["AlarmName"]["Fn::Sub"].partition("-")[2]
            yield [code(called), code(*_watched(properties)), prose(properties["AlarmDescription"])]


def _watched(alarm: dict[str, Any]) -> list[str]:
    queries = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", []) if "MetricStat" in each]
    return [each["MetricName"] for each in queries or [alarm]]
