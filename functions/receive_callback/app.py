"""Lambda handler: take the provider's callbacks."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from cube_sms.delivery import Asks, ReplyRecords, ReplyTaker
from cube_sms.platform import (
    SERVICE,
    EventBus,
    Tasks,
    Telemetry,
    aws_client,
    direct_client,
    invocation,
    reply_to_error,
)
from cube_sms.provider import CredentialStore
from cube_sms.replies import Callback, CallbackReceiver, report_failed, report_receipt

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

telemetry = Telemetry(os.environ.get("POWERTOOLS_SERVICE_NAME", SERVICE))


@cache
def receiver() -> CallbackReceiver:
    """Make what receives callbacks, once for each execution environment."""
    dynamodb, table = direct_client("dynamodb", os.environ), os.environ["MESSAGES_TABLE"]
    history = ReplyRecords.if_any(
        dynamodb,
        table,
        has_history=os.environ["DEVICE_HISTORY"] == "true",
        retention_days=int(os.environ["RECORD_RETENTION_DAYS"]),
        content_days=int(os.environ["KEEP_REPLIES"]),
    )
    bus = EventBus(aws_client("events"), os.environ["EVENT_BUS"])
    return CallbackReceiver(
        CredentialStore(direct_client("secretsmanager", os.environ), os.environ["CUBE_SECRET_ID"]),
        ReplyTaker(Asks(dynamodb, table), bus, Tasks(), history),
        aws_client("sqs"),
        os.environ["UNKNOWN_CALLBACKS_QUEUE_URL"],
    )


@invocation(telemetry)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Answer an event of API Gateway."""
    call_id = event["requestContext"]["requestId"]
    try:
        receipt = receiver().receive(Callback.of(event))
        report_receipt(telemetry, receipt, call_id)
        reply = receipt.reply
    except Exception as error:  # noqa: BLE001 - whatever it is, the provider is to repeat the call
        report_failed(telemetry, error, call_id)
        reply = reply_to_error(error)
    return reply.for_lambda


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # Before the first event Lambda gives it more CPU than the function has.
    receiver()
