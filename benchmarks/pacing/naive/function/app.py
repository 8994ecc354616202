"""Send each message with a POST; whatever fails is left to SQS's retries."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from typing import Any

import boto3
import requests

_stored = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["SECRET_ID"])
ACCOUNT = json.loads(_stored["SecretString"])["default"]


def send(message: dict[str, Any]) -> None:
    """Sign a message and post it."""
    parameters: dict[str, Any] = {
        "access_code": ACCOUNT["access_code"],
        "deviceId": message["deviceId"],
        "messageType": "Text",
        "smsContentList": [{"smsTemplateContent": message["content"], "smsType": "", "smsNum": "1"}],
        "timestamp": str(int(time.time())),
        "version": "2.0",
    }
    digest = hmac.new(ACCOUNT["secret"].encode(), _json(parameters), hashlib.sha1).digest()
    parameters["sign"] = base64.b64encode(digest).decode()
    response = requests.post(
        os.environ["CUBE_BASE_URL"] + "/sms/sendSms",
        data=_json(parameters),
        headers={"Content-Type": "application/json"},
        timeout=10,
    )
    response.raise_for_status()


def queue_handler(event: dict[str, Any], _context: object) -> None:
    """Send a batch from the queue."""
    for record in event["Records"]:
        send(json.loads(record["body"]))


def api_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Send the message of an API call."""
    send(json.loads(event["body"]))
    return {"statusCode": 200, "body": json.dumps({"state": "SENT"})}


def _json(parameters: dict[str, Any]) -> bytes:
    return json.dumps(parameters, separators=(",", ":"), ensure_ascii=False).encode()
