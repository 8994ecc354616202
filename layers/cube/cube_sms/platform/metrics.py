"""The metrics: each is declared here, once. The documents, the alarms and the dashboard are held against them."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """A metric in the namespace `telemetry.NAMESPACE`.

    Parameters
    ----------
    name : str
        What CloudWatch calls it.
    unit : {"Count", "Milliseconds", "Percent"}
        Its unit.
    of : {"account", "all", "unknown"}
        Its ``Account`` dimension. What is an account's is emitted for all together as well. "all" belongs to the
        deployment. "unknown" belongs to no account that exists: a metric for each name a caller thinks of would
        cost.
    """

    name: str
    unit: Literal["Count", "Milliseconds", "Percent"] = "Count"
    of: Literal["account", "all", "unknown"] = "account"


MESSAGES_SENT = Metric("MessagesSent")
MESSAGES_REJECTED = Metric("MessagesRejected")
MESSAGES_EXPIRED = Metric("MessagesExpired")
MESSAGES_UNKNOWN = Metric("MessagesUnknown")
MESSAGES_CANCELLED = Metric("MessagesCancelled")
MESSAGES_RETRIED = Metric("MessagesRetried")
MESSAGES_FAILED = Metric("MessagesFailed")
MESSAGES_DELIVERED = Metric("MessagesDelivered")
MESSAGES_UNDELIVERED = Metric("MessagesUndelivered")
MESSAGES_INVALID = Metric("MessagesInvalid", of="unknown")
DUPLICATES_SUPPRESSED = Metric("DuplicatesSuppressed")
QUEUE_AGE = Metric("QueueAge", "Milliseconds")
CUBE_LATENCY = Metric("CubeLatency", "Milliseconds")
CUBE_THROTTLED = Metric("CubeThrottled")
CUBE_AUTHENTICATION_FAILED = Metric("CubeAuthenticationFailed")
# Without the secret the accounts are unknown.
CREDENTIALS_UNUSABLE = Metric("CredentialsUnusable", of="all")
STALE_CREDENTIALS = Metric("StaleCredentials")
GATE_WAIT = Metric("GateWait", "Milliseconds")
# The limits are those of the deployment's address.
QUOTA_USED = Metric("QuotaUsed", "Percent", of="all")
GATE_CLOSED = Metric("GateClosed", of="all")
ACCOUNTS_CLOSED = Metric("AccountsClosed")
GATE_REPAIRED = Metric("GateRepaired", of="all")
API_CALLS_TURNED_AWAY = Metric("ApiCallsTurnedAway", of="all")
RECORDS_DAMAGED = Metric("RecordsDamaged", of="all")
EVENTS_PUBLISHED = Metric("EventsPublished")
EVENT_LAG = Metric("EventLag", "Milliseconds")
EVENTS_FAILED = Metric("EventsFailed", of="all")
TASKS_ANSWERED = Metric("TasksAnswered", of="all")
TASKS_UNANSWERED = Metric("TasksUnanswered", of="all")
TASK_ANSWERS_REFUSED = Metric("TaskAnswersRefused", of="all")
RECEIPTS_ASKED = Metric("ReceiptsAsked")
RECEIPTS_OVERDUE = Metric("ReceiptsOverdue")
RECEIPTS_FAILED = Metric("ReceiptsFailed")
RECEIPT_LAG = Metric("ReceiptLag", "Milliseconds")
REPLIES_PUBLISHED = Metric("RepliesPublished")
REPLIES_MISSED = Metric("RepliesMissed")
CALLBACKS_REFUSED = Metric("CallbacksRefused")
CALLBACKS_FAILED = Metric("CallbacksFailed", of="all")
CALLBACKS_NOT_UNDERSTOOD = Metric("CallbacksNotUnderstood")
# Anyone who finds the address can call it.
CALLBACKS_MISADDRESSED = Metric("CallbacksMisaddressed", of="unknown")

METRICS = {value.name: value for value in list(globals().values()) if isinstance(value, Metric)}
"""All of them, by their names."""
