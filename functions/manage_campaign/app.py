"""Lambda handler: show an operator the progress of a campaign, stop it, or resume it."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from cube_sms.campaigns import BatchSender, CampaignItems, CampaignManager, Executions, InvalidCampaignError
from cube_sms.platform import SERVICE, Settings, Telemetry, aws_client, invocation

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

telemetry = Telemetry(os.environ.get("POWERTOOLS_SERVICE_NAME", SERVICE))


@cache
def manager() -> CampaignManager:
    """Make the manager, once for each execution environment."""
    settings = Settings.from_environment(os.environ)
    s3, dynamodb = aws_client("s3"), aws_client("dynamodb")
    return CampaignManager(
        s3,
        dynamodb,
        CampaignItems(dynamodb, settings.messages_table),
        Executions(aws_client("stepfunctions")),
        BatchSender(s3, dynamodb, aws_client("sqs"), settings),
        settings,
    )


@invocation(telemetry)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Show, stop or resume the named campaign (by default show), and answer how far it is, or with an error."""
    actions = {"show": manager().show, "stop": manager().stop, "resume": manager().resume}
    name, action = event.get("campaign"), event.get("action", "show")
    if not isinstance(name, str) or action not in actions:
        return {"error": 'campaign: must be the name of a campaign; action: must be "show", "stop" or "resume"'}
    try:
        answer = actions[action](name)
    except InvalidCampaignError as error:
        return {"error": str(error)}
    telemetry.logger.info("campaign managed", extra={"campaign": name, "action": action, "status": answer["status"]})
    return answer


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # Before the first event Lambda gives it more CPU than the function has.
    manager()
