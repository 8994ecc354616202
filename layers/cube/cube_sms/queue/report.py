"""What logs and metrics tell of a message from the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cube_sms.delivery import identity, report_sent
from cube_sms.platform import metrics, rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cube_sms.platform import Telemetry

    from .messages import Consumed

# What a batch may hold more is counted, and not named.
NAMED = 20


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


def report_put_back(telemetry: Telemetry, consumed: Sequence[Consumed]) -> None:
    """Report which messages of a batch were put back without a try: one line for all of them.

    Parameters
    ----------
    telemetry : Telemetry
        Where to.
    consumed : sequence of Consumed
        What became of the messages of a batch.
    """
    put_back = [each for each in consumed if each.put_back_until is not None]
    if not put_back:
        return
    until = max(each.put_back_until or 0.0 for each in put_back)
    telemetry.log(
        "warning" if until else "info",
        "messages put back",
        put_back[0].record_id,
        messages=len(put_back),
        message_ids=[each.request.message_id if each.request else each.record_id for each in put_back[:NAMED]],
        expected_at=rfc3339(until) if until else None,
    )
