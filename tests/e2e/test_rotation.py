"""Credentials that change while messages flow: each message is sent once, and none is lost."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from cube_sms.delivery.states import State
from local.stack import ACCESS_CODE, SECRET, wait_until
from tests.e2e.aws_proxy import change_environment
from tests.e2e.verdicts import Message, Verdict, verdicts, wait_until_the_queue_is_empty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import LocalStack

OTHER_ACCESS_CODE = "P002277"
REFUSED = 403

# The seconds between two rounds: in each round, both inputs get a message.
PACE = 0.05


@pytest.fixture(scope="module")
def stack(guarded_stack: LocalStack) -> Iterator[LocalStack]:
    """Return a stack whose functions know nothing afterwards of the credentials they had here."""
    yield guarded_stack
    change_environment(guarded_stack, RESTARTED_AFTER=__name__)


@pytest.fixture(autouse=True)
def first_credentials(stack: LocalStack) -> Iterator[None]:
    """Give provider and secret back what they had."""
    yield
    accept(stack, SECRET)
    store(stack, SECRET)


def accept(stack: LocalStack, *secrets: str) -> None:
    """Let the provider accept these secrets of the first access code, and nothing else."""
    stack.cube.configure(accounts={ACCESS_CODE: list(secrets)})


def store(stack: LocalStack, secret: str, access_code: str = ACCESS_CODE) -> None:
    """Do what an operator does: write the secret."""
    stack.put_credentials({"default": {"access_code": access_code, "secret": secret}})


class Traffic:
    """Messages that are put onto the queue and posted to the API, until it is stopped."""

    def __init__(self, stack: LocalStack) -> None:
        self.messages: list[Message] = []
        self.answers: list[int] = []
        self._stack = stack
        self._stop = threading.Event()

    def run(self) -> None:
        """Send."""
        while not self._stop.wait(PACE):
            queued, posted = Message.make(), Message.make()
            self.messages += [queued, posted]
            self._stack.enqueue(queued.json)
            self.answers.append(self._stack.call_api("POST", "/messages", posted.json).status)

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()

    def wait_for(self, count: int) -> None:
        """Wait until so many more messages were sent."""
        enough = len(self.messages) + count
        wait_until(f"{enough} messages", lambda: len(self.messages) >= enough)


@contextmanager
def traffic(stack: LocalStack) -> Iterator[Traffic]:
    flowing = Traffic(stack)
    thread = threading.Thread(target=flowing.run)
    thread.start()
    try:
        flowing.wait_for(10)
        yield flowing
        flowing.wait_for(10)
    finally:
        flowing.stop()
        thread.join()


def outcome_of(stack: LocalStack, flowing: Traffic) -> list[Verdict]:
    """Wait until every message has its final state, and return what became of each."""

    wait_until_the_queue_is_empty(stack)
    return verdicts(stack, flowing.messages)


def test_two_valid_credentials_in_turn_fail_no_message(stack: LocalStack) -> None:
    # Given a provider that accepts the old and the new secret while the operator rotates
    new = f"secret-{uuid4()}"
    accept(stack, SECRET, new)
    with traffic(stack) as flowing:
        # When the new one is stored under way, and the old one is then refused
        store(stack, new)
        flowing.wait_for(10)
        accept(stack, new)
        flowing.wait_for(10)

    # Then each message was sent once, and each API call was answered so
    found = outcome_of(stack, flowing)
    assert {(verdict.state, verdict.accepted) for verdict in found} == {(State.SENT, 1)}
    assert set(flowing.answers) == {200}
    assert [fault for verdict in found for fault in verdict.faults] == []
    # And the functions had held the old one, which cost each of them a POST and no message
    assert any(post["status"] == REFUSED for verdict in found for post in verdict.posts)


def test_another_access_code_takes_over_without_a_failed_message(stack: LocalStack) -> None:
    # Given a provider that gave a second access code
    new = f"secret-{uuid4()}"
    stack.cube.configure(accounts={ACCESS_CODE: SECRET, OTHER_ACCESS_CODE: new})
    with traffic(stack) as flowing:
        # When it is stored, and the first one is closed
        store(stack, new, OTHER_ACCESS_CODE)
        stack.cube.configure(accounts={OTHER_ACCESS_CODE: new})
        flowing.wait_for(10)

    # Then each message was sent once, the last ones with it
    found = outcome_of(stack, flowing)
    assert {(verdict.state, verdict.accepted) for verdict in found} == {(State.SENT, 1)}
    assert found[-1].posts[-1]["accessCode"] == OTHER_ACCESS_CODE


def test_a_provider_that_switches_first_costs_time_and_no_message(stack: LocalStack) -> None:
    # Given a provider that refuses the old secret before the operator has stored the new one
    new = f"secret-{uuid4()}"
    with traffic(stack) as flowing:
        accept(stack, new)
        flowing.wait_for(10)

        # When it is stored
        store(stack, new)

    # Then every message of the queue waits for it, and is sent once
    found = outcome_of_queued_and_answered(stack, flowing)
    assert {(verdict.state, verdict.accepted) for verdict in found} == {(State.SENT, 1)}
    assert [fault for verdict in found for fault in verdict.faults] == []
    # And an API call says that it was not sent
    assert set(flowing.answers) == {200, 502}


def outcome_of_queued_and_answered(stack: LocalStack, flowing: Traffic) -> list[Verdict]:
    """Repeat the API calls that were refused, as their callers would, and return what became of all messages."""
    posted = flowing.messages[1::2]
    for message in (message for message, status in zip(posted, flowing.answers, strict=True) if status != 200):
        assert stack.call_api("POST", "/messages", message.json).status == 200
    return outcome_of(stack, flowing)
