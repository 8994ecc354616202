"""Delivery: messages that the provider refused, and what happens to them when an operator redrives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.states import State
from tests.integration.test_delivery_failed import redriven
from tests.integration.wire import Wire, answer
from tests.support import DEVICE, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import DeadLetter, Deployment
    from tests.support import Printed

MESSAGE = {"requestId": "order-1", "deviceId": DEVICE, "content": "Wake up"}


def refused(cube: CubeSimulator, gateway: Deployment, fault: str = "rejected:9404", **fields: Any) -> DeadLetter:
    """Have the provider refuse a message from the queue once, and return it from the queue of rejected messages."""
    cube.configure(next_faults=[fault])
    assert gateway.consume(gateway.deliver(queue_event(MESSAGE | fields))) == []
    (letter,) = gateway.rejected()
    return letter


def test_what_cube_refused_waits_whole_and_tells_all_about_itself(
    cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
) -> None:
    # When
    letter = refused(cube, gateway)
    # Then
    record = gateway.record("order-1")
    assert (record.state, record.code, record.attempts) == (State.REJECTED, "9404", 1)
    assert "Wake up" in letter.body
    assert letter.attributes == {
        "requestId": "order-1",
        "reason": "Rejected",
        "detail": "HTTP 200, without success",
        "account": "default",
        "attempts": "1",
        "lastCode": "9404",
        "failedClaim": record.owner,
    }
    # It is no dead letter
    assert gateway.dead_letters() == []
    (line,) = [line for line in printed().logs if line["message"] == "message REJECTED"]
    assert "dead_letter_reason" not in line


def test_bad_request_without_a_code_has_none(gateway: Deployment) -> None:
    with Wire(answer("<html>Bad Request</html>", 400)) as wire:
        gateway.configure(CUBE_BASE_URL=wire.url)
        assert gateway.consume(queue_event(MESSAGE)) == []
    (letter,) = gateway.rejected()
    assert letter.attributes["detail"] == "HTTP 400"
    assert "lastCode" not in letter.attributes


def test_put_back_it_starts_over(cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]) -> None:
    # Given what was refused, at a provider that fails once more
    letter = refused(cube, gateway)
    before = gateway.record("order-1")
    printed()
    cube.configure(next_faults=["status:503"])
    event = gateway.deliver(redriven(letter))
    # When it is redriven
    assert len(gateway.consume(event)) == 1
    assert (gateway.record("order-1").state, gateway.record("order-1").attempts) == (State.RETRYING, 1)
    assert gateway.consume(event) == []
    # Then its attempts were counted from the start, and it is the message that it was
    record = gateway.record("order-1")
    assert (record.state, record.attempts, record.possibly_duplicated) == (State.SENT, 2, False)
    assert record.created_at == before.created_at
    assert (gateway.rejected(), gateway.dead_letters(), cube.stats()["accepted"]) == ([], [], 1)
    assert printed().values("MessagesSent") == [1]


def test_put_back_it_may_be_refused_again_and_start_over_again(cube: CubeSimulator, gateway: Deployment) -> None:
    # Given what was refused twice
    first = refused(cube, gateway)
    cube.configure(next_faults=["rejected:9500"])
    assert gateway.consume(redriven(first)) == []
    (second,) = gateway.rejected()
    assert second.attributes["lastCode"] == "9500"
    assert second.attributes["failedClaim"] != first.attributes["failedClaim"]
    # When a copy of the first rejected message is redriven
    assert gateway.consume(redriven(first)) == []
    # Then it is not posted, and the second rejected message is on the queue again
    assert cube.stats()["received"] == 2
    (copy,) = gateway.rejected()
    assert copy.attributes == second.attributes
    # And that one starts over
    assert gateway.consume(redriven(copy)) == []
    assert gateway.record("order-1").state is State.SENT


def test_put_back_after_it_was_sent_it_stays_sent(cube: CubeSimulator, gateway: Deployment) -> None:
    letter = refused(cube, gateway)
    for _ in range(2):
        assert gateway.consume(redriven(letter)) == []
    assert gateway.record("order-1").state is State.SENT
    assert (cube.stats()["received"], gateway.rejected()) == (2, [])


def test_another_message_does_not_start_over_under_its_letter(cube: CubeSimulator, gateway: Deployment) -> None:
    letter = refused(cube, gateway)
    body = letter.body.replace("Wake up", "Something else")
    # When
    assert gateway.consume(queue_event(body, attributes=letter.attributes)) == []
    # Then
    assert [letter.attributes["reason"] for letter in gateway.dead_letters()] == ["Conflict"]
    assert gateway.record("order-1").state is State.REJECTED


def test_letter_that_is_missing_is_written_when_the_message_comes_again(
    cube: CubeSimulator, gateway: Deployment
) -> None:
    # Given a worker that crashes after its record, and before the message is on the queue of rejected messages
    event = gateway.deliver(queue_event(MESSAGE))
    cube.configure(next_faults=["rejected:9404"])
    gateway.configure(REJECTED_QUEUE_URL=gateway.rejected_queue + "-away")
    assert len(gateway.consume(event)) == 1
    assert gateway.record("order-1").state is State.REJECTED
    # When the message comes again
    gateway.configure(REJECTED_QUEUE_URL=gateway.rejected_queue)
    assert gateway.consume(event) == []
    # Then that queue has it, and there is no second POST
    (letter,) = gateway.rejected()
    assert letter.attributes["failedClaim"] == gateway.record("order-1").owner
    assert cube.stats()["received"] == 1


@pytest.mark.parametrize("prefer", ["wait=10", "respond-async"])
def test_what_a_caller_of_the_api_was_told_is_the_callers(
    cube: CubeSimulator, gateway: Deployment, prefer: str
) -> None:
    # Given a provider that refuses
    cube.configure(next_faults=["rejected:9404"])
    # When a caller waits for the answer, or has it queued
    reply = gateway.post(MESSAGE, Prefer=prefer)
    for body in gateway.queued():
        gateway.consume(queue_event(body))
    # Then who has the answer may send it again under another id, and no copy blocks that
    assert reply.status == (202 if prefer == "respond-async" else 422)
    assert gateway.record("order-1").state is State.REJECTED
    assert len(gateway.rejected()) == (prefer == "respond-async")
    assert gateway.post(MESSAGE).status == 422
    assert gateway.post(MESSAGE | {"requestId": "order-2"}).status == 200
