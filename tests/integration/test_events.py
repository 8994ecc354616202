"""The sample events: each is what AWS would send."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any
from uuid import UUID

import pytest

from tests.support import EVENTS, load_event

NAMES = sorted(path.stem for path in EVENTS.glob("*.json"))
SQS = [name for name in NAMES if name.startswith("sqs-")]
API = [name for name in NAMES if name.startswith("api-")]


def test_every_event_is_of_a_known_kind() -> None:
    assert SQS
    assert API
    assert sorted(SQS + API) == NAMES


@pytest.mark.parametrize("name", SQS)
def test_sqs_event_is_well_formed(name: str) -> None:
    records = load_event(name)["Records"]
    assert len({UUID(record["messageId"]) for record in records}) == len(records)
    for record in records:
        assert record.keys() - {"md5OfMessageAttributes"} == {
            "messageId",
            "receiptHandle",
            "body",
            "attributes",
            "messageAttributes",
            "md5OfBody",
            "eventSource",
            "eventSourceARN",
            "awsRegion",
        }
        assert record["md5OfBody"] == hashlib.md5(record["body"].encode()).hexdigest()
        assert record["eventSource"] == "aws:sqs"
        assert record["eventSourceARN"] == "arn:aws:sqs:eu-central-1:123456789012:cube-sms-send"
        assert record["awsRegion"] == "eu-central-1"
        attributes = record["attributes"]
        assert attributes.keys() == {
            "ApproximateReceiveCount",
            "SentTimestamp",
            "SenderId",
            "ApproximateFirstReceiveTimestamp",
        }
        assert int(attributes["ApproximateFirstReceiveTimestamp"]) >= int(attributes["SentTimestamp"])
        assert ("md5OfMessageAttributes" in record) is bool(record["messageAttributes"])
        assert "deviceId" in json.loads(record["body"])


@pytest.mark.parametrize("name", API)
def test_api_event_is_well_formed(name: str) -> None:
    event = load_event(name)
    context = event["requestContext"]
    assert (event["httpMethod"], event["path"], event["resource"]) == ("POST", "/messages", "/messages")
    assert (context["httpMethod"], context["resourcePath"]) == ("POST", "/messages")
    assert event["multiValueHeaders"] == {name: [value] for name, value in event["headers"].items()}
    assert UUID(context["requestId"])
    assert context["identity"]["userArn"].startswith("arn:aws:sts::123456789012:assumed-role/")
    assert event["isBase64Encoded"] is False
    assert "deviceId" in json.loads(event["body"])


def test_each_device_belongs_to_one_event() -> None:
    seen: dict[str, str] = {}
    for name in NAMES:
        event: dict[str, Any] = load_event(name)
        for body in [record["body"] for record in event.get("Records", [])] or [event["body"]]:
            device = json.loads(body)["deviceId"].replace("-", "")
            assert re.fullmatch(r"893144040009399522\d\d", device)
            assert seen.setdefault(device, name) == name
