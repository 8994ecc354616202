"""Checks of a message's path through the stack: queues, their consumers, the gate, and what waits for an operator."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from cube_sms.pacing import used_today, view
from cube_sms_cli.arns import arn
from cube_sms_cli.times import shown

from .finding import fault, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cube_sms.pacing import GateView
    from cube_sms_cli.stack import Stack

    from .finding import Finding

# Percent of the daily quota from which on the operator gets a warning.
QUOTA_WORTH_A_WORD = 90

DEPLOY = "Deploy the stack again: something other than CloudFormation has changed it."

# The queues on which something waits for an operator, what it is, and what the operator can do.
WAITING = {
    "DeadLetterQueueUrl": ("messages could not be sent", "cube-sms dlq list"),
    "RejectedQueueUrl": ("messages were refused by Cube", "cube-sms rejected list"),
    "UndeliveredRequestsQueueUrl": ("request events could not be queued", "docs/runbook.md#undelivered-requests"),
    "UnpublishedQueueUrl": ("batches of outcomes were not published", "cube-sms outcomes replay"),
}

# The consumers of the send queue and of the table's stream, and what happens without them.
CONSUMERS = {
    "SendFromQueueFunctionName": "Messages on the send queue wait",
    "PublishOutcomesFunctionName": "Outcomes are not published",
}


def check_queues(stack: Stack) -> list[Finding]:
    """Check each queue's policy, and the send queue's dead-letter queue, against the template."""
    return list(_changed_queues(stack)) or [ok("queues", f"{len(WAITING) + 1}, with their policies")]


def _changed_queues(stack: Stack) -> Iterator[Finding]:
    for name in ("SendQueueUrl", *WAITING):
        attributes = _attributes(stack, name, "Policy", "RedrivePolicy")
        policy = json.loads(attributes.get("Policy", "{}"))
        missing = _statements(stack, name) - {each.get("Sid") for each in policy.get("Statement", [])}
        if missing:
            yield fault("queues", f"{_short(name)} has no {' and '.join(sorted(missing))} in its policy.", DEPLOY)
        if name == "SendQueueUrl":
            target = json.loads(attributes.get("RedrivePolicy", "{}")).get("deadLetterTargetArn", "")
            if target.rpartition(":")[2] != stack.output("DeadLetterQueueUrl").rpartition("/")[2]:
                yield fault("queues", "SendQueue has another dead-letter queue, or none.", DEPLOY)


def _statements(stack: Stack, queue: str) -> set[str]:
    """Return the statements that the template gives a queue's policy."""
    wanted = {"TlsOnly"}
    takes_events = stack.parameters.get("TakeRequestEvents") == "true"
    if queue == "SendQueueUrl":
        wanted |= {"TakeRequestEvents"} if takes_events else set()
        wanted |= {"TakeFromSources"} if stack.parameters.get("SendQueueSourceArns") else set()
    if queue == "UndeliveredRequestsQueueUrl" and takes_events:
        wanted.add("TakeFromRule")
    return wanted


def check_consumers(stack: Stack) -> list[Finding]:
    """Check that Lambda polls the send queue, and the stream of records."""
    return list(_idle_consumers(stack)) or [ok("consumers", "the queue and the stream are polled")]


def _idle_consumers(stack: Stack) -> Iterator[Finding]:
    for name, what in CONSUMERS.items():
        alias = arn(stack, "lambda", f"function:{stack.output(name)}:live")
        mappings = stack.client("lambda").list_event_source_mappings(FunctionName=alias)["EventSourceMappings"]
        if not mappings:
            yield fault("consumers", f"{what}: {_short(name)} has no event source.", DEPLOY)
        for each in mappings:
            if each["State"] in ("Disabled", "Disabling"):
                advice = f"aws lambda update-event-source-mapping --enabled --uuid {each['UUID']}"
                yield fault("consumers", f"{what}: the event source of {_short(name)} is {each['State']}.", advice)


def check_gate(stack: Stack) -> list[Finding]:
    """Check for a pause, and for a gate that is closed for all accounts or for one."""
    return list(_closed(view(stack.client("dynamodb"), stack.output("MessagesTableName")))) or [ok("gate", "open")]


def _closed(gate: GateView) -> Iterator[Finding]:
    if gate.pause:
        until = "an operator ends it" if math.isinf(gate.pause.until) else shown(gate.pause.until)
        yield warning("gate", f"All sending is paused until {until} ({gate.pause.reason}).", "End it: cube-sms resume")
    if gate.closed_for:
        said = f"It is closed until {shown(gate.closed_until)}: {gate.closed_for}."
        yield warning("gate", said, "It opens by itself: docs/runbook.md#gate-closed")
    for account, code in gate.closed_accounts:
        said = f"It is closed for account {account}: Cube answers {code} to all its messages."
        yield fault("gate", said, f"cube-sms probe {account}, and docs/runbook.md#accounts-closed")


def check_quota(stack: Stack) -> list[Finding]:
    """Check how much of today's quota is left."""
    quota = int(stack.parameters["CubeDailyQuota"])
    if not quota:
        return [ok("quota", "no limit (CubeDailyQuota)")]
    used = used_today(stack.client("dynamodb"), stack.output("MessagesTableName"))
    said = f"{used} of {quota} queries of today (UTC) are used"
    if used >= quota:
        advice = "Raise CubeDailyQuota if the contract allows it."
        return [fault("quota", f"{said}: messages wait until tomorrow.", advice)]
    if used * 100 >= quota * QUOTA_WORTH_A_WORD:
        return [warning("quota", f"{said}.", "Further messages wait until tomorrow: docs/runbook.md#quota")]
    return [ok("quota", said)]


def check_waiting_for_somebody(stack: Stack) -> list[Finding]:
    """Check for dead letters, and for what else waits for an operator."""
    nothing = ok("letters", "no dead letters, and nothing else that waits for an operator")
    return list(_waiting(stack)) or [nothing]


def _waiting(stack: Stack) -> Iterator[Finding]:
    for name, (what, advice) in WAITING.items():
        count = int(_attributes(stack, name, "ApproximateNumberOfMessages")["ApproximateNumberOfMessages"])
        if count:
            yield warning("letters", f"About {count} {what}.", advice)


def _attributes(stack: Stack, queue: str, *names: Any) -> dict[Any, str]:
    answer = stack.client("sqs").get_queue_attributes(QueueUrl=stack.output(queue), AttributeNames=list(names))
    attributes: dict[Any, str] = answer.get("Attributes", {})
    return attributes


def _short(output: str) -> str:
    return output.removesuffix("Url").removesuffix("Name")
