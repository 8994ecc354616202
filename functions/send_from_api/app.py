"""Lambda handler: the REST API."""

from __future__ import annotations

import base64
import json
import os
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from cube_sms.api import PATIENCE, MessagesApi
from cube_sms.aws import AWS_CONFIG
from cube_sms.replies import Reply, problem, reply_to_error
from cube_sms.sending import Sender
from cube_sms.settings import Settings
from cube_sms.telemetry import SERVICE, Telemetry

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

telemetry = Telemetry(os.environ.get("POWERTOOLS_SERVICE_NAME", SERVICE))
app = APIGatewayRestResolver()


@cache
def api() -> MessagesApi:
    """Make what answers, once for each execution environment."""
    settings = Settings.from_environment(os.environ)
    secrets_manager = boto3.client("secretsmanager", config=AWS_CONFIG)
    dynamodb = boto3.client("dynamodb", config=AWS_CONFIG)
    sender = Sender.from_settings(settings, secrets_manager, dynamodb, patience=PATIENCE)
    return MessagesApi(sender, boto3.client("sqs", config=AWS_CONFIG), settings)


@app.post("/messages")
def post_message() -> Response[str]:
    """Send a message."""
    event = app.current_event
    text = event.body or ""
    body = base64.b64decode(text) if event.is_base64_encoded else text.encode("utf-8", "surrogatepass")
    headers = event.headers
    posted = api().post(
        body,
        idempotency_key=headers.get("Idempotency-Key"),
        prefer=headers.get("Prefer"),
        time_left=app.lambda_context.get_remaining_time_in_millis() / 1000,
    )
    telemetry.posted(posted, event.request_context.request_id)
    telemetry.paced(api().gate_status)
    return _response(posted.reply)


@app.get("/messages/<request_id>")
def get_message(request_id: str) -> Response[str]:
    """Show the record of a message."""
    return _response(api().get(request_id, app.current_event.get_query_string_value("account")))


@app.exception_handler(Exception)  # type: ignore[untyped-decorator] # Powertools leaves it without types
def failed(error: Exception) -> Response[str]:
    """Answer a request that cannot be dealt with."""
    telemetry.failed(error, app.current_event.request_context.request_id)
    return _response(reply_to_error(error))


@app.not_found
def not_found(_error: Exception) -> Response[str]:
    """Answer where there is no such resource."""
    return _response(problem(404, "Not found", "there is no such resource"))


def _response(reply: Reply) -> Response[str]:
    return Response(reply.status, reply.content_type, json.dumps(reply.body), dict(reply.headers))


@telemetry.logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer an event of API Gateway."""
    try:
        return app.resolve(event, context)
    finally:
        telemetry.flush()


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # Lambda gives the time before the first event for free, and with it more CPU than the function has.
    api()
