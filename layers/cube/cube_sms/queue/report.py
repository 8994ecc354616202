"""What logs and metrics tell of a message from the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cube_sms.delivery import identity, report_sent
from cube_sms.platform import metrics

if TYPE_CHECKING:
    from cube_sms.platform import Telemetry

    from .consumer import Consumed


def report_consumed(telemetry: Telemetry, consumed: Consumed) -> None:
    """Report what became of a message from the queue.

    Parameters
    ----------
    telemetry : Telemetry
        Where to.
    consumed : Consumed
        What became of it.
    """
    request, outcome, record_id = consumed.request, consumed.outcome, consumed.record_id
    details: dict[str, Any] = {"receives": consumed.receives, "dead_letter_reason": consumed.dead_letter_reason}
    if consumed.forwarded and request:
        telemetry.log("info", "message forwarded to its group", record_id, **identity(request))
    if outcome and request:
        report_sent(telemetry, request, outcome, record_id, **details)
        if outcome.state.is_final and not outcome.is_from_record:
            telemetry.count(metrics.QUEUE_AGE, consumed.queue_age * 1000, account=request.account)
    if consumed.fault:
        telemetry.failed(consumed.fault, record_id, **details)
