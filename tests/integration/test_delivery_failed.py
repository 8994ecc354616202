"""Delivery: messages whose attempts are used up, and what happens to them when an operator redrives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.states import State
from tests.integration.deployment import MAX_ATTEMPTS
from tests.support import DEVICE, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import DeadLetter, Deployment
    from tests.support import Printed

MESSAGE = {"requestId": "order-1", "deviceId": DEVICE, "content": "Wake up"}


def message(**fields: Any) -> dict[str, Any]:
    return queue_event(MESSAGE | fields)


def redriven(letter: DeadLetter) -> dict[str, Any]:
    """Return the event of a dead letter that was redriven: whole, with its attributes."""
    return queue_event(letter.body, attributes=letter.attributes)


def used_up(gateway: Deployment, event: dict[str, Any]) -> DeadLetter:
    """Consume a message until it is done with, and return the dead letter it leaves."""
    for _ in range(MAX_ATTEMPTS - 1):
        assert gateway.consume(event) == [event["Records"][0]["messageId"]]
    assert gateway.dead_letters() == []
    assert gateway.consume(event) == []
    (letter,) = gateway.dead_letters()
    return letter


@pytest.fixture
def failed(cube: CubeSimulator, gateway: Deployment) -> DeadLetter:
    """The dead letter of a message whose attempts are used up, while the provider is still unavailable."""
    cube.configure(device_faults={DEVICE: "status:503"})
    return used_up(gateway, gateway.deliver(message()))


def test_dead_letter_tells_all_about_its_message(cube: CubeSimulator, gateway: Deployment) -> None:
    # Given a provider that refuses with a code
    cube.configure(device_faults={DEVICE: "status:429"})
    event = gateway.deliver(message())
    # When
    letter = used_up(gateway, event)
    # Then
    record = gateway.record("order-1")
    assert (record.state, record.attempts) == (State.FAILED, MAX_ATTEMPTS)
    assert cube.stats()["received"] == MAX_ATTEMPTS
    assert letter.body == event["Records"][0]["body"]
    assert letter.attributes == {
        "requestId": "order-1",
        "reason": "AttemptsUsedUp",
        "detail": "HTTP 429",
        "account": "default",
        "attempts": str(MAX_ATTEMPTS),
        "lastCode": "9429",
        "failedClaim": record.owner,
    }


def test_post_with_fresh_credentials_belongs_to_the_last_attempt(cube: CubeSimulator, gateway: Deployment) -> None:
    # Given a provider that refuses the credentials, with which a message is posted twice each time
    cube.configure(device_faults={DEVICE: "status:401"})
    event = gateway.deliver(message())
    # When it is delivered twice
    assert len(gateway.consume(event)) == 1
    assert gateway.consume(event) == []
    # Then every POST was counted, and the last one was the repetition of what used its attempts up
    record = gateway.record("order-1")
    assert (record.state, record.attempts, cube.stats()["received"]) == (State.FAILED, 4, 4)
    assert MAX_ATTEMPTS <= record.attempts <= MAX_ATTEMPTS + 1


def test_redriven_message_starts_over(
    cube: CubeSimulator, gateway: Deployment, failed: DeadLetter, printed: Callable[[], Printed]
) -> None:
    # Given a provider that is back after one more failure
    cube.reset()
    cube.configure(device_faults={DEVICE: "status:503*1"})
    event = gateway.deliver(redriven(failed))
    # When
    assert len(gateway.consume(event)) == 1
    assert (gateway.record("order-1").state, gateway.record("order-1").attempts) == (State.RETRYING, 1)
    assert gateway.consume(event) == []
    # Then
    record = gateway.record("order-1")
    assert (record.state, record.attempts, record.possibly_duplicated) == (State.SENT, 2, False)
    assert (gateway.dead_letters(), cube.stats()["accepted"]) == ([], 1)
    assert printed().values("MessagesSent") == [1]


def test_redriven_message_may_fail_again_and_start_over_again(
    cube: CubeSimulator, gateway: Deployment, failed: DeadLetter
) -> None:
    cube.reset()
    again = used_up(gateway, gateway.deliver(redriven(failed)))
    assert cube.stats()["received"] == MAX_ATTEMPTS
    assert again.attributes["failedClaim"] != failed.attributes["failedClaim"]
    # When a copy of the first of its dead letters is redriven
    assert gateway.consume(redriven(failed)) == []
    # Then its attempts have been used
    assert cube.stats()["received"] == MAX_ATTEMPTS
    (copy,) = gateway.dead_letters()
    assert copy.attributes["failedClaim"] == again.attributes["failedClaim"]
    # And the second one starts over
    cube.configure(device_faults={})
    assert gateway.consume(redriven(again)) == []
    assert gateway.record("order-1").state is State.SENT


def test_duplicate_of_a_failed_message_is_not_posted(
    cube: CubeSimulator, gateway: Deployment, failed: DeadLetter, printed: Callable[[], Printed]
) -> None:
    # Given a provider that is back
    cube.reset()
    cube.configure(device_faults={})
    record = gateway.record("order-1")
    # When the message comes again as its sender sent it
    assert gateway.consume(message()) == []
    # Then it is the same dead letter again, and can be redriven as well
    (letter,) = gateway.dead_letters()
    assert (letter.body, letter.attributes) == (failed.body, failed.attributes)
    assert cube.stats()["received"] == 0
    assert gateway.record("order-1") == record
    assert printed().values("DuplicatesSuppressed") == [1]
    assert gateway.consume(redriven(letter)) == []
    assert gateway.record("order-1").state is State.SENT


def test_redriven_message_that_was_sent_meanwhile_stays_sent(
    cube: CubeSimulator, gateway: Deployment, failed: DeadLetter
) -> None:
    cube.configure(device_faults={})
    cube.reset()
    assert gateway.consume(redriven(failed)) == []
    record = gateway.record("order-1")
    assert record.state is State.SENT
    # When the same dead letter is redriven once more, or one whose claim is none
    assert gateway.consume(redriven(failed)) == []
    assert gateway.consume(queue_event(failed.body, attributes=failed.attributes | {"failedClaim": "x"})) == []
    # Then
    assert (cube.stats()["received"], gateway.dead_letters()) == (1, [])
    assert gateway.record("order-1") == record


def test_api_does_not_start_a_failed_message_over(cube: CubeSimulator, gateway: Deployment, failed: DeadLetter) -> None:
    cube.reset()
    cube.configure(device_faults={})
    reply = gateway.post(MESSAGE)
    assert (reply.status, reply.json["state"], reply.json["attempts"]) == (503, "FAILED", MAX_ATTEMPTS)
    assert cube.stats()["received"] == 0


def test_redriven_message_that_is_unknown_is_still_possibly_duplicated(
    cube: CubeSimulator, gateway: Deployment
) -> None:
    # Given a message whose answers were all lost
    cube.configure(device_faults={DEVICE: "lost"})
    letter = used_up(gateway, gateway.deliver(message()))
    cube.configure(device_faults={})
    # When
    assert gateway.consume(redriven(letter)) == []
    # Then
    record = gateway.record("order-1")
    assert (record.state, record.attempts, record.possibly_duplicated) == (State.SENT, 1, True)
