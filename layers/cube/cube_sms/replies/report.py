"""What logs and metrics tell of a callback: nothing that a stranger can write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cube_sms.platform import metrics, report_task_answers

if TYPE_CHECKING:
    from cube_sms.platform import Telemetry

    from .receiver import Receipt


def report_receipt(telemetry: Telemetry, receipt: Receipt, correlation_id: str) -> None:
    """Report what became of a callback.

    Parameters
    ----------
    telemetry : Telemetry
        Where to.
    receipt : Receipt
        What became of it.
    correlation_id : str
        The call's id.
    """
    for fault in receipt.faults:
        telemetry.log("error", "callbacks cannot be verified", correlation_id, error=fault)
        telemetry.count(metrics.CREDENTIALS_UNUSABLE)
    account, received = receipt.account, receipt.received
    if receipt.refusal:
        reason = receipt.refusal.reason
        telemetry.log("warning", "callback refused", correlation_id, account=account, reason=reason)
        telemetry.count(receipt.refusal.metric, account=account)
    elif received:
        told = {"account": account, "device_id": received.masked_device_id, "event_id": received.event_id}
        taken = receipt.taken
        if taken.error:
            telemetry.log("error", "reply not published", correlation_id, **told, error=taken.error)
            telemetry.count(metrics.CALLBACKS_FAILED)
        else:
            telemetry.log("info", "reply published", correlation_id, **told)
            telemetry.count(metrics.REPLIES_PUBLISHED, account=account)
        report_task_answers(telemetry, taken.told, correlation_id)
        if taken.untold:
            telemetry.log("warning", "tasks are told later", correlation_id, **told, error=taken.untold)
    else:
        telemetry.log("warning", "callback not understood", correlation_id, account=account)
        telemetry.count(metrics.CALLBACKS_NOT_UNDERSTOOD, account=account)


def report_failed(telemetry: Telemetry, error: Exception, correlation_id: str) -> None:
    """Report a callback that could not be dealt with, and that the provider is to repeat.

    Parameters
    ----------
    telemetry : Telemetry
        Where to.
    error : Exception
        Why.
    correlation_id : str
        The call's id.
    """
    telemetry.failed(error, correlation_id)
    telemetry.count(metrics.CALLBACKS_FAILED)
