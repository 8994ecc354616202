"""Outcome events: one for each end of a message, and none is lost when EventBridge, tasks or publishers fail."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cube_sms.delivery.states import State
from local.stack import LocalStack, wait_until
from local.workflows import Execution, create_state_machine, put_request_event
from tests.e2e.aws_proxy import INTERNAL_ERROR, THROTTLED, Rule, always, at_random, change_environment, route
from tests.e2e.command import cube_sms
from tests.e2e.event_faults import ANSWER_TASK, PUT_EVENTS, EventsProxy, PublisherReaper
from tests.e2e.outcomes import OutcomeConsumer
from tests.e2e.stream_poller import StreamPoller
from tests.e2e.test_dead_letters import count, letters
from tests.e2e.test_replay_outcomes import outcomes, unpublished
from tests.e2e.test_send import a_device
from tests.e2e.test_workflows import ended
from tests.e2e.verdicts import AT_MOST_ONCE, Message, Verdict, verdicts, wait_until_the_queue_is_empty

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SEED = int(os.environ["CUBE_SMS_SEED"])
CONTENT = "Your one-time PIN is Kx4711q"
PAST = "2020-01-01T00:00:00Z"

# A message of each kind: what the provider does to it, and how it ends.
KINDS: dict[State, tuple[str | None, Mapping[str, Any]]] = {
    State.SENT: (None, {}),
    State.REJECTED: ("rejected:4711", {}),
    State.FAILED: ("status:503", {}),
    State.EXPIRED: (None, {"expiresAt": PAST}),
    State.UNKNOWN: ("lost", {"delivery": AT_MOST_ONCE}),
}


def make(state: State, **fields: Any) -> Message:
    """Make a message that will end so."""
    return Message.make(**{"content": CONTENT, **KINDS[state][1], **fields})


def device_faults(messages: Mapping[Message, State]) -> dict[str, str]:
    """Return what the provider has to do to messages so that they end so."""
    return {message.device_id: fault for message, state in messages.items() if (fault := KINDS[state][0])}


# ── Normal operation ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Return a stack that tries each message once."""
    with LocalStack({"MaxAttempts": "1"}, is_limited=False) as stack:
        yield stack


@pytest.fixture(scope="module")
def consumer(stack: LocalStack) -> OutcomeConsumer:
    return OutcomeConsumer(stack)


def test_every_end_is_one_event(stack: LocalStack, consumer: OutcomeConsumer) -> None:
    # Given messages to every outcome, on the queue and through the API
    messages = {make(state): state for state in KINDS for _ in range(3)}
    called = make(State.SENT)
    stack.cube.configure(device_faults=device_faults(messages))

    # When they are sent, and some of them come twice
    for message in messages:
        stack.enqueue(message.json)
    wait_until_the_queue_is_empty(stack)
    for message in messages:
        if messages[message] is not State.FAILED:
            stack.enqueue(message.json)
    for prefer in ("respond-async", "wait"):
        stack.call_api("POST", "/messages", called.json, Prefer=prefer)
    wait_until_the_queue_is_empty(stack)

    # Then each has one event, delivered once, that tells what its record tells
    found = verdicts(stack, [*messages, called], consumer)
    assert [fault for verdict in found for fault in verdict.faults] == []
    assert [len(verdict.events or ()) for verdict in found] == [1] * len(found)
    assert [verdict.state for verdict in found] == [*messages.values(), State.SENT]
    # And shows neither content nor what the record is kept by
    for verdict in found:
        text = json.dumps(verdict.events)
        hidden = (CONTENT, verdict.record["owner"], verdict.record["requestHash"])
        assert not [each for each in hidden if each in text]


def test_message_that_is_put_back_has_an_event_of_each_end(stack: LocalStack, consumer: OutcomeConsumer) -> None:
    # Given a message that failed
    message = make(State.FAILED)
    stack.cube.configure(device_faults={message.device_id: "status:503*1"})
    stack.enqueue(message.json)
    (first,) = wait_until("its event", lambda: consumer.details(message.request_id))

    # When an operator puts it back
    wait_until("its letter", lambda: count(stack, "--request-id", message.request_id) == 1)
    letters(stack, "dlq", "redrive", "--request-id", message.request_id)
    wait_until("another event", lambda: len(consumer.details(message.request_id)) > 1)
    consumer.catch_up()

    # Then both are told, as two
    first, second = consumer.details(message.request_id)
    assert (first["state"], second["state"]) == ("FAILED", "SENT")
    assert first["eventId"] != second["eventId"]


