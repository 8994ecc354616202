"""The handlers with a FIFO queue: the messages of a device in order, and no device blocks another one."""

from __future__ import annotations

import copy
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.states import State
from cube_sms.request.parsing import parse_send_request
from tests.integration.deployment import MAX_ATTEMPTS, Deployment
from tests.support import Context, load_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.cube_simulator import CubeSimulator
    from tests.support import Printed

ONE, OTHER = "89314404000939952260", "89314404000939952261"
RULE = "events"


@pytest.fixture
def fifo(cube: CubeSimulator, _aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """A deployment whose queues are FIFO."""
    deployment = Deployment(monkeypatch, cube.url, is_fifo=True)
    yield deployment
    deployment.delete()


def messages(*devices: str, group: str | None = None, **fields: Any) -> dict[str, Any]:
    """The event of a message for each of these devices, in their groups or all in one, numbered by their contents."""
    template = load_event("sqs-fifo")["Records"][0]
    event: dict[str, Any] = {"Records": []}
    for number, device in enumerate(devices):
        record = copy.deepcopy(template)
        record["messageId"] = str(uuid.uuid4())
        record["body"] = json.dumps({"deviceId": device, "content": str(number), **fields})
        record["attributes"]["MessageGroupId"] = group or device
        event["Records"].append(record)
    return event


def ids(event: dict[str, Any], *numbers: int) -> set[str]:
    records = event["Records"]
    return {records[number]["messageId"] for number in numbers or range(len(records))}


def contents(cube: CubeSimulator, device: str) -> list[str]:
    return [post["contents"][0] for post in cube.requests(device)]


def hidden(gateway: Deployment, event: dict[str, Any]) -> list[bool]:
    """Return whether each message of an event was hidden for a time of its own, which may be over by now."""
    return [gateway.aws_calls.hidden[record["receiptHandle"]] > 0 for record in event["Records"]]


def test_sample_event_is_sent_in_order(cube: CubeSimulator, fifo: Deployment) -> None:
    event = load_event("sqs-fifo")
    assert fifo.consume(event) == []
    for device in (ONE, OTHER):
        bodies = [json.loads(record["body"]) for record in event["Records"]]
        assert contents(cube, device) == [body["content"] for body in bodies if body["deviceId"] == device]


@pytest.mark.parametrize("workers", ["1", "4"])
@pytest.mark.parametrize("fault", ["status:503", "lost", "status:500", "garbage", "reset", "status:429"])
def test_messages_behind_one_that_is_tried_again_wait_for_it(
    cube: CubeSimulator, fifo: Deployment, fault: str, workers: str
) -> None:
    # Given a device whose next request fails
    fifo.configure(QUEUE_SEND_CONCURRENCY=workers)
    cube.configure(device_faults={ONE: f"{fault}*1"})
    event = fifo.deliver(messages(ONE, ONE, ONE))
    # When
    failures = fifo.consume(event)
    # Then those behind it were not sent, and all of them stay: it for a while, they no longer than it
    assert set(failures) == ids(event)
    assert contents(cube, ONE) == ["0"]
    assert hidden(fifo, event) == [True, False, False]


@pytest.mark.parametrize("workers", ["1", "4"])
def test_other_devices_of_the_batch_do_not_wait(cube: CubeSimulator, fifo: Deployment, workers: str) -> None:
    fifo.configure(QUEUE_SEND_CONCURRENCY=workers)
    cube.configure(device_faults={ONE: "status:503"})
    event = fifo.deliver(messages(ONE, OTHER, ONE, OTHER))
    assert set(fifo.consume(event)) == ids(event, 0, 2)
    assert (contents(cube, ONE), contents(cube, OTHER)) == (["0"], ["1", "3"])


def test_bulk_messages_keep_their_place_in_their_group(cube: CubeSimulator, fifo: Deployment) -> None:
    # Given a quota that has no room for bulk messages, one of them between two others, and another device
    fifo.configure(CUBE_DAILY_QUOTA="5", CUBE_QUOTA_RESERVE_PERCENT="90")
    event = messages(ONE, ONE, ONE, OTHER)
    record = event["Records"][1]
    record["body"] = json.dumps({**json.loads(record["body"]), "priority": "bulk"})
    event = fifo.deliver(event)
    # When
    failures = fifo.consume(event)
    # Then what comes after it waits for it, and nothing else does
    assert set(failures) == ids(event, 1, 2)
    assert (contents(cube, ONE), contents(cube, OTHER)) == (["0"], ["3"])
    assert hidden(fifo, {"Records": event["Records"][1:3]}) == [True, False]


def test_devices_are_sent_to_side_by_side_and_none_to_itself(cube: CubeSimulator, fifo: Deployment) -> None:
    # Given a provider that takes its time, and more workers than devices
    fifo.configure(QUEUE_SEND_CONCURRENCY="4")
    cube.configure(latency=0.2)
    # When there are messages for one device, and then for two
    assert fifo.consume(messages(ONE, ONE, ONE)) == []
    alone = cube.stats()["highestInFlight"]
    assert fifo.consume(messages(*[ONE, OTHER] * 3)) == []
    # Then
    assert (alone, cube.stats()["highestInFlight"]) == (1, 2)


def test_slow_device_does_not_hold_up_the_other(cube: CubeSimulator, fifo: Deployment) -> None:
    # Given a device whose answers are so late that the others are before it on a busy machine too, and two connections
    delay = 15
    fifo.configure(QUEUE_SEND_CONCURRENCY="2", CUBE_READ_TIMEOUT="60")
    cube.configure(device_faults={ONE: f"delay:{delay}"})
    # When
    assert fifo.consume(messages(ONE, *[OTHER] * 9)) == []
    # Then all of the other's messages were there before the answer
    (slow,) = cube.requests(ONE)
    assert max(post["at"] for post in cube.requests(OTHER)) < slow["at"] + delay
    assert contents(cube, OTHER) == [str(number) for number in range(1, 10)]


def test_message_left_for_another_round_waits_too(cube: CubeSimulator, fifo: Deployment) -> None:
    # Given slots for a part of the batch at a time
    fifo.configure(CUBE_MAX_QPS="1")
    cube.configure(device_faults={ONE: "status:503"})
    event = fifo.deliver(messages(ONE, OTHER, ONE, OTHER))
    # When
    failures = fifo.consume(event, Context(25.0))
    # Then
    assert set(failures) == ids(event, 0, 2)
    assert (contents(cube, ONE), contents(cube, OTHER)) == (["0"], ["1", "3"])


def test_messages_there_is_no_more_time_for_are_handed_back(cube: CubeSimulator, fifo: Deployment) -> None:
    event = fifo.deliver(messages(ONE, ONE, ONE))
    failures = fifo.consume(event, Context(30.0, 30.0, 5.0))
    assert set(failures) == ids(event, 1, 2)
    assert contents(cube, ONE) == ["0"]
    assert [fifo.aws_calls.hidden[record["receiptHandle"]] for record in event["Records"][1:]] == [0, 0]


def test_while_the_gate_is_closed_the_first_of_each_device_waits(cube: CubeSimulator, fifo: Deployment) -> None:
    # Given a gate that has been closed by a 429
    fifo.configure(CUBE_MAX_QPS="10")
    cube.configure(next_faults=["status:429+600"])
    fifo.consume(messages("89314404000939952262"))
    event = fifo.deliver(messages(ONE, OTHER, ONE, OTHER))
    # When
    failures = fifo.consume(event)
    # Then
    assert set(failures) == ids(event)
    assert contents(cube, ONE) == contents(cube, OTHER) == []
    assert hidden(fifo, event) == [True, True, False, False]


def final(cube: CubeSimulator, fifo: Deployment, how: str) -> dict[str, Any]:
    """Return the event of two messages, the first of which will end without being accepted."""
    event = messages(ONE, ONE)
    first = json.loads(event["Records"][0]["body"])
    if how == "rejected":
        cube.configure(next_faults=["rejected"])
    elif how == "expired":
        first["expiresAt"] = "2026-01-12T10:00:00Z"
    elif how == "invalid":
        first["priority"] = 1
    elif how == "unknown":
        first["delivery"] = "at-most-once"
        cube.configure(next_faults=["lost"])
    elif how == "conflict":
        first["requestId"] = "order-1"
        assert fifo.post({"deviceId": OTHER, "content": "Another", "requestId": "order-1"}).status == 200
    elif how == "used up":
        first["requestId"] = "order-2"
        claim = fifo.store().claim(parse_send_request(json.dumps(first).encode()))
        fifo.store().finish(claim.record, State.RETRYING, attempts=MAX_ATTEMPTS - 1)
        cube.configure(next_faults=["status:503"])
    event["Records"][0]["body"] = json.dumps(first)
    return event


@pytest.mark.parametrize("how", ["rejected", "expired", "invalid", "unknown", "conflict", "used up"])
def test_message_that_has_ended_lets_the_next_one_go(cube: CubeSimulator, fifo: Deployment, how: str) -> None:
    event = final(cube, fifo, how)
    assert fifo.consume(event) == []
    assert contents(cube, ONE)[-1] == "1"


def test_dead_letter_is_in_the_group_of_its_message_and_there_once(fifo: Deployment) -> None:
    # Given an invalid message that is consumed again, because its worker crashed
    event = messages(ONE, priority=1)
    assert [fifo.consume(event), fifo.consume(event)] == [[], []]
    # Then
    (letter,) = fifo.sqs.receive_message(
        QueueUrl=fifo.dead_letter_queue,
        MaxNumberOfMessages=10,
        AttributeNames=["All"],
        MessageAttributeNames=["All"],
    )["Messages"]
    assert letter["Attributes"]["MessageGroupId"] == ONE
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "InvalidRequest"


def test_message_of_another_group_is_put_among_those_of_its_device(
    cube: CubeSimulator, fifo: Deployment, printed: Callable[[], Printed]
) -> None:
    # Given messages that a rule put into a group of its own, one with attributes
    event = messages(ONE, OTHER, group=RULE)
    event["Records"][0]["messageAttributes"] = {"tenant": {"dataType": "String", "stringValue": "acme"}}
    # When
    failures = fifo.consume(event)
    # Then none has been sent, and each is in its group, whole, with the identity it had
    assert (failures, cube.stats()["received"]) == ([], 0)
    forwarded = fifo.sqs.receive_message(
        QueueUrl=fifo.send_queue, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
    )["Messages"]
    assert [message["Body"] for message in forwarded] == [record["body"] for record in event["Records"]]
    attributes: Any = [message["Attributes"] for message in forwarded]
    assert [each["MessageGroupId"] for each in attributes] == [ONE, OTHER]
    assert [message["MessageAttributes"]["requestId"]["StringValue"] for message in forwarded] == [
        record["messageId"] for record in event["Records"]
    ]
    assert forwarded[0]["MessageAttributes"]["tenant"]["StringValue"] == "acme"
    # And there is a line about each
    told = [line for line in printed().logs if line["message"] == "message forwarded to its group"]
    assert {(line["level"], line["correlation_id"]) for line in told} == {("INFO", each) for each in ids(event)}


def test_forwarded_message_is_sent_once_under_its_identity(cube: CubeSimulator, fifo: Deployment) -> None:
    # Given a message that was forwarded twice, because the first worker crashed
    event = messages(ONE, group=RULE)
    assert [fifo.consume(event), fifo.consume(event)] == [[], []]
    (forwarded,) = fifo.sqs.receive_message(
        QueueUrl=fifo.send_queue, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
    )["Messages"]
    # When it is consumed
    again = messages(ONE)
    again["Records"][0]["body"] = forwarded["Body"]
    again["Records"][0]["messageAttributes"] = {
        name: {"dataType": value["DataType"], "stringValue": value["StringValue"]}
        for name, value in forwarded["MessageAttributes"].items()
    }
    assert fifo.consume(again) == []
    # Then
    assert contents(cube, ONE) == ["0"]
    assert fifo.record(event["Records"][0]["messageId"]).state is State.SENT


def test_message_that_cannot_be_forwarded_stays_with_those_behind_it(cube: CubeSimulator, fifo: Deployment) -> None:
    event = fifo.deliver(messages(ONE, OTHER, group=RULE))
    fifo.aws_calls.fail("SendMessage", times=3)
    assert set(fifo.consume(event)) == ids(event)
    assert cube.stats()["received"] == 0
    # When SQS is back
    fifo.aws_calls.recover()
    assert fifo.consume(event) == []


class TestApi:
    def queue(self, fifo: Deployment, content: str = "Wake up") -> None:
        body = {"deviceId": ONE, "content": content, "requestId": "order-1"}
        assert fifo.post(body, Prefer="respond-async").status == 202

    def queued(self, fifo: Deployment) -> list[tuple[str, str]]:
        answer: Any = fifo.sqs.receive_message(QueueUrl=fifo.send_queue, MaxNumberOfMessages=10, AttributeNames=["All"])
        return [
            (message["Attributes"]["MessageGroupId"], json.loads(message["Body"])["content"])
            for message in answer["Messages"]
        ]

    def test_message_is_queued_once_in_the_group_of_its_device(self, fifo: Deployment) -> None:
        self.queue(fifo)
        self.queue(fifo)
        assert self.queued(fifo) == [(ONE, "Wake up")]

    def test_conflicting_request_is_queued_and_not_dropped(self, fifo: Deployment) -> None:
        self.queue(fifo)
        self.queue(fifo, "Another")
        assert self.queued(fifo) == [(ONE, "Wake up"), (ONE, "Another")]


def test_groups_of_a_standard_queue_are_none_of_ours(cube: CubeSimulator, gateway: Deployment) -> None:
    # Given messages with groups on a standard queue, which shares its time between them
    cube.configure(next_faults=["status:503"])
    event = gateway.deliver(messages(ONE, ONE, OTHER, group="tenant"))
    # When the first one fails
    failures = gateway.consume(event)
    # Then the others are sent all the same
    assert set(failures) == ids(event, 0)
    assert cube.stats()["accepted"] == 2
