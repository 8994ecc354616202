"""Lambda handler: read the file of a campaign and check it, before anything of it is sent."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from cube_sms.campaigns import (
    Campaign,
    CampaignItems,
    CampaignPreparer,
    CampaignStarter,
    DryRunner,
    Executions,
    InvalidCampaignError,
    Pace,
    sharing,
)
from cube_sms.platform import SERVICE, Settings, Telemetry, aws_client, invocation

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

telemetry = Telemetry(os.environ.get("POWERTOOLS_SERVICE_NAME", SERVICE))


@cache
def settings() -> Settings:
    """Read the settings, once for each execution environment."""
    return Settings.from_environment(os.environ)


@cache
def preparer() -> CampaignPreparer:
    """Make the preparer, once for each execution environment."""
    return CampaignPreparer(
        aws_client("s3"),
        max_content_length=settings().max_content_length,
        most_together=sharing(settings(), aws_client("secretsmanager")),
    )


@cache
def starter() -> CampaignStarter:
    """Make the starter, once for each execution environment."""
    return CampaignStarter(
        CampaignItems(aws_client("dynamodb"), settings().messages_table),
        Executions(aws_client("stepfunctions")),
    )


@cache
def dry_runner() -> DryRunner:
    """Make the runner of dry runs, which few execution environments need."""
    return DryRunner(preparer(), aws_client("dynamodb"), settings())


@invocation(telemetry)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Answer the state machine with where the batches are, with why there are none, or with what a dry run found.

    A campaign that cannot be meant is no error of the function's. The sentence is for its owner: it may quote the file.
    """
    try:
        execution = event["execution"]
        campaign = Campaign.from_input(event["bucket"], execution.rpartition(":")[2], event["input"])
        if campaign.is_dry_run:
            found = dry_runner().run(campaign)
            telemetry.logger.info("campaign checked", extra={"rows": found["rows"], "requests": found["valid"]})
            return found
        if campaign.is_result_only:
            ended = starter().ended(campaign)
            preparer().require_rows(ended)
            # The state machine then has nothing to send, and reports.
            return {"key": ended.key, "campaign": ended.name, "requests": 0}
        starter().begin(campaign, execution)
        prepared = preparer().prepare(campaign)
        starter().prepared(campaign, execution, prepared)
    except InvalidCampaignError as error:
        telemetry.logger.warning("campaign refused", extra={"part": error.part})
        return {"refusal": str(error)}
    telemetry.logger.info("campaign prepared", extra=prepared._asdict())
    return {
        "key": campaign.key,
        "campaign": campaign.name,
        "batchesKey": campaign.batches_key,
        "batchesAhead": Pace.of(settings().cube_max_qps, prepared.requests, prepared.queries).batches_ahead,
        **prepared._asdict(),
    }


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # Before the first event Lambda gives it more CPU than the function has.
    preparer()
    starter()
