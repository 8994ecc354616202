"""Lambda handler: publish what became of messages, from the stream of the table of records."""

from __future__ import annotations

import os
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from cube_sms.delivery import Asks
from cube_sms.outcomes import OutcomePublisher, report_published
from cube_sms.platform import SERVICE, EventBus, Tasks, Telemetry, aws_client, direct_client, invocation

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

telemetry = Telemetry(os.environ.get("POWERTOOLS_SERVICE_NAME", SERVICE))


@cache
def publisher() -> OutcomePublisher:
    """Make the publisher, once for each execution environment."""
    bus = EventBus(aws_client("events"), os.environ["EVENT_BUS"])
    dynamodb = partial(direct_client, "dynamodb", os.environ)
    asks = Asks.if_any(dynamodb, os.environ["MESSAGES_TABLE"], os.environ["REPLIES"])
    return OutcomePublisher(bus, Tasks(), asks)


@invocation(telemetry)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Answer Lambda's DynamoDB event with the first record that has to come again."""
    failures = []
    for published in publisher().publish(event["Records"]):
        report_published(telemetry, published)
        if published.comes_again:
            failures.append({"itemIdentifier": published.sequence_number})
    return {"batchItemFailures": failures[:1]}


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # Before the first event Lambda gives it more CPU than the function has.
    publisher()
