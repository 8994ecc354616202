"""What logs and metrics report of an attempt to send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cube_sms.platform import metrics
from cube_sms.provider import CubeError
from cube_sms.request import mask_device_id

from .states import State

if TYPE_CHECKING:
    from cube_sms.pacing import GateStatus
    from cube_sms.platform import Telemetry
    from cube_sms.request import SendRequest

    from .outcome import Outcome
    from .records import Cancellation


def report_sent(
    telemetry: Telemetry, request: SendRequest, outcome: Outcome, correlation_id: str, **details: Any
) -> None:
    """Report the result of an attempt to send.

    Parameters
    ----------
    telemetry : Telemetry
        The log and the metrics.
    request : SendRequest
        The message.
    outcome : Outcome
        The result.
    correlation_id : str
        The id of the event or call that brought the message.
    **details
        Further fields of the line in the log.
    """
    state, error, account = outcome.state, outcome.error, request.account
    latencies = [round(post.latency * 1000, 1) for post in outcome.posts]
    level, text = state.level, f"message {state}"
    if outcome.is_from_record:
        level, text = "info", "duplicate suppressed" if state.is_final else "message held by another worker"
        # A cancelled message may be no duplicate: its request may have arrived for the first time.
        text = "message was cancelled" if state is State.CANCELLED else text
    telemetry.log(
        level,
        text,
        correlation_id,
        **identity(request),
        state=state,
        attempts=outcome.attempts,
        possibly_duplicated=(outcome.record and outcome.record.possibly_duplicated) or None,
        code=outcome.code,
        cube_message=outcome.message,
        error=f"{type(error).__name__}: {error}" if error else None,
        status=error.status if error else None,
        latencies_ms=latencies,
        recipients=outcome.recipients if outcome.recipients > 1 else None,
        stale_credentials=outcome.stale_credentials or None,
        **details,
    )
    if not outcome.is_from_record:
        telemetry.count(state.metric, account=account)
    elif state.is_final and state is not State.CANCELLED:
        telemetry.count(metrics.DUPLICATES_SUPPRESSED, account=account)
    # If messages share a query, one of them reports it.
    for query in outcome.queries:
        telemetry.count(metrics.CUBE_LATENCY, round(query.latency * 1000, 1), account=account)
    if outcome.queries:
        telemetry.count(metrics.GATE_WAIT, round(outcome.gate_wait * 1000, 1), account=account)
    if outcome.stale_credentials:
        telemetry.count(metrics.STALE_CREDENTIALS, account=account)
    # The result of a query is counted together with the query.
    is_of_query = isinstance(error, CubeError)
    if error and error.log:
        telemetry.failed(error, correlation_id, account=account)
    elif error and error.metric and (not is_of_query or error in outcome.queries):
        telemetry.count(error.metric, account=account)
    if outcome.record and outcome.record.was_deleted:
        telemetry.log(
            "error", "record was deleted during its POST", correlation_id, message_id=outcome.record.message_id
        )
        telemetry.count(metrics.RECORDS_DAMAGED)


def report_cancelled(telemetry: Telemetry, cancellation: Cancellation, correlation_id: str) -> None:
    """Report the result of a cancellation.

    Parameters
    ----------
    telemetry : Telemetry
        The log and the metrics.
    cancellation : Cancellation
        The result.
    correlation_id : str
        The id of the call or command that cancels.
    """
    record, has_ended = cancellation
    account, _, request_id = record.message_id.partition("#")
    text = f"message {record.state}" if has_ended else "message not cancelled"
    if record.state is State.CANCELLED and not has_ended:
        text = "message was cancelled"
    telemetry.log(
        record.state.level if has_ended else "info",
        text,
        correlation_id,
        request_id=request_id,
        message_id=record.message_id,
        account=account,
        device_id=mask_device_id(record.device_id) if record.device_id else None,
        state=record.state,
        attempts=record.attempts,
        reason=record.reason if has_ended else None,
    )
    if has_ended:
        telemetry.count(record.state.metric, account=account)


def report_paced(telemetry: Telemetry, gate: GateStatus) -> None:
    """Report the state of the gate, once for each invocation.

    Parameters
    ----------
    telemetry : Telemetry
        The log and the metrics.
    gate : GateStatus
        The state.
    """
    if gate.quota_used is not None:
        telemetry.count(metrics.QUOTA_USED, round(gate.quota_used, 2))
    if gate.repaired:
        # These attributes were unreadable, and have been removed: somebody has changed them by hand.
        telemetry.logger.error("gate item repaired", extra={"attributes": gate.repaired})
        telemetry.count(metrics.GATE_REPAIRED, len(gate.repaired))
    if gate.closed_for:
        words = {"pause": gate.pause} if gate.pause else {}
        telemetry.logger.warning("gate closed", extra={"reason": gate.closed_for, **words})
        telemetry.count(metrics.GATE_CLOSED)
    for account, code in gate.closed_accounts:
        telemetry.logger.warning("account closed", extra={"account": account, "code": code})
        telemetry.count(metrics.ACCOUNTS_CLOSED, account=account)


def identity(request: SendRequest) -> dict[str, Any]:
    """Return the fields that identify a message in a line of the log."""
    return {
        "request_id": request.request_id,
        "message_id": request.message_id,
        "account": request.account,
        "device_id": mask_device_id(request.device_id),
    }
