"""Messages as large as SQS takes: whatever can be received can be settled."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.deployment import Deployment
from tests.sqs_limits import MAX_BYTES
from tests.support import DEVICE, load_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cube_simulator import CubeSimulator


@pytest.fixture
def fifo(cube: CubeSimulator, _aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """A deployment whose queues are FIFO."""
    deployment = Deployment(monkeypatch, cube.url, is_fifo=True)
    yield deployment
    deployment.delete()


def request(**fields: Any) -> str:
    return json.dumps({"deviceId": DEVICE, "content": "Wake up", **fields})


def filled(body: str, size: int = MAX_BYTES) -> str:
    """Return a body with white space to as many bytes."""
    return body + " " * (size - len(body.encode()))


def message(body: str, *, group: str | None = None, **attributes: str) -> dict[str, Any]:
    event = load_event("sqs-fifo" if group else "sqs-text")
    record = event["Records"][0]
    event["Records"] = [record]
    record["body"] = body
    if group:
        record["attributes"]["MessageGroupId"] = group
    record["messageAttributes"] = {
        name: {"dataType": "String", "stringValue": value} for name, value in attributes.items()
    }
    return event


@pytest.mark.parametrize("spare", [0, 1, 60, 200, 1500])
def test_invalid_message_is_settled_whatever_its_size(gateway: Deployment, spare: int) -> None:
    # Given a message that is no request, and leaves little or no room
    body = filled(request(priority="high"), MAX_BYTES - spare)
    # When
    assert gateway.consume(message(body)) == []
    # Then it is a dead letter, whole or cut
    (letter,) = gateway.dead_letters()
    assert body.startswith(letter.body)
    assert letter.attributes["reason"] == "InvalidRequest"
    assert letter.attributes.get("cutFrom") == (None if letter.body == body else str(len(body)))


def test_invalid_message_does_not_hold_its_device(fifo: Deployment) -> None:
    assert fifo.consume(message(filled(request(priority="high")), group=DEVICE)) == []
    assert [letter.attributes["cutFrom"] for letter in fifo.dead_letters()] == [str(MAX_BYTES)]


def test_failed_message_is_settled_whatever_its_size(cube: CubeSimulator, fifo: Deployment) -> None:
    # Given a message as large as SQS takes, whose attempt fails
    fifo.configure(MAX_ATTEMPTS="1")
    cube.configure(device_faults={DEVICE: "status:500"})
    # When
    assert fifo.consume(message(filled(request(requestId="order-1")), group=DEVICE)) == []
    # Then
    (letter,) = fifo.dead_letters()
    assert letter.attributes.keys() >= {"detail", "failedClaim", "cutFrom"}


def test_large_message_is_sent(cube: CubeSimulator, gateway: Deployment) -> None:
    assert gateway.consume(message(filled(request()))) == []
    assert len(cube.requests(DEVICE)) == 1


def test_message_gives_up_its_attributes_to_be_forwarded(fifo: Deployment) -> None:
    # Given a message of a rule that has all the bytes it can have
    body = filled(request(), MAX_BYTES - 1000)
    # When
    assert fifo.consume(message(body, group="events", trace="a" * (1000 - len("traceString")))) == []
    # Then it is among those of its device
    assert fifo.queued() == [body]


def test_message_that_cannot_be_forwarded_is_a_letter_under_its_own_id(fifo: Deployment) -> None:
    # Given a message of a rule whose body leaves no room for its identity
    assert fifo.consume(message(filled(request(requestId="order-1")), group="events")) == []
    # Then
    (letter,) = fifo.dead_letters()
    assert letter.attributes["reason"] == "InvalidRequest"
    assert letter.attributes["requestId"] == "order-1"
    assert "bytes to be put onto the send queue" in letter.attributes["detail"]


@given(
    body=st.sampled_from(
        [
            request(),
            request(requestId="order-1"),
            request(priority="high", taskToken="token"),
            request(content="é" * 10_000),
            json.dumps({"\ufffd" * 100: 0}, ensure_ascii=False),
            json.dumps({"id": "6a7e8feb", "detail-type": "SMS Requested", "detail": json.loads(request())}),
            "{",
            "😀",
        ]
    ),
    group=st.sampled_from([DEVICE, "events"]),
    spare=st.integers(0, 200) | st.integers(0, 5000),
    attributes=st.dictionaries(
        st.sampled_from(["requestId", "reason", "detail", "failedClaim", "cutFrom", "trace"]),
        st.text("a😀 ", min_size=1, max_size=50),
    ),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_can_be_received_is_settled(
    fifo: Deployment, body: str, group: str, spare: int, attributes: dict[str, str]
) -> None:
    # Given a message that SQS has taken, with few bytes left or none
    taken = sum(len(f"{name}String{value}".encode()) for name, value in attributes.items())
    event = message(filled(body, MAX_BYTES - spare - taken), group=group, **attributes)
    event["Records"][0]["messageId"] = str(uuid.uuid4())
    # When it is consumed, then it is done with
    assert fifo.consume(event) == []


def test_call_that_the_queue_cannot_hold_is_refused(gateway: Deployment) -> None:
    # Given a request that is too large for the queue
    items = [{"smsTemplateContent": "Wake up", "smsType": "", "smsNum": "1" * MAX_BYTES}]
    # When it is to be queued
    reply = gateway.post({"deviceId": DEVICE, "smsContentList": items}, Prefer="respond-async")
    # Then the answer says why, and nothing is on the queue
    assert reply.status == 400
    assert "smsContentList[0].smsNum: must have at most 256 characters" in json.dumps(reply.json)
