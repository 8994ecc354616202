"""Requests that wait for a device's reply, through the functions that send and that follow what is due."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from cube_sms.delivery import Asks, Device, State
from cube_sms.queue.dead_letters import DETAIL, REASON
from tests.integration.deployment import TABLE
from tests.support import DEVICE, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment
    from tests.support import Printed


def question(**fields: Any) -> dict[str, Any]:
    given = {"requestId": f"order-{uuid4()}", "deviceId": DEVICE, "content": "Is the door closed?"}
    return {**given, "taskToken": "the-token-of-a-task", "awaitReply": 600, **fields}


def waiting(gateway: Deployment) -> list[str]:
    """Return the requests that wait for the device."""
    return [ask.request_id for ask in Asks(gateway.dynamodb, TABLE).meeting(Device("default", DEVICE)).asks]


def test_is_refused_where_nobody_learns_of_replies(gateway: Deployment) -> None:
    # Given a deployment whose parameter Replies is off
    request = question()
    # When such a request comes from the queue
    assert gateway.consume(gateway.deliver(queue_event(request))) == []
    # Then its dead letter names the field and the fault, and the refusal is recorded for the task
    (letter,) = gateway.dead_letters()
    assert letter.attributes[REASON] == "InvalidRequest"
    assert letter.attributes[DETAIL].startswith("awaitReply: cannot be met: the parameter Replies")
    word: Any = gateway.dynamodb.get_item(
        TableName=TABLE, Key={"messageId": {"S": f"#refused#{request['requestId']}"}}
    )["Item"]
    assert word["taskTokens"] == {"SS": ["the-token-of-a-task"]}
    # And a caller of the API gets the same answer
    answer = gateway.post(question())
    assert (answer.status, answer.json["errors"][0]["path"]) == (400, "awaitReply")


def test_is_noted_before_its_outcome_and_answered_by_the_api_as_ever(gateway: Deployment, cube: CubeSimulator) -> None:
    gateway.configure(REPLIES="callback")
    request = question()
    # When the provider is slow to answer, and the request has left
    noted: list[list[str]] = []
    gateway.aws_calls.before("UpdateItem", 3, lambda: noted.append(waiting(gateway)))
    answer = gateway.post(request)
    # Then it was noted before its outcome was written
    assert noted == [[request["requestId"]]]
    # And the answer to the caller is that it was sent
    assert (answer.status, answer.json["state"]) == (200, "SENT")
    assert gateway.record(request["requestId"]).await_reply == 600


@pytest.mark.parametrize("delivery", ["at-least-once", "at-most-once"])
def test_message_that_could_not_be_noted_is_handed_back(
    gateway: Deployment, cube: CubeSimulator, delivery: str
) -> None:
    # Given a table that cannot be read after the claim
    gateway.configure(REPLIES="callback")
    request = question(delivery=delivery)
    gateway.aws_calls.before("UpdateItem", 1, lambda: gateway.aws_calls.fail("GetItem", times=1))
    # When the message is taken
    event = gateway.deliver(queue_event(request))
    assert len(gateway.consume(event)) == 1
    # Then it is not posted, and its record is sure of that
    record = gateway.record(request["requestId"])
    assert (record.state, record.attempts, record.unsettled) == (State.RETRYING, 0, False)
    assert cube.requests() == []
    # And the next time it is sent
    assert gateway.consume(event) == []
    assert gateway.record(request["requestId"]).state is State.SENT
    assert waiting(gateway) == [request["requestId"]]


def test_message_to_a_device_that_too_many_wait_for_comes_back(gateway: Deployment, cube: CubeSimulator) -> None:
    # Given as many requests for one device as may wait
    gateway.configure(REPLIES="callback")
    asks = Asks(gateway.dynamodb, TABLE)
    for number in range(50):
        asks.expect(Device("default", DEVICE), f"request-{number}", may_be_sent=False)
    # When one more comes
    request = question()
    event = gateway.deliver(queue_event(request))
    # Then it stays on the queue, and is not posted
    assert len(gateway.consume(event)) == 1
    assert gateway.record(request["requestId"]).state is State.RETRYING
    assert cube.requests() == []
    # And one that waits for no reply is sent meanwhile
    assert gateway.consume(gateway.deliver(queue_event({**question(), "awaitReply": None}))) == []


def test_needs_a_task(gateway: Deployment) -> None:
    answer = gateway.post(question(taskToken=None))
    assert answer.status == 400
    assert [each["path"] for each in answer.json["errors"]] == ["awaitReply"]


def test_no_log_has_the_token(gateway: Deployment, printed: Callable[[], Printed]) -> None:
    gateway.configure(REPLIES="callback")
    gateway.consume(gateway.deliver(queue_event(question())))
    assert "the-token-of-a-task" not in json.dumps(printed().logs)
