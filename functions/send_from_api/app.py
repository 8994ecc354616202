"""Lambda handler: the REST API."""

from __future__ import annotations

import base64
import json
import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import boto3
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from cube_sms.aws import AWS_CONFIG
from cube_sms.models import DEFAULT_ACCOUNT, parse_send_request
from cube_sms.replies import (
    Reply,
    prefers_async,
    problem,
    reply_to_error,
    reply_to_outcome,
    reply_to_queued,
    reply_to_record,
)
from cube_sms.sending import Sender
from cube_sms.settings import Settings
from cube_sms.telemetry import Telemetry

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_sqs import SQSClient

telemetry = Telemetry()
app = APIGatewayRestResolver()


class Services(NamedTuple):
    """What the routes work with."""

    settings: Settings
    sender: Sender
    sqs: SQSClient


@cache
def services() -> Services:
    """Make the services, once for each execution environment."""
    settings = Settings.from_environment(os.environ)
    secrets_manager = boto3.client("secretsmanager", config=AWS_CONFIG)
    dynamodb = boto3.client("dynamodb", config=AWS_CONFIG)
    sender = Sender.from_settings(settings, secrets_manager, dynamodb)
    return Services(settings, sender, boto3.client("sqs", config=AWS_CONFIG))


@app.post("/messages")
def post_message() -> Response[str]:
    """Send a message now, or put it onto the queue where the caller prefers that."""
    settings, sender, sqs = services()
    event = app.current_event
    correlation_id = event.request_context.request_id
    request = parse_send_request(
        _body(event),
        request_id=event.headers.get("Idempotency-Key"),
        max_content_length=settings.max_content_length,
    ).identified(str(uuid4()))
    if prefers_async(event.headers.get("Prefer")):
        sqs.send_message(QueueUrl=settings.send_queue_url, MessageBody=request.to_json().decode())
        telemetry.queued(request, correlation_id)
        return _response(reply_to_queued(request))
    outcome = sender.send(request)
    telemetry.sent(request, outcome, correlation_id)
    return _response(reply_to_outcome(request, outcome, time.time()))


@app.get("/messages/<request_id>")
def get_message(request_id: str) -> Response[str]:
    """Show the record of a message."""
    account = app.current_event.get_query_string_value("account", DEFAULT_ACCOUNT)
    record = services().sender.records.get(f"{account}#{request_id}")
    return _response(reply_to_record(record) if record else problem(404, "Not found", "there is no such message"))


@app.exception_handler(Exception)  # type: ignore[untyped-decorator] # Powertools leaves it without types
def failed(error: Exception) -> Response[str]:
    """Answer a request that cannot be dealt with."""
    telemetry.failed(error, app.current_event.request_context.request_id)
    return _response(reply_to_error(error))


@app.not_found
def not_found(_error: Exception) -> Response[str]:
    """Answer where there is no such resource."""
    return _response(problem(404, "Not found", "there is no such resource"))


def _body(event: APIGatewayProxyEvent) -> bytes:
    text = event.body or ""
    return base64.b64decode(text) if event.is_base64_encoded else text.encode("utf-8", "surrogatepass")


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
    services()
