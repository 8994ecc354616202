"""Lambda handler: send the messages of a batch from the queue."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from cube_sms.delivery import Sender, report_paced
from cube_sms.platform import SERVICE, Settings, Telemetry, aws_client, direct_client, invocation
from cube_sms.queue import QueueConsumer, report_consumed, report_put_back

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

telemetry = Telemetry(os.environ.get("POWERTOOLS_SERVICE_NAME", SERVICE))


@cache
def consumer() -> QueueConsumer:
    """Make the consumer, once for each execution environment."""
    settings = Settings.from_environment(os.environ)
    sender = Sender.from_settings(
        settings,
        direct_client("secretsmanager", os.environ),
        direct_client("dynamodb", os.environ),
        connections=settings.queue_send_concurrency,
    )
    return QueueConsumer(sender, aws_client("sqs"), settings)


@invocation(telemetry)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer Lambda's SQS event with the records that have to stay in the queue."""
    batch = []
    for consumed in consumer().consume(event["Records"], lambda: context.get_remaining_time_in_millis() / 1000):
        report_consumed(telemetry, consumed)
        batch.append(consumed)
    report_put_back(telemetry, batch)
    report_paced(telemetry, consumer().gate_status)
    return {"batchItemFailures": [{"itemIdentifier": each.record_id} for each in batch if not each.acknowledged]}


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # Before the first event Lambda gives it more CPU than the function has.
    consumer()