def test_request_event_that_is_refused_can_be_put_back(stack: LocalStack, consumer: OutcomeConsumer) -> None:
    # Given a request for an account that has no credentials yet, as an event
    device, accounts = a_device(), json.loads(_secret(stack))
    event_id = put_request_event(stack, {"deviceId": device, "content": CONTENT, "account": "new"})
    wait_until("its letter", lambda: count(stack, "--request-id", event_id) == 1)

    # Then the letter is the whole event, under its id
    (letter,) = [letter for letter in stack.dead_letters() if letter["requestId"] == event_id]
    assert letter["reason"] == "InvalidRequest"
    assert json.loads(letter["body"])["id"] == event_id
    assert consumer.details(event_id) == []

    # When the account has some, and it is put back
    stack.put_credentials({**accounts, "new": accounts["default"]})
    change_environment(stack, RESTARTED_AFTER=event_id)
    # Looking at the letter has hidden it for a moment.
    redrive = ("dlq", "redrive", "--request-id", event_id, "--wait", "0")
    wait_until("it to be put back", lambda: cube_sms(stack, *redrive).out.startswith("1 redriven to"))

    # Then it is sent under the event's id
    (detail,) = wait_until("its event", lambda: consumer.details(event_id))
    assert (detail["state"], detail["account"], detail["requestId"]) == ("SENT", "new", event_id)


def _secret(stack: LocalStack) -> str:
    secrets = stack.aws.client("secretsmanager")
    return str(secrets.get_secret_value(SecretId=stack.outputs["CubeSecretId"])["SecretString"])


# ── Tasks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def state_machine(stack: LocalStack) -> str:
    return create_state_machine(stack)


def start(stack: LocalStack, state_machine: str, message: Message) -> Execution:
    return Execution.start(stack, state_machine, message.body)


def test_tasks_that_ask_while_a_message_is_being_sent_are_told_too(stack: LocalStack, state_machine: str) -> None:
    # Given a message that takes a second, and three tasks that ask for it meanwhile
    message = make(State.SENT)
    stack.cube.configure(device_faults={message.device_id: "delay:1"})
    executions = [start(stack, state_machine, message) for _ in range(3)]

    # Then all of them are told the same, and it was sent once
    results = [ended(execution) for execution in executions]
    assert [result["status"] for result in results] == ["SUCCEEDED"] * 3
    assert results[0]["output"] == results[1]["output"] == results[2]["output"]
    assert len(stack.cube.requests(message.device_id)) == 1


def test_tasks_of_a_message_that_is_put_back_are_told_of_their_own_end(stack: LocalStack, state_machine: str) -> None:
    # Given a task whose message failed, and one that asks after that
    message = make(State.FAILED)
    stack.cube.configure(device_faults={message.device_id: "status:503*1"})
    failed = [ended(start(stack, state_machine, message))["error"] for _ in range(2)]

    # When the message is put back, and a third asks
    letters(stack, "dlq", "redrive", "--request-id", message.request_id)
    wait_until_the_queue_is_empty(stack)
    sent = ended(start(stack, state_machine, message))

    # Then
    assert failed == ["CubeSms.Failed"] * 2
    assert sent["output"]["state"] == "SENT"
    assert [post["accepted"] for post in stack.cube.requests(message.device_id)] == [False, True]


# ── Everything fails ────────────────────────────────────────────────────────────────────────────────────────────────


class Stormy(NamedTuple):
    """A stack whose publisher is polled as on AWS, and what is between it and EventBridge."""

    stack: LocalStack
    proxy: EventsProxy
    poller: StreamPoller
    consumer: OutcomeConsumer


@pytest.fixture(scope="module")
def stormy() -> Iterator[Stormy]:
    with EventsProxy() as proxy, LocalStack({"MaxAttempts": "1"}, is_limited=False, seed=SEED) as stack:
        proxy.upstream = stack.aws.url
        route(stack, proxy, "EVENTBRIDGE", "SFN")
        with StreamPoller(stack) as poller:
            yield Stormy(stack, proxy, poller, OutcomeConsumer(stack))


