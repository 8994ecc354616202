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
"""Messages that Cube accepted."""
MESSAGES_REJECTED = Metric("MessagesRejected")
"""Messages that Cube refused for good."""
MESSAGES_EXPIRED = Metric("MessagesExpired")
"""Messages whose `expiresAt` was over before they were sent."""
MESSAGES_UNKNOWN = Metric("MessagesUnknown")
"""Messages that may have been sent, and are not sent again."""
MESSAGES_CANCELLED = Metric("MessagesCancelled")
"""Messages that were cancelled before they were sent."""
MESSAGES_RETRIED = Metric("MessagesRetried")
"""Attempts after which a message is tried again."""
MESSAGES_FAILED = Metric("MessagesFailed")
"""Messages whose attempts are used up."""
MESSAGES_DELIVERED = Metric("MessagesDelivered")
"""Messages whose receipt says that the device has them."""
MESSAGES_UNDELIVERED = Metric("MessagesUndelivered")
"""Messages whose receipt says that Cube could not deliver them."""
MESSAGES_INVALID = Metric("MessagesInvalid", of="unknown")
"""Requests that were refused: they are invalid, or their id belongs to another request."""
DUPLICATES_SUPPRESSED = Metric("DuplicatesSuppressed")
"""Messages answered from their record."""
QUEUE_AGE = Metric("QueueAge", "Milliseconds")
"""The time of a message on the queue, until its outcome."""
CUBE_LATENCY = Metric("CubeLatency", "Milliseconds")
"""The time of a query from when its connection is open. Messages that share a query count once."""
CUBE_THROTTLED = Metric("CubeThrottled")
"""Queries answered with HTTP 429, or with a code listed as throttled."""
CUBE_AUTHENTICATION_FAILED = Metric("CubeAuthenticationFailed")
"""Queries whose credentials Cube refused, also after the secret was read again."""
# Without the secret the accounts are unknown.
CREDENTIALS_UNUSABLE = Metric("CredentialsUnusable", of="all")
"""Messages that wait, because the secret cannot be fetched or an account in it is malformed."""
STALE_CREDENTIALS = Metric("StaleCredentials")
"""Messages sent with the last good credentials while Secrets Manager was unavailable."""
GATE_WAIT = Metric("GateWait", "Milliseconds")
"""The time that a query waits for its slot, or the queries that a refused one was divided into."""
# The limits are those of the deployment's address.
QUOTA_USED = Metric("QuotaUsed", "Percent", of="all")
"""The used part of the daily quota."""
GATE_CLOSED = Metric("GateClosed", of="all")
"""Invocations that found the gate closed for everybody."""
ACCOUNTS_CLOSED = Metric("AccountsClosed")
"""Invocations that found the gate closed for an account, since Cube gives one unknown code for all its messages."""
GATE_REPAIRED = Metric("GateRepaired", of="all")
"""Attributes of the gate's item that could not be read and were removed."""
API_CALLS_TURNED_AWAY = Metric("ApiCallsTurnedAway", of="all")
"""Calls of the API that found every connection taken."""
RECORDS_DAMAGED = Metric("RecordsDamaged", of="all")
"""Records that were changed by hand so that they cannot be read, or deleted during a POST, each time one is met."""
EVENTS_PUBLISHED = Metric("EventsPublished")
"""Outcome events that EventBridge has taken."""
EVENT_LAG = Metric("EventLag", "Milliseconds")
"""The time from an outcome until EventBridge has taken its event."""
EVENTS_FAILED = Metric("EventsFailed", of="all")
"""Outcomes that could not be published at that time."""
TASKS_ANSWERED = Metric("TasksAnswered", of="all")
"""Tasks of Step Functions that got an outcome."""
TASKS_UNANSWERED = Metric("TasksUnanswered", of="all")
"""Tasks of Step Functions that took no answer."""
TASK_ANSWERS_REFUSED = Metric("TaskAnswersRefused", of="all")
"""Answers to tasks that the gateway may not give."""
RECEIPTS_ASKED = Metric("ReceiptsAsked")
"""Devices whose receipts were asked for."""
RECEIPTS_OVERDUE = Metric("ReceiptsOverdue")
"""Messages that had no receipt within `ReceiptWindowHours`."""
RECEIPTS_FAILED = Metric("ReceiptsFailed")
"""Devices for which there was no answer. The next run asks for them again."""
RECEIPT_LAG = Metric("ReceiptLag", "Milliseconds")
"""The time from when Cube accepted a message until its receipt is known."""
REPLIES_PUBLISHED = Metric("RepliesPublished")
"""Messages from devices that EventBridge has taken, repeats among them."""
REPLIES_MISSED = Metric("RepliesMissed")
"""Requests with `awaitReply` whose device did not reply in time."""
CALLBACKS_REFUSED = Metric("CallbacksRefused")
"""Callbacks under a right token that were refused."""
CALLBACKS_FAILED = Metric("CallbacksFailed", of="all")
"""Callbacks that could not be taken at that time. The provider repeats them."""
CALLBACKS_NOT_UNDERSTOOD = Metric("CallbacksNotUnderstood")
"""Callbacks whose form is unknown. They wait on a queue."""
# Anyone who finds the address can call it.
CALLBACKS_MISADDRESSED = Metric("CallbacksMisaddressed", of="unknown")
"""Calls of the address for callbacks with a token that no account has."""

METRICS = {value.name: value for value in list(globals().values()) if isinstance(value, Metric)}
"""All of them, by their names."""
