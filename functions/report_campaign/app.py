"""Lambda handler: write the outcomes of a campaign's rows, when all of them have ended."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from cube_sms.campaigns import Campaign, CampaignReporter
from cube_sms.platform import SERVICE, Settings, Telemetry, aws_client, invocation

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

telemetry = Telemetry(os.environ.get("POWERTOOLS_SERVICE_NAME", SERVICE))


@cache
def reporter() -> CampaignReporter:
    """Make the reporter, once for each execution environment."""
    settings = Settings.from_environment(os.environ)
    return CampaignReporter(
        aws_client("s3"),
        aws_client("dynamodb"),
        settings.messages_table,
        has_receipts=settings.receipts,
    )


@invocation(telemetry)
def handler(event: dict[str, str], _context: LambdaContext) -> dict[str, Any]:
    """Answer the state machine with the place of the result, and the number of rows in each state."""
    campaign = Campaign(event["bucket"], event["key"], event["campaign"])
    states = reporter().report(campaign)
    # A run that began before an update of the state machine does not say which it is.
    is_stopped = reporter().end(campaign, event.get("execution"))
    telemetry.logger.info("campaign reported", extra={"campaign": campaign.name, "states": states})
    return {
        "bucket": campaign.bucket,
        "key": campaign.result_key,
        "rows": sum(states.values()),
        "states": states,
        "isStopped": is_stopped,
    }


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # Before the first event Lambda gives it more CPU than the function has.
    reporter()
