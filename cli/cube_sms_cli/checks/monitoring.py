"""Checks of the alarms, of who gets them, and of Lambda's concurrency."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING

from cube_sms_cli.arns import arn

from .finding import fault, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cube_sms_cli.stack import Stack

    from .finding import Finding

# As many as DescribeAlarms takes.
ALARMS_AT_ONCE = 100

# The time over which to look at concurrent executions. CloudWatch has a value for each minute, some minutes late.
LOOK_BACK = timedelta(minutes=10)


def check_alarms(stack: Stack) -> Iterator[Finding]:
    """Check which of the stack's alarms are in ALARM, and which have their actions off."""
    client, found = stack.client("cloudwatch"), []
    for names in batched(_alarms(stack, stack.name), ALARMS_AT_ONCE, strict=False):
        found += client.describe_alarms(AlarmNames=list(names), MaxRecords=ALARMS_AT_ONCE)["MetricAlarms"]
    sounding = [each for each in found if each["StateValue"] == "ALARM"]
    for each in sounding:
        what, _, page = each.get("AlarmDescription", "").partition(" docs/")
        yield fault("alarms", f"{each['AlarmName']}: {what}", f"docs/{page or 'runbook.md'}")
    silent = [each["AlarmName"] for each in found if not each.get("ActionsEnabled", True)]
    if silent:
        advice = f"aws cloudwatch enable-alarm-actions --alarm-names {' '.join(silent)}"
        yield warning("alarms", f"{len(silent)} of them show only in the console: their actions are off.", advice)
    if not sounding and not silent:
        yield ok("alarms", f"none of {len(found)} is in ALARM")


def _alarms(stack: Stack, name: str) -> Iterator[str]:
    """Yield the names of the alarms of a stack and of those that it nests."""
    pages = stack.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
    for page in pages:
        for resource in page["StackResourceSummaries"]:
            if resource["ResourceType"] == "AWS::CloudWatch::Alarm":
                yield resource["PhysicalResourceId"]
            elif resource["ResourceType"] == "AWS::CloudFormation::Stack":
                yield from _alarms(stack, resource["PhysicalResourceId"])


def check_alarm_topic(stack: Stack) -> Iterator[Finding]:
    """Check that a subscription of the topic gets the alarms."""
    topic = stack.parameters.get("AlarmTopicArn")
    if not topic:
        advice = "Deploy with AlarmTopicArn=<ARN of an SNS topic>."
        yield warning("alarm topic", "Alarms show only in the console: no topic gets them.", advice)
        return
    client = stack.client("sns")
    try:
        pages = client.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        subscriptions = [each["SubscriptionArn"] for page in pages for each in page["Subscriptions"]]
    except client.exceptions.NotFoundException:
        yield fault(
            "alarm topic",
            f"There is no topic {topic}: alarms show only in the console.",
            "Deploy with the ARN of an existing topic.",
        )
        return
    # A subscription that waits for its confirmation has a remark instead of an ARN.
    confirmed = [each for each in subscriptions if each.startswith("arn:")]
    if confirmed:
        yield ok("alarm topic", f"{len(confirmed)} of {len(subscriptions)} subscriptions are confirmed")
    elif subscriptions:
        advice = "Confirm one: the link is in the message that SNS has sent."
        yield fault(
            "alarm topic",
            f"None of {len(subscriptions)} subscriptions is confirmed: alarms show only in the console.",
            advice,
        )
    else:
        advice = f"aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint <address>"
        yield fault("alarm topic", "The topic has no subscription: alarms show only in the console.", advice)


def check_concurrency(stack: Stack) -> Iterator[Finding]:
    """Check that the AWS account has executions left for the stack's functions."""
    client = stack.client("lambda")
    limit = client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    now = datetime.now(UTC)
    points = stack.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="UnreservedConcurrentExecutions",
        StartTime=now - LOOK_BACK,
        EndTime=now,
        Period=60,
        Statistics=["Maximum"],
    )["Datapoints"]
    used = int(max((each["Maximum"] for each in points), default=0))
    yield room(limit, used, _needed(stack))


def room(limit: int, used: int, needed: int) -> Finding:
    """Return whether an AWS account with this limit and this use has room for the executions that are needed.

    Examples
    --------
    >>> room(10, 7, 5).detail
    '3 of 10 executions are left in the account, and the stack may want 5.'
    """
    said = f"{limit - used} of {limit} executions are left in the account"
    if limit - used >= needed:
        return ok("concurrency", said)
    advice = "Ask AWS for more (Service Quotas, Lambda, Concurrent executions), or find out what else uses them."
    return warning("concurrency", f"{said}, and the stack may want {needed}.", advice)


def _needed(stack: Stack) -> int:
    """Return how many executions the stack may want at once: those of the queue function, and one of each other."""
    function = arn(stack, "lambda", f"function:{stack.output('SendFromQueueFunctionName')}:live")
    mappings = stack.client("lambda").list_event_source_mappings(FunctionName=function)["EventSourceMappings"]
    of_queue = sum(each.get("ScalingConfig", {}).get("MaximumConcurrency", 0) for each in mappings)
    others = [name for name in stack.outputs if re.fullmatch(r"\w+FunctionName", name)]
    return int(of_queue) + len(others) - 1
