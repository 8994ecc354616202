"""The queue handler with warm connections, and a bare POST of the same body."""

from __future__ import annotations

import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

import boto3
import urllib3

from benchmarks.inside.timing import interleaved
from cube_sms.aws import AWS_CONFIG
from cube_sms.models import parse_send_request
from cube_sms.records import RecordStore
from cube_sms.settings import Settings
from cube_sms.signing import signed_body
from cube_sms.states import State

EVENT = Path(__file__).parents[2] / "events" / "sqs-text.json"
BATCH = 10

# Each statement, and how often it is run in a round.
STATEMENTS = {
    "post": ('pool.urlopen("POST", path, body, headers, retries=False).data', 50),
    "record": ("handler(event, context)", 50),
    "batch": ("handler(batch, context)", 5),
    "writes": ("records.finish(records.claim(request).record, State.SENT, code=code, message=message)", 50),
}


class Context:
    """The context of an invocation."""

    function_name = "cube-sms-function"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:cube-sms-function"
    memory_limit_in_mb = 512
    aws_request_id = "5b2f4bd6-6c3e-4c0b-9a54-0d2c6a4f1f10"

    def get_remaining_time_in_millis(self) -> int:
        """Return more than any batch needs."""
        return 600_000


def samples(rounds: int) -> dict[str, list[float]]:
    """Return the microseconds of each statement, one value for each round."""
    return interleaved(STATEMENTS, names(), rounds)


def repeat(key: str, count: int) -> None:
    """Run one statement so many times, after each has been warm."""
    known = names()
    for statement, _ in STATEMENTS.values():
        exec(statement, known)  # nosec B102 # one of the statements above
    exec(f"for _ in range({count}): {STATEMENTS[key][0]}", known)  # nosec B102 # one of the statements above


def names() -> dict[str, Any]:
    """Return what the statements refer to."""
    app = importlib.import_module("app")
    context = Context()
    record = json.loads(EVENT.read_text("utf-8"))["Records"][0]
    event = {"Records": [record]}
    batch = {"Records": [_another(record, number) for number in range(BATCH)]}
    for each in (event, batch):
        if app.handler(each, context) != {"batchItemFailures": []}:
            raise AssertionError("the messages were not sent")

    settings = Settings.from_environment(os.environ)
    base = urllib3.util.parse_url(settings.cube_base_url)
    return {
        "handler": app.handler,
        "event": event,
        "batch": batch,
        "context": context,
        "records": RecordStore(boto3.client("dynamodb", config=AWS_CONFIG), "cube-sms-messages", lease=36, retention=1),
        "request": parse_send_request(record["body"].encode()),
        "State": State,
        "code": "0000",
        "message": "success",
        "pool": urllib3.HTTPConnectionPool(str(base.host), base.port),
        "path": f"{base.path}/sms/sendSms",
        "body": _signed(record["body"].encode()),
        "headers": {"Content-Type": "application/json", "Accept-Language": "zh-CN", "User-Agent": "cube-sms/0"},
    }


def _signed(body: bytes) -> bytes:
    request = parse_send_request(body)
    parameters = {
        "version": "2.0",
        "access_code": "P002276",
        "timestamp": str(int(time.time())),
        "deviceId": request.device_id,
        "messageType": request.message_type,
        "smsContentList": [{"smsTemplateContent": request.content, "smsType": "", "smsNum": "1"}],
    }
    return signed_body(parameters, "test-secret")


def _another(record: dict[str, Any], number: int) -> dict[str, Any]:
    body = json.loads(record["body"]) | {"requestId": f"order-{number}"}
    return record | {"messageId": f"{record['messageId'][:-2]}{number:02}", "body": json.dumps(body)}
