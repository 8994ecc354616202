"""Log lines and metrics of a record of the stream."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from cube_sms.platform import metrics, report_task_answers

if TYPE_CHECKING:
    from cube_sms.platform import Telemetry

    from .publisher import Published


def report_published(telemetry: Telemetry, published: Published) -> None:
    """Report the result for a record of the stream.

    Parameters
    ----------
    telemetry : Telemetry
        Takes lines and metrics.
    published : Published
        The result.
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
    report_task_answers(telemetry, published.told, number)
