"""What logs and metrics show of a message from the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cube_sms.delivery import identity, report_sent
from cube_sms.platform import metrics, rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cube_sms.platform import Telemetry

    from .messages import Consumed

# The most messages of a batch that a log line names. It counts all.
NAMED = 20


def report_consumed(telemetry: Telemetry, consumed: Consumed) -> None:
    """Report the result of a message from the queue.

    Parameters
    ----------
    telemetry : Telemetry
        The log and the metrics.
    consumed : Consumed
        The result.
    """
    request, outcome, record_id = consumed.request, consumed.outcome, consumed.record_id
    details: dict[str, Any] = {"receives": consumed.receives, "dead_letter_reason": consumed.dead_letter_reason}
    if consumed.forwarded and request:
        telemetry.log("info", "message forwarded to its group", record_id, **identity(request))
    if outcome and request:
        report_sent(telemetry, request, outcome, record_id, **details)
        if outcome.state.is_final and not outcome.is_from_record:
            telemetry.count(metrics.QUEUE_AGE, round(consumed.queue_age * 1000, 1), account=request.account)
    if consumed.fault:
        telemetry.failed(consumed.fault, record_id, **details)


def report_put_back(telemetry: Telemetry, consumed: Sequence[Consumed]) -> None:
    """Report which messages of a batch returned to the queue untried: one line for all of them.

    Parameters
    ----------
    telemetry : Telemetry
        The log.
    consumed : sequence of Consumed
        The results of the messages of a batch.
    """
    put_back = [each for each in consumed if each.put_back_until is not None]
    if not put_back:
        return
    until = max(each.put_back_until or 0.0 for each in put_back)
    telemetry.log(
        "warning" if until else "info",
        "messages returned to the queue",
        put_back[0].record_id,
        messages=len(put_back),
        message_ids=[each.request.message_id if each.request else each.record_id for each in put_back[:NAMED]],
        expected_at=rfc3339(until) if until else None,
    )
