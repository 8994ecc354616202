"""What logs and metrics report of a call of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cube_sms.delivery import identity, report_cancelled, report_sent

if TYPE_CHECKING:
    from cube_sms.platform import Telemetry

    from .messages import Deleted, Posted


def report_posted(telemetry: Telemetry, posted: Posted, correlation_id: str) -> None:
    """Report the result of a send request to the API.

    Parameters
    ----------
    telemetry : Telemetry
        The log and the metrics.
    posted : Posted
        The result.
    correlation_id : str
        The call's id.
    """
    if posted.outcome:
        report_sent(telemetry, posted.request, posted.outcome, correlation_id)
    else:
        telemetry.log("info", "message queued", correlation_id, **identity(posted.request))


def report_deleted(telemetry: Telemetry, deleted: Deleted, correlation_id: str) -> None:
    """Report the result of a call that cancels a message.

    Parameters
    ----------
    telemetry : Telemetry
        The log and the metrics.
    deleted : Deleted
        The result.
    correlation_id : str
        The call's id.
    """
    if deleted.cancellation:
        report_cancelled(telemetry, deleted.cancellation, correlation_id)
