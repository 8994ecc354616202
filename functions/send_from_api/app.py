"""Lambda handler: the REST API."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from cube_sms.api import PATIENCE, HistoryApi, MessagesApi, report_deleted, report_posted, request_of
from cube_sms.delivery import Sender, report_paced
from cube_sms.pacing import ConnectionLeases
from cube_sms.platform import (
    SERVICE,
    Reply,
    Settings,
    Telemetry,
    aws_client,
    direct_client,
    header_of,
    invocation,
    problem,
    reply_to_error,
)

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

telemetry = Telemetry(os.environ.get("POWERTOOLS_SERVICE_NAME", SERVICE))


@cache
def api() -> MessagesApi:
    """Make what answers about messages, once for each execution environment."""
    settings = Settings.from_environment(os.environ)
    secrets_manager = direct_client("secretsmanager", os.environ)
    dynamodb = direct_client("dynamodb", os.environ)
    sender = Sender.from_settings(settings, secrets_manager, dynamodb, patience=PATIENCE)
    leases = ConnectionLeases(dynamodb, settings.messages_table, settings.api_connections)
    return MessagesApi(sender, aws_client("sqs"), leases, settings)


@cache
def history() -> HistoryApi:
    """Make what answers about devices, likewise."""
    return HistoryApi(direct_client("dynamodb", os.environ), Settings.from_environment(os.environ))


@invocation(telemetry)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer an event of API Gateway."""
    try:
        reply = _reply(event, context)
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller is answered
        telemetry.failed(error, event["requestContext"]["requestId"])
        reply = reply_to_error(error)
    return reply.for_lambda


def _reply(event: dict[str, Any], context: LambdaContext) -> Reply:
    # A few routes, matched here: importing Powertools' event handler takes longer than all of the rest except boto3.
    # `resource` is the template's own name of the route; `path` begins with the base path of a custom domain.
    match event["httpMethod"], event["resource"]:
        case "POST", "/messages":
            return _post_message(event, context)
        case "GET", "/messages/{requestId}":
            return api().get(*_message(event))
        case "GET", "/devices/{deviceId}/messages":
            return history().get(event["pathParameters"]["deviceId"], event.get("queryStringParameters") or {})
        case "DELETE", "/messages/{requestId}":
            deleted = api().delete(*_message(event))
            report_deleted(telemetry, deleted, event["requestContext"]["requestId"])
            return deleted.reply
    return problem(404, "Not found", "there is no such resource")


def _message(event: dict[str, Any]) -> tuple[str, str | None]:
    account: str | None = (event.get("queryStringParameters") or {}).get("account")
    return event["pathParameters"]["requestId"], account


def _post_message(event: dict[str, Any], context: LambdaContext) -> Reply:
    posted = api().post(
        request_of(event),
        idempotency_key=header_of(event, "Idempotency-Key"),
        prefer=header_of(event, "Prefer"),
        path=event["path"],
        time_left=context.get_remaining_time_in_millis() / 1000,
    )
    report_posted(telemetry, posted, event["requestContext"]["requestId"])
    report_paced(telemetry, api().gate_status)
    return posted.reply


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # Before the first event Lambda gives it more CPU than the function has.
    api()
