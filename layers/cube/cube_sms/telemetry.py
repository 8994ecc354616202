"""Logs and metrics: one JSON log line for each message, metrics once for each invocation.

Neither holds content or credentials; of a device id they show the last four characters. Powertools' metrics are not
thread-safe: everything here is called from the handler's own thread.
"""

from __future__ import annotations

import logging
import traceback
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from .errors import (
    ConnectionsTakenError,
    CredentialsError,
    CubeAuthenticationError,
    CubeError,
    InvalidRequestError,
    RequestConflictError,
    SpoiledRecordError,
)
from .models import mask_device_id
from .states import State

if TYPE_CHECKING:
    from .api import Posted
    from .consumer import Consumed
    from .models import SendRequest
    from .pacing import GateStatus
    from .publisher import Published
    from .sending import Outcome

NAMESPACE = "CubeSms"
SERVICE = "cube-sms"

# The Account dimension of what belongs to all accounts: the limits are those of the deployment's address.
ALL_ACCOUNTS = "all"

# The Account dimension of what belongs to no account that exists: a metric for each name a caller thinks of would cost.
UNKNOWN_ACCOUNT = "unknown"

# What CloudWatch takes of one metric in one object.
MAX_VALUES = 100

_METRIC_OF_STATE = {
    State.SENT: "MessagesSent",
    State.REJECTED: "MessagesRejected",
    State.EXPIRED: "MessagesExpired",
    State.UNKNOWN: "MessagesUnknown",
    State.RETRYING: "MessagesRetried",
    State.FAILED: "MessagesFailed",
    # What came of it could not be recorded.
    State.SENDING: "MessagesRetried",
}
# What urllib3 has to say of a malformed answer is not JSON, and quotes it.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)

_LEVEL_OF_STATE = {State.SENT: "info", State.EXPIRED: "warning", State.RETRYING: "warning", State.REJECTED: "warning"}


