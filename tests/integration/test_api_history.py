"""The API's handler, when a caller asks for the history of a device."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from cube_sms.delivery import KeptReply, ReplyRecords
from cube_sms.delivery.records.changes import change_to
from cube_sms.platform import key_to
from functions.follow_up import app as follow_up_app
from functions.publish_outcomes import app as publish_app
from tests.event_services import EventServices
from tests.integration.deployment import TABLE
from tests.streams import lambda_event
from tests.support import DEVICE, Context
from tests.v4_account import ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment

OTHER = "89314404000939952299"
OF_DEVICE = "must be 1 to 64 characters of 0-9, A-Z and a-z"
OF_LIMIT = "must be a whole number from 1 to 100"
OF_NEXT = "must be as a page before this one has it"


@pytest.fixture
def gateway(gateway_with_history: Deployment) -> Deployment:
    return gateway_with_history


def send(gateway: Deployment, request_id: str, device: str = DEVICE) -> None:
    answer = gateway.post({"requestId": request_id, "deviceId": device, "content": "Where are you?"})
    assert answer.status == 200


def test_what_was_sent_and_answered_comes_newest_first(gateway: Deployment) -> None:
    # Given a message to a device, one to another, and what the first has answered since
    send(gateway, "question")
    send(gateway, "other", OTHER)
    reply = KeptReply(
        event_id="an-answer",
        account="default",
        device_id=DEVICE,
        message_type="Text",
        content="At home",
        received_at="2050-01-01T00:00:00.000Z",
    )
    ReplyRecords(gateway.dynamodb, TABLE, retention=100.0, content_retention=100.0).keep(reply)
    # When somebody asks for the history
    answer = gateway.history(DEVICE)
    # Then the message is as it is shown by itself, and the reply as its event has it
    assert answer.status == 200
    assert answer.json == {
        "entries": [{"kind": "reply", **reply.members}, {"kind": "message", **gateway.get("question").json}],
        "next": None,
    }


@pytest.fixture
def services() -> Iterator[EventServices]:
    """EventBridge and Step Functions in place of the network, for functions that begin cold."""
    assert boto3.DEFAULT_SESSION
    services = EventServices(boto3.DEFAULT_SESSION.events)
    handlers = (publish_app.publisher, follow_up_app.work)
    for each in handlers:
        each.cache_clear()
    yield services
    services.stop()
    for each in handlers:
        each.cache_clear()


def test_reply_from_the_providers_list_is_in_it(
    gateway: Deployment, cube: CubeSimulator, services: EventServices
) -> None:
    # Given a deployment that queries the provider for replies, and keeps them
    gateway.set_entries(fleet=ENTRY)
    gateway.configure(REPLIES="poll", EVENT_BUS="cube-sms", DEVICE_HISTORY="true", KEEP_REPLIES="1")
    # And a message whose task waits for the reply
    question = {"requestId": "question", "deviceId": DEVICE, "content": "Where are you?", "account": "fleet"}
    assert gateway.post({**question, "taskToken": "token", "awaitReply": 1}).status == 200
    item: Any = gateway.dynamodb.get_item(TableName=TABLE, Key=key_to("fleet#question"))["Item"]
    assert publish_app.handler(lambda_event([change_to(item, 1)]), Context()) == {"batchItemFailures": []}
    # And the reply, which the provider had at once
    cube.add_reply(DEVICE, "At home", receivedAt=int(time.time() * 1000))
    # When the schedule starts the follow-up until the task has its answer
    while not services.told:
        follow_up_app.handler({}, Context(60.0))
    # Then the history has the reply as its event has it
    (received,) = [entry for entry in services.taken if entry["DetailType"] == "SMS Received"]
    detail = json.loads(received["Detail"])
    assert (detail["content"], detail["inReplyTo"]) == ("At home", "question")
    shown = gateway.history(DEVICE).json["entries"]
    assert {"kind": "reply", **detail} in shown
    assert {entry["kind"] for entry in shown} == {"reply", "message"}
    # And the task's answer has the same content
    ((_, _, told),) = services.told
    assert (told["eventId"], told["content"]) == (detail["eventId"], "At home")


def test_message_that_waits_says_from_when_on_it_may_be_sent(gateway: Deployment) -> None:
    queued = gateway.post({"requestId": "queued", "deviceId": DEVICE, "content": "Hello"}, Prefer="respond-async")
    assert queued.status == 202
    (entry,) = gateway.history(DEVICE).json["entries"]
    assert entry == {"kind": "message", **gateway.get("queued").json}
    assert (entry["state"], entry["expectedAt"]) == ("QUEUED", None)


def test_pages_hold_each_message_once(gateway: Deployment) -> None:
    # Given more messages than a page has
    for number in range(5):
        send(gateway, f"order-{number}")
    # When they are read two at a time
    pages = [gateway.history(DEVICE, limit="2").json]
    while after := pages[-1]["next"]:
        pages.append(gateway.history(DEVICE, limit="2", next=after).json)
    # Then
    assert [len(page["entries"]) for page in pages[:2]] == [2, 2]
    found = [entry["requestId"] for page in pages for entry in page["entries"]]
    assert sorted(found) == [f"order-{number}" for number in range(5)]


def test_page_has_twenty_entries_unless_it_is_told(gateway: Deployment) -> None:
    for number in range(21):
        send(gateway, f"order-{number}")
    page = gateway.history(DEVICE).json
    assert len(page["entries"]) == 20
    assert len(gateway.history(DEVICE, next=page["next"]).json["entries"]) == 1
    assert len(gateway.history(DEVICE, limit="100").json["entries"]) == 21


def test_device_that_nobody_knows_has_an_empty_history(gateway: Deployment) -> None:
    answer = gateway.history(OTHER)
    assert (answer.status, answer.json) == (200, {"entries": [], "next": None})


@pytest.mark.parametrize(
    ("device", "query", "errors"),
    [
        *((DEVICE, {"limit": limit}, {"limit": OF_LIMIT}) for limit in ("0", "101", "1.0", "\u0661", "")),
        (DEVICE, {"next": ""}, {"next": OF_NEXT}),
        ("a-b", {}, {"deviceId": OF_DEVICE}),
        ("%20", {"limit": "-1", "next": "W10="}, {"deviceId": OF_DEVICE, "limit": OF_LIMIT, "next": OF_NEXT}),
    ],
)
def test_call_with_faults_is_told_all_of_them(
    gateway: Deployment, device: str, query: dict[str, str], errors: dict[str, str]
) -> None:
    answer = gateway.history(device, **query)
    assert (answer.status, answer.json["title"]) == (400, "Invalid call")
    assert {error["path"]: error["message"] for error in answer.json["errors"]} == errors
    assert answer.json["detail"] == "; ".join(f"{path}: {message}" for path, message in errors.items())


@pytest.mark.parametrize("operation", ["Query", "BatchGetItem"])
def test_table_that_is_away_is_told_so(gateway: Deployment, operation: str) -> None:
    send(gateway, "question")
    gateway.aws_calls.fail(operation)
    answer = gateway.history(DEVICE)
    assert (answer.status, answer.json["title"]) == (503, "The gateway is unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_record_that_cannot_be_read_hides_no_others(gateway: Deployment) -> None:
    send(gateway, "good")
    send(gateway, "spoiled")
    gateway.change("spoiled", attempts={"S": "many"})
    entries = {entry["kind"]: entry for entry in gateway.history(DEVICE).json["entries"]}
    assert entries["message"]["requestId"] == "good"
    reason = "attempts: must be of DynamoDB's type N"
    assert entries["unreadable"] == {"kind": "unreadable", "key": "default#spoiled", "reason": reason}


def test_deployment_without_it_says_so(gateway: Deployment) -> None:
    gateway.configure(DEVICE_INDEX="")
    answer = gateway.history(DEVICE)
    assert answer.status == 404
    assert answer.json["detail"] == "this deployment keeps no history of devices (DeviceHistory)"
