"""The naive peer of the pacing: send each message with a POST, and leave failures to SQS's retries."""

from __future__ import annotations

import json
import os
from typing import Any

import boto3
import requests

from benchmarks.peers.cube import HEADERS, URL, signed_body

_stored = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["CUBE_SECRET_ID"])
ACCOUNT = json.loads(_stored["SecretString"])["default"]


def send(message: dict[str, Any]) -> None:
    """Sign a message and post it."""
    requests.post(URL, data=signed_body(message, ACCOUNT), headers=HEADERS, timeout=10).raise_for_status()


def queue_handler(event: dict[str, Any], _context: object) -> None:
    """Send a batch from the queue."""
    for record in event["Records"]:
        send(json.loads(record["body"]))


def api_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Send the message of an API call."""
    send(json.loads(event["body"]))
    return {"statusCode": 200, "body": json.dumps({"state": "SENT"})}