class Telemetry:
    """Logs what happens and gathers its metrics until `flush`.

    Parameters
    ----------
    service : str
        What logs and metrics call the deployment.
    """

    def __init__(self, service: str = SERVICE) -> None:
        # msgspec's encoder takes a third of the time of Python's; and no text of ours is JSON, which Powertools tries.
        self.logger = Logger(service=service, location=None, json_serializer=_json, json_deserializer=str)
        self._service = service
        self._emitters: dict[str, EphemeralMetrics] = {}
        # By the Account dimension, and whether it is an account's name, which may be one of those above.
        self._metrics: defaultdict[tuple[str, bool], defaultdict[tuple[str, MetricUnit], list[float]]]
        self._metrics = defaultdict(lambda: defaultdict(list))

    def consumed(self, consumed: Consumed) -> None:
        """Report what became of a message from the queue."""
        details = {"receives": consumed.receives, "dead_letter_reason": consumed.dead_letter_reason}
        if consumed.forwarded and consumed.request:
            self._log("info", "message forwarded to its group", consumed.record_id, **_identity(consumed.request))
        if consumed.outcome and consumed.request:
            self.sent(consumed.request, consumed.outcome, consumed.record_id, **details)
            if consumed.outcome.state.is_final and not consumed.outcome.is_from_record:
                self._add(consumed.request.account, "QueueAge", MetricUnit.Milliseconds, consumed.queue_age * 1000)
        if consumed.fault:
            self.failed(consumed.fault, consumed.record_id, **details)

    def sent(self, request: SendRequest, outcome: Outcome, correlation_id: str, **details: Any) -> None:
        """Report what an attempt to send came to."""
        latencies = [round(post.latency * 1000, 1) for post in outcome.posts]
        level, text = _LEVEL_OF_STATE.get(outcome.state, "error"), f"message {outcome.state}"
        if outcome.is_from_record:
            level, text = "info", "duplicate suppressed" if outcome.state.is_final else "message held by another worker"
        self._log(
            level,
            text,
            correlation_id,
            **_identity(request),
            state=outcome.state,
            attempts=outcome.attempts,
            possibly_duplicated=(outcome.record and outcome.record.possibly_duplicated) or None,
            code=outcome.code,
            cube_message=outcome.message,
            error=f"{type(outcome.error).__name__}: {outcome.error}" if outcome.error else None,
            status=outcome.error.status if isinstance(outcome.error, CubeError) else None,
            latencies_ms=latencies,
            stale_credentials=outcome.stale_credentials or None,
            **details,
        )
        self._count(request, outcome, latencies)
        if isinstance(outcome.error, SpoiledRecordError):
            self._damaged("record cannot be read", correlation_id, outcome.error.message_id, str(outcome.error))
        elif outcome.record and outcome.record.was_deleted:
            self._damaged("record was deleted during its POST", correlation_id, outcome.record.message_id)

    def _count(self, request: SendRequest, outcome: Outcome, latencies: list[float]) -> None:
        if not outcome.is_from_record:
            self._add(request.account, _METRIC_OF_STATE[outcome.state], MetricUnit.Count, 1)
        elif outcome.state.is_final:
            self._add(request.account, "DuplicatesSuppressed", MetricUnit.Count, 1)
        for latency in latencies:
            self._add(request.account, "CubeLatency", MetricUnit.Milliseconds, latency)
        if outcome.posts:
            self._add(request.account, "GateWait", MetricUnit.Milliseconds, round(outcome.gate_wait * 1000, 1))
        if outcome.throttled:
            self._add(request.account, "CubeThrottled", MetricUnit.Count, outcome.throttled)
        if isinstance(outcome.error, CubeAuthenticationError):
            # Refused once more after they were fetched afresh: a rotation looks different.
            self._add(request.account, "CubeAuthenticationFailed", MetricUnit.Count, 1)
        if isinstance(outcome.error, CredentialsError):
            # For all accounts: without the secret nobody can say which there are.
            self._share(ALL_ACCOUNTS, "CredentialsUnusable", MetricUnit.Count, 1)
        if outcome.stale_credentials:
            self._add(request.account, "StaleCredentials", MetricUnit.Count, 1)

    def paced(self, gate: GateStatus) -> None:
        """Report the state of the gate, once for each invocation."""
        if gate.quota_used is not None:
            self._share(ALL_ACCOUNTS, "QuotaUsed", MetricUnit.Percent, round(gate.quota_used, 2))
        if gate.repaired:
            # Removed, since it could not be read: somebody has written it by hand.
            self.logger.error("gate item repaired", extra={"attributes": gate.repaired})
            self._share(ALL_ACCOUNTS, "GateRepaired", MetricUnit.Count, len(gate.repaired))
        if gate.closed_for:
            self.logger.warning("gate closed", extra={"reason": gate.closed_for})
            self._share(ALL_ACCOUNTS, "GateClosed", MetricUnit.Count, 1)

    def posted(self, posted: Posted, correlation_id: str) -> None:
        """Report what became of a request to the API."""
        if posted.outcome:
            self.sent(posted.request, posted.outcome, correlation_id)
            if isinstance(posted.outcome.error, ConnectionsTakenError):
                self._share(ALL_ACCOUNTS, "ApiCallsTurnedAway", MetricUnit.Count, 1)
        else:
            self._log("info", "message queued", correlation_id, **_identity(posted.request))

    def published(self, published: Published) -> None:
        """Report what became of a record of the stream."""
        ended = published.ended
        if published.spoiled:
            self._damaged(
                "record cannot be read", published.sequence_number, published.message_id, str(published.spoiled)
            )
        elif published.error:
            self._log(
                "error",
                "not published",
                published.sequence_number,
                message_id=published.message_id,
                error=published.error,
            )
            self._share(ALL_ACCOUNTS, "EventsFailed", MetricUnit.Count, 1)
        elif ended and published.published_at:
            account = ended.detail["account"]
            ended_at = datetime.fromisoformat(ended.detail["updatedAt"]).timestamp()
            self._add(account, "EventsPublished", MetricUnit.Count, 1)
            lag = max(0.0, published.published_at - ended_at)
            self._add(account, "EventLag", MetricUnit.Milliseconds, round(lag * 1000))
        if published.answered:
            self._share(ALL_ACCOUNTS, "TasksAnswered", MetricUnit.Count, published.answered)
        if published.unanswered:
            level = "error" if published.refused else "warning"
            self._log(level, "task not answered", published.sequence_number, errors=published.unanswered)
            self._share(ALL_ACCOUNTS, "TasksUnanswered", MetricUnit.Count, len(published.unanswered))
        if published.refused:
            self._share(ALL_ACCOUNTS, "TaskAnswersRefused", MetricUnit.Count, published.refused)

    def failed(self, error: Exception, correlation_id: str, **details: Any) -> None:
        """Report a request that could not be dealt with.

        Of an error other than an invalid request this tells where it came from and not its text, which may quote
        anything.
        """
        if isinstance(error, InvalidRequestError | RequestConflictError):
            self._log(
                "warning",
                "invalid request",
                correlation_id,
                request_id=error.request_id,
                faults=[str(fault) for fault in getattr(error, "faults", [error])],
                more_faults=getattr(error, "more", 0) or None,
                **details,
            )
            self._share(UNKNOWN_ACCOUNT, "MessagesInvalid", MetricUnit.Count, 1)
        elif isinstance(error, SpoiledRecordError):
            self._damaged("record cannot be read", correlation_id, error.message_id, str(error), **details)
        else:
            stack = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
            self._log("error", "unexpected error", correlation_id, error=type(error).__name__, stack=stack, **details)

    def flush(self) -> None:
        """Emit the metrics gathered, one EMF object for each account.

        What belongs to an account is emitted for all accounts as well, under ``service`` alone: CloudWatch adds up no
        dimensions, and an alarm watches one set of them.
        """
        gathered, self._metrics = self._metrics, defaultdict(lambda: defaultdict(list))
        for (account, is_account), metrics in gathered.items():
            emitter = self._emitter(account)
            emitted = {
                name: (unit, [sum(values)] if unit is MetricUnit.Count else values)
                for (name, unit), values in metrics.items()
            }
            for start in range(0, max(len(values) for _, values in emitted.values()), MAX_VALUES):
                # Powertools forgets these when it is flushed.
                emitter.dimension_sets[:] = [{"service": self._service}] if is_account else []
                # Its `add_metric` looks at all values of a metric for each that it adds.
                for name, (unit, values) in emitted.items():
                    if chunk := values[start : start + MAX_VALUES]:
                        emitter.metric_set[name] = {"Unit": unit.value, "StorageResolution": 60, "Value": chunk}
                emitter.flush_metrics()

    def _damaged(
        self, text: str, correlation_id: str, message_id: str, faults: str | None = None, **details: Any
    ) -> None:
        self._log("error", text, correlation_id, message_id=message_id, faults=faults, **details)
        self._share(ALL_ACCOUNTS, "RecordsDamaged", MetricUnit.Count, 1)

    def _emitter(self, account: str) -> EphemeralMetrics:
        # Making one takes as long as emitting with it.
        if account not in self._emitters:
            self._emitters[account] = EphemeralMetrics(namespace=NAMESPACE, service=self._service)
            self._emitters[account].set_default_dimensions(Account=account)
        return self._emitters[account]

    def _add(self, account: str, name: str, unit: MetricUnit, value: float) -> None:
        self._metrics[account, True][name, unit].append(value)

    def _share(self, dimension: str, name: str, unit: MetricUnit, value: float) -> None:
        self._metrics[dimension, False][name, unit].append(value)

    def _log(self, level: str, text: str, correlation_id: str, **fields: Any) -> None:
        known = {name: value for name, value in fields.items() if value is not None}
        getattr(self.logger, level)(text, extra={"correlation_id": correlation_id, **known})


def _json(entry: dict[str, Any]) -> str:
    return msgspec.json.encode(entry, enc_hook=str).decode()


def _identity(request: SendRequest) -> dict[str, Any]:
    return {
        "request_id": request.request_id,
        "message_id": request.message_id,
        "account": request.account,
        "device_id": mask_device_id(request.device_id),
    }
