"""Lambda handler: put a batch of a campaign's rows onto the send queue, and look up their outcomes."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from cube_sms.campaigns import Batch, BatchSender, Campaign
from cube_sms.platform import SERVICE, Settings, Telemetry, aws_client, invocation

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

telemetry = Telemetry(os.environ.get("POWERTOOLS_SERVICE_NAME", SERVICE))


@cache
def sender() -> BatchSender:
    """Make the sender, once for each execution environment."""
    return BatchSender(
        aws_client("s3"),
        aws_client("dynamodb"),
        aws_client("sqs"),
        Settings.from_environment(os.environ),
    )


@invocation(telemetry)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Answer the state machine whether the batch has ended and, if not, in how many seconds to look again."""
    campaign = Campaign(event["bucket"], event["key"], event["campaign"])
    batch = msgspec.convert(event["batch"], Batch)
    looked = sender().look(campaign, batch)
    telemetry.logger.info(
        "batch looked at", extra={"campaign": campaign.name, "first": batch.first, **looked._asdict()}
    )
    return {"isEnded": looked.is_ended, "wait": looked.wait}


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # Before the first event Lambda gives it more CPU than the function has.
    sender()