# The name of each test tells the seed.
@pytest.mark.parametrize("seed", [SEED], ids="CUBE_SMS_SEED={}".format)
def test_no_event_is_lost_whatever_fails(stormy: Stormy, seed: int) -> None:
    stack, proxy, poller, consumer = stormy
    state_machine = create_state_machine(stack)
    messages = {make(state): state for state in KINDS for _ in range(12)} | {
        make(State.SENT): State.SENT for _ in range(90)
    }
    awaited = {make(state): state for state in KINDS for _ in range(2)}
    stack.cube.configure(device_faults=device_faults(messages | awaited))

    # Given an EventBridge that fails one call in five and does not take one event in seven, a Step Functions that
    # fails, and publishers that are killed
    generator = random.Random(seed)
    proxy.is_taken = lambda _entry: generator.random() > 1 / 7
    reaper = PublisherReaper(stack, 0.04, seed)
    rules = [
        Rule(operation, at_random(0.2, seed + n, INTERNAL_ERROR, THROTTLED))
        for n, operation in enumerate((PUT_EVENTS, *ANSWER_TASK))
    ]
    with proxy.applying(*rules, *reaper.rules()):
        # When messages end, some of which a task waits for
        executions = {message: start(stack, state_machine, message) for message in awaited}
        for message in messages:
            stack.enqueue(message.json)
        # And EventBridge is away for a while, longer than boto3 tries
        with proxy.applying(Rule(PUT_EVENTS, always(INTERNAL_ERROR))):
            wait_until("the outage to be felt", lambda: poller.answered_partly)
        wait_until_the_queue_is_empty(stack)
        poller.drain()

        # And go on ending until publishers were killed, and events delivered twice
        def has_struck() -> bool:
            stack.enqueue(make(State.SENT).json)
            wait_until_the_queue_is_empty(stack)
            poller.drain()
            ids = Counter(detail["eventId"] for detail in consumer.outcomes())
            return poller.broken_off > 3 and max(ids.values()) > 1

        wait_until("all of it to strike", has_struck)
    proxy.is_taken = lambda _entry: True
    assert proxy.entries[False]

    # Then whoever drops repeats by their eventId sees each end once, and as the record has it
    found = verdicts(stack, [*messages, *awaited], consumer)
    assert [fault for verdict in found for fault in verdict.faults] == []
    assert [verdict.state for verdict in found] == [*messages.values(), *awaited.values()]
    assert all(_ends(verdict) == 1 for verdict in found)
    # And every task was told
    for message, execution in executions.items():
        result = ended(execution)
        told = json.loads(result["cause"]) if result["status"] == "FAILED" else result["output"]
        assert told["state"] == awaited[message]
    # And nothing was given up
    assert unpublished(stack) == 0


def _ends(verdict: Verdict) -> int:
    return len({event["eventId"] for event in verdict.events or ()})


def test_what_lambda_gives_up_can_still_be_published(stormy: Stormy) -> None:
    # Given an EventBridge that is away, and a message that ends meanwhile
    stack, proxy, poller, consumer = stormy
    poller.drain()
    before, during, after = (make(State.SENT) for _ in range(3))
    stack.enqueue(before.json)
    wait_until("its event", lambda: consumer.details(before.request_id))
    with proxy.applying(Rule(PUT_EVENTS, always(INTERNAL_ERROR))):
        tries = poller.answered_partly
        stack.enqueue(during.json)
        wait_until("Lambda to try more than once", lambda: poller.answered_partly > tries + 1)

        # When six hours are over
        poller.clock = lambda: time.time() + 6 * 3600 + 1
        wait_until("Lambda to give it up", lambda: unpublished(stack))
        poller.clock = time.time

    # Then what comes after it is published, and it is when an operator says so
    stack.enqueue(after.json)
    wait_until("the event of the next message", lambda: consumer.details(after.request_id))
    assert consumer.details(during.request_id) == []
    assert outcomes(stack, "replay").status == 0
    (detail,) = wait_until("its event", lambda: consumer.details(during.request_id))
    assert detail["state"] == "SENT"
    assert unpublished(stack) == 0
