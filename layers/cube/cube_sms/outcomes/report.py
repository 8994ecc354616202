"""What logs and metrics tell of a record of the stream."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from cube_sms.platform import metrics

if TYPE_CHECKING:
    from cube_sms.platform import Level, Telemetry

    from .publisher import Published


def report_published(telemetry: Telemetry, published: Published) -> None:
    """Report what became of a record of the stream.

    Parameters
    ----------
    telemetry : Telemetry
        Where to.
    published : Published
        What became of it.
    """
    number, ended = published.sequence_number, published.ended
    if published.spoiled:
        telemetry.failed(published.spoiled, number)
    elif published.error:
        telemetry.log("error", "not published", number, message_id=published.message_id, error=published.error)
        telemetry.count(metrics.EVENTS_FAILED)
    elif ended and published.published_at:
        account = ended.detail["account"]
        lag = max(0.0, published.published_at - datetime.fromisoformat(ended.detail["updatedAt"]).timestamp())
        telemetry.count(metrics.EVENTS_PUBLISHED, account=account)
        telemetry.count(metrics.EVENT_LAG, round(lag * 1000), account=account)
    if published.answered:
        telemetry.count(metrics.TASKS_ANSWERED, published.answered)
    if published.unanswered:
        level: Level = "error" if published.refused else "warning"
        telemetry.log(level, "task not answered", number, errors=published.unanswered)
        telemetry.count(metrics.TASKS_UNANSWERED, len(published.unanswered))
    if published.refused:
        telemetry.count(metrics.TASK_ANSWERS_REFUSED, published.refused)
