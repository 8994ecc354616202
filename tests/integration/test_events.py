"""The sample events: each is what AWS would send."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from typing import Any
from uuid import UUID

import pytest

from cube_sms.campaigns.files import COLUMNS
from cube_sms.outcomes.events import read_end
from cube_sms.replies.forms import read_received
from cube_sms.request.envelopes import unwrap
from cube_sms.request.parsing import parse_send_request
from local.demo import EXPECTED
from tests.support import EVENTS, load_event

NAMES = sorted(path.stem for path in EVENTS.glob("*.json"))
SQS = [name for name in NAMES if name.startswith("sqs-")]
FIFO = "sqs-fifo"
API = [name for name in NAMES if name.startswith("api-")]
POSTS = [name for name in API if name.startswith("api-post-")]
REQUESTED = "eventbridge-requested"
# In whose records the request is wrapped.
ENVELOPES = [REQUESTED, "sqs-sns"]
STREAM = "stream-outcomes"
CALLBACK = "callback-reply"
# What docs/guides/workflows.md gives to EventBridge, Scheduler and Step Functions.
REQUESTS = ["schedule-input", "send-and-wait-input"]
OTHERS = ["campaign-input", "outcome-pattern"]


def test_every_event_is_of_a_known_kind() -> None:
    assert SQS
    assert API
    assert sorted([*SQS, *API, REQUESTED, STREAM, CALLBACK, *REQUESTS, *OTHERS]) == NAMES


def test_demo_sends_every_event() -> None:
    # The other is what a rule is made of
    assert EXPECTED.keys() == {*NAMES} - {"outcome-pattern"}


@pytest.mark.parametrize("name", [*SQS, REQUESTED])
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
        suffix = ".fifo" if name == FIFO else ""
        assert record["eventSourceARN"] == f"arn:aws:sqs:eu-central-1:123456789012:cube-sms-send{suffix}"
        assert record["awsRegion"] == "eu-central-1"
        attributes = record["attributes"]
        assert attributes.keys() == {
            "ApproximateReceiveCount",
            "SentTimestamp",
            "SenderId",
            "ApproximateFirstReceiveTimestamp",
            *(("SequenceNumber", "MessageGroupId", "MessageDeduplicationId") if name == FIFO else ()),
        }
        assert int(attributes["ApproximateFirstReceiveTimestamp"]) >= int(attributes["SentTimestamp"])
        assert ("md5OfMessageAttributes" in record) is bool(record["messageAttributes"])
        request, event_id = unwrap(record["body"].encode())
        assert bool(event_id) is (name in ENVELOPES)
        assert "deviceId" in json.loads(request)


def test_stream_event_tells_of_an_event_and_of_tasks() -> None:
    changes = load_event(STREAM)["Records"]
    for change in changes:
        assert ":table/cube-sms-messages/stream/" in change["eventSourceARN"]
        assert change["dynamodb"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
        assert (change["eventName"] == "MODIFY") is ("OldImage" in change["dynamodb"])
    numbers = [change["dynamodb"]["SequenceNumber"] for change in changes]
    assert sorted(set(numbers)) == numbers
    told = [ended for change in changes if (ended := read_end(change))]
    assert [(ended.outcome, ended.is_news) for ended in told] == [
        ("Sent", True),
        ("Rejected", True),
        ("InvalidRequest", False),
    ]
    assert [bool(ended.task_tokens) for ended in told] == [True, False, True]


@pytest.mark.parametrize("name", REQUESTS)
def test_input_of_a_workflow_is_a_send_request(name: str) -> None:
    request = parse_send_request(json.dumps(load_event(name)).encode())
    # So that neither a schedule nor a task that is tried again sends a second message
    assert request.request_id


def test_campaign_has_a_file_with_rows_of_every_kind() -> None:
    data = load_event("campaign-input")
    assert data.keys() == {"key", "campaign", "content"}
    with (EVENTS / "campaign.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"deviceId", "content"} <= rows[0].keys() & set(COLUMNS)
    assert rows[0].keys() - set(COLUMNS)
    assert {bool(row["content"]) for row in rows} == {True, False}
    assert [row["deviceId"].isalnum() for row in rows].count(False) == 1


@pytest.mark.parametrize("name", API)
def test_api_event_is_well_formed(name: str) -> None:
    event = load_event(name)
    context = event["requestContext"]
    called = (event["httpMethod"], event["path"], event["resource"])
    given = event["pathParameters"] or {}
    assert called in {
        ("POST", "/messages", "/messages"),
        ("DELETE", f"/messages/{given.get('requestId')}", "/messages/{requestId}"),
        ("GET", f"/devices/{given.get('deviceId')}/messages", "/devices/{deviceId}/messages"),
    }
    assert (event["httpMethod"] == "POST") is (name in POSTS)
    assert (context["httpMethod"], context["resourcePath"]) == (event["httpMethod"], event["resource"])
    assert event["multiValueHeaders"] == {name: [value] for name, value in event["headers"].items()}
    assert UUID(context["requestId"])
    assert context["identity"]["userArn"].startswith("arn:aws:sts::123456789012:assumed-role/")
    assert event["isBase64Encoded"] is False
    assert ("deviceId" in json.loads(event["body"] or "{}")) is (name in POSTS)


def test_callback_is_one_of_the_older_family() -> None:
    event = load_event(CALLBACK)
    context, token = event["requestContext"], event["pathParameters"]["token"]
    assert (event["httpMethod"], event["path"], event["resource"]) == (
        "POST",
        f"/callbacks/{token}",
        "/callbacks/{token}",
    )
    assert (context["httpMethod"], context["resourcePath"]) == (event["httpMethod"], event["resource"])
    assert event["multiValueHeaders"] == {name: [value] for name, value in event["headers"].items()}
    # It is not signed for IAM
    assert (context["identity"]["userArn"], "Authorization" in event["headers"]) == (None, False)
    assert read_received("default", event["body"].encode())


def test_each_device_belongs_to_one_event() -> None:
    seen: dict[str, str] = {json.loads(load_event(CALLBACK)["body"])["sim_id"]: CALLBACK}
    for name in [*SQS, *POSTS, REQUESTED, *REQUESTS]:
        event: dict[str, Any] = load_event(name)
        bodies = [record["body"] for record in event.get("Records", [])] or [event.get("body") or json.dumps(event)]
        for body in bodies:
            device = json.loads(unwrap(body.encode())[0])["deviceId"].replace("-", "")
            assert re.fullmatch(r"893144040009399522\d\d", device)
            assert seen.setdefault(device, name) == name
