"""What a crash does to others: the rest of the batch, the dead-letter queue, and a caller that waits."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cube_sms.delivery.states import State
from local.stack import LocalStack, wait_until
from tests.e2e.aws_proxy import AwsProxy, route
from tests.e2e.crashes import Reaper, Step
from tests.e2e.outcomes import OutcomeConsumer
from tests.e2e.verdicts import (
    AT_LEAST_ONCE,
    AT_MOST_ONCE,
    DELIVERIES,
    PERHAPS_SENT_TWICE,
    SENT_ONCE,
    SENT_TWICE,
    UNKNOWN_NOT_SENT,
    UNKNOWN_SENT,
    Ending,
    Message,
    Verdict,
    set_visibility_timeout,
    verdicts,
    wait_until_the_queue_is_empty,
)
from tests.e2e.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from local.stack import HttpAnswer

# A claim's lease is 2 * (2 + 3) + 10 seconds.
PARAMETERS = {"MaxAttempts": "2"}
# One at a time, so that the order of a batch is that of its POSTs.
SETTINGS = {"CUBE_CONNECT_TIMEOUT": "2", "CUBE_READ_TIMEOUT": "3", "QUEUE_SEND_CONCURRENCY": "1"}
VISIBILITY_TIMEOUT = 21

BATCH = [Message.make(DELIVERIES[n % 2]) for n in range(10)]
VICTIM = BATCH[6]
IN_HAND = {
    AT_LEAST_ONCE: (SENT_TWICE, PERHAPS_SENT_TWICE),
    AT_MOST_ONCE: (UNKNOWN_SENT, UNKNOWN_NOT_SENT),
}
FAILED = Message.make()
CALLS = {delivery: Message.make(delivery) for delivery in DELIVERIES}


class Found(NamedTuple):
    verdicts: dict[Message, Verdict]
    letters: list[dict[str, Any]]
    accepted_before: int
    answers: dict[str, list[HttpAnswer]]


def enqueue_as_one_batch(stack: LocalStack, messages: Sequence[Message]) -> None:
    with stack.queue_paused():
        for message in messages:
            stack.enqueue(message.json)


def call_until_settled(stack: LocalStack, message: Message) -> list[HttpAnswer]:
    """Call the API as a caller does that repeats a call without an answer, or with the answer “sending”."""
    answers = [stack.call_api("POST", "/messages", message.json)]

    def repeat() -> bool:
        answers.append(stack.call_api("POST", "/messages", message.json))
        return answers[-1].status != 409

    wait_until("the call to be settled", repeat)
    return answers


@pytest.fixture(scope="module")
def found() -> Iterator[Found]:
    with AwsProxy() as proxy, LocalStack(PARAMETERS, is_limited=False) as stack:
        proxy.upstream = stack.aws.url
        route(stack, proxy, "DYNAMODB", **SETTINGS)
        consumer = OutcomeConsumer(stack)
        set_visibility_timeout(stack, VISIBILITY_TIMEOUT)
        # Given workers that are killed with a message in the middle of a batch. Others are killed with a message that
        # has failed, and with calls of the API
        of_queue = Reaper(Workers(stack, stack.outputs["SendFromQueueFunctionName"]))
        of_api = Reaper(Workers(stack, stack.outputs["SendFromApiFunctionName"]))
        of_queue.plan(VICTIM, Step.ANSWERED)
        of_queue.plan(FAILED, Step.RECORDED, attempt=2)
        for message in CALLS.values():
            of_api.plan(message, Step.ANSWERED)
        stack.cube.configure(device_faults={FAILED.device_id: "status:503"})
        with proxy.applying(*of_queue.rules(), *of_api.rules()), ThreadPoolExecutor() as pool:
            # When they are sent, and come back or are called again
            enqueue_as_one_batch(stack, BATCH)
            wait_until("the worker of the batch to die", lambda: not of_queue.due(Step.ANSWERED))
            accepted = stack.cube.stats()["accepted"]
            stack.enqueue(FAILED.json)
            calls = {key: pool.submit(call_until_settled, stack, message) for key, message in CALLS.items()}
            wait_until("every worker to die", lambda: not of_queue.due(*Step) and not of_api.due(*Step))
            wait_until_the_queue_is_empty(stack)
            answers = {key: call.result() for key, call in calls.items()}
        judged = {verdict.message: verdict for verdict in verdicts(stack, [*BATCH, FAILED, *CALLS.values()], consumer)}
        yield Found(judged, stack.dead_letters(), accepted, answers)


def test_of_a_batch_only_the_messages_in_hand_are_sent_again(found: Found) -> None:
    endings = {message: found.verdicts[message].ending for message in BATCH}
    # Given a worker that has begun the messages before this one, and one more at most
    assert found.accepted_before >= BATCH.index(VICTIM)
    assert endings.pop(VICTIM) == SENT_TWICE

    # Then that one alone may not be recorded yet, or is claimed and perhaps posted
    others = [(message, ending) for message, ending in endings.items() if ending != SENT_ONCE]
    assert len(others) <= 1
    assert all(ending in IN_HAND[DELIVERIES[BATCH.index(message) % 2]] for message, ending in others)


def test_a_message_that_failed_reaches_the_dead_letter_queue_once(found: Found) -> None:
    assert found.verdicts[FAILED].ending == Ending(State.FAILED, accepted=0, attempts=2)
    assert Counter(letter["requestId"] for letter in found.letters) == {FAILED.request_id: 1}


def test_every_end_is_told_whoever_died_of_it(found: Found) -> None:
    assert [fault for verdict in found.verdicts.values() for fault in verdict.faults] == []
    assert all(verdict.events for verdict in found.verdicts.values())


def test_a_caller_whose_worker_died_is_told_the_truth_when_it_calls_again(found: Found) -> None:
    # Then the call whose worker was killed has no outcome. The next ones have to wait, and the last one gets it
    for answers in found.answers.values():
        died, *waiting, _ = answers
        assert died.status >= 500
        assert {(answer.status, answer.body["state"]) for answer in waiting} == {(409, "SENDING")}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in waiting)
    settled = {delivery: answers[-1] for delivery, answers in found.answers.items()}
    assert (settled[AT_LEAST_ONCE].status, settled[AT_LEAST_ONCE].body["state"]) == (200, "SENT")
    assert settled[AT_LEAST_ONCE].body["possiblyDuplicated"] is True
    assert (settled[AT_MOST_ONCE].status, settled[AT_MOST_ONCE].body["state"]) == (504, "UNKNOWN")

    assert found.verdicts[CALLS[AT_LEAST_ONCE]].ending == SENT_TWICE
    assert found.verdicts[CALLS[AT_MOST_ONCE]].ending == UNKNOWN_SENT
