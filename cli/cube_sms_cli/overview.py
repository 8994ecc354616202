"""The present state of a deployment: the rate, the queues, the gate, the quota, and outcomes of messages."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cube_sms.delivery import State
from cube_sms.pacing import bulk_limit, view
from cube_sms.platform import metrics

from .metric_lines import RATE_WINDOW, WINDOW, MetricLines
from .records import aws_faults
from .times import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

    from .stack import Stack

_COUNTS = {
    "waiting": "ApproximateNumberOfMessages",
    "inFlight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}

# What is not to be there. Those of the first have reasons.
_QUEUES = {
    "deadLetters": "DeadLetterQueueUrl",
    "rejected": "RejectedQueueUrl",
    "undeliveredRequests": "UndeliveredRequestsQueueUrl",
    "unpublishedOutcomes": "UnpublishedQueueUrl",
}

# SQS reports the age of the oldest message once a minute, and CloudWatch bills each question.
_AGE_SECONDS = 60.0

# The results of an attempt.
_COUNTED = [state for state in State if state.is_final or state is State.RETRYING]

# The lines of what a function counts. The last is there if something is asked later.
_GROUPS = ("SendFromQueueLogGroup", "SendFromApiLogGroup", "FollowUpLogGroup")


class Overview:
    """Looks at a deployment, again and again.

    Parameters
    ----------
    stack : Stack
        The deployed stack.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(self, stack: Stack, *, clock: Callable[[], float] = time.time) -> None:
        self._stack = stack
        self._clock = clock
        self._lines = MetricLines(
            stack.client("logs"), [stack.output(name) for name in _GROUPS if name in stack.outputs], clock=clock
        )
        self._age: float | None = None
        self._age_asked_at = 0.0

    def look(self) -> dict[str, Any]:
        """Return how it stands, as JSON members.

        Raises
        ------
        OperatorError
            If that cannot be found out.
        """
        self._lines.read()
        counts = {state.value: round(self._lines.count(state.metric)) for state in _COUNTED}
        counts["INVALID"] = round(self._lines.count(metrics.MESSAGES_INVALID))
        return {
            "at": shown(self._clock()),
            "stack": self._stack.name,
            **self._pacing(),
            "queue": {**self._depth("SendQueueUrl"), "oldestSeconds": self._oldest()},
            "outcomes": {"seconds": round(WINDOW), "states": {name: count for name, count in counts.items() if count}},
            # Those that somebody else looks at meanwhile are still there.
            **{name: sum(self._depth(output).values()) for name, output in _QUEUES.items()},
            "deadLetterReasons": dict(self._lines.letters.most_common()),
        }

    def _pacing(self) -> dict[str, Any]:
        limit, quota, reserve = (
            int(self._stack.parameters[name]) for name in ("CubeMaxQps", "CubeDailyQuota", "CubeQuotaReservePercent")
        )
        client: DynamoDBClient = self._stack.client("dynamodb")
        with aws_faults():
            gate = view(client, self._stack.output("MessagesTableName"), clock=self._clock)
        used, pause = gate.used, gate.pause
        is_spent = bool(quota) and used >= quota
        state = "paused" if pause else "closed" if gate.closed_for or is_spent else "open"
        if pause:
            reason, until = pause.reason, pause.until
        else:
            reason = gate.closed_for or ("quota" if is_spent else None)  # type: ignore[assignment]  # or none
            until = gate.closed_until if gate.closed_for else gate.day_ends_at if is_spent else 0.0
        ends = until if 0.0 < until < float("inf") else None
        accounts = [{"account": account, "code": code} for account, code in gate.closed_accounts]
        return {
            "rate": {"perSecond": round(self._lines.rate, 1), "limit": limit or None, "seconds": round(RATE_WINDOW)},
            "gate": {"state": state, "reason": reason, "until": shown(ends), "closedAccounts": accounts},
            "quota": {
                "used": used,
                "limit": quota,
                "left": max(0, quota - used),
                "leftForBulk": max(0, bulk_limit(quota, reserve) - used),
                "endsAt": shown(gate.day_ends_at),
            }
            if quota
            else None,
        }

    def _depth(self, output: str) -> dict[str, int]:
        client: SQSClient = self._stack.client("sqs")
        names: Any = list(_COUNTS.values())
        found: Any = client.get_queue_attributes(QueueUrl=self._stack.output(output), AttributeNames=names)
        return {name: int(found["Attributes"][attribute]) for name, attribute in _COUNTS.items()}

    def _oldest(self) -> float | None:
        """Return how old the oldest message on the send queue is, in seconds, as CloudWatch knew it last."""
        now = self._clock()
        if now - self._age_asked_at >= _AGE_SECONDS:
            self._age_asked_at = now
            client: CloudWatchClient = self._stack.client("cloudwatch")
            end = datetime.fromtimestamp(now, UTC)
            found = client.get_metric_statistics(
                Namespace="AWS/SQS",
                MetricName="ApproximateAgeOfOldestMessage",
                Dimensions=[{"Name": "QueueName", "Value": self._stack.output("SendQueueUrl").rpartition("/")[2]}],
                StartTime=end - timedelta(minutes=5),
                EndTime=end,
                Period=60,
                Statistics=["Maximum"],
            )["Datapoints"]
            newest = max(found, key=lambda point: point["Timestamp"], default=None)
            self._age = newest["Maximum"] if newest else None
        return self._age
