"""Log lines and metrics of a callback. They hold no text from an unverified caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cube_sms.platform import metrics, report_task_answers

if TYPE_CHECKING:
    from cube_sms.platform import Telemetry

    from .receiver import Receipt


def report_receipt(telemetry: Telemetry, receipt: Receipt, correlation_id: str) -> None:
    """Report the result for a callback.

    Parameters
    ----------
    telemetry : Telemetry
        Logs and metrics.
    receipt : Receipt
        The result.
    correlation_id : str
        Id of the call.
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
            telemetry.log("warning", "tasks are answered later", correlation_id, **told, error=taken.untold)
    else:
        telemetry.log("warning", "callback not understood", correlation_id, account=account)
        telemetry.count(metrics.CALLBACKS_NOT_UNDERSTOOD, account=account)


def report_failed(telemetry: Telemetry, error: Exception, correlation_id: str) -> None:
    """Report a callback that failed, and that the provider has to repeat.

    Parameters
    ----------
    telemetry : Telemetry
        Logs and metrics.
    error : Exception
        The error.
    correlation_id : str
        Id of the call.
    """
    telemetry.failed(error, correlation_id)
    telemetry.count(metrics.CALLBACKS_FAILED)
