"""The crash matrix: a worker is killed at each step of a message, and another one receives the message."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from local.stack import V4_ACCOUNT, LocalStack, wait_until
from tests.e2e.aws_proxy import AwsProxy, route
from tests.e2e.crashes import Reaper, Relay, Step, Unconnectable, environment
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
    Message,
    Verdict,
    set_mapping,
    set_visibility_timeout,
    verdicts,
    wait_until_the_queue_is_empty,
)
from tests.e2e.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator

# A claim's lease is 2 * (2 + 3) + 10 seconds.
SETTINGS = {"CUBE_CONNECT_TIMEOUT": "2", "CUBE_READ_TIMEOUT": "3"}
VISIBILITY_TIMEOUT = 21


# What has to happen to a message whose worker is killed there. From the claim on it is unknown whether it was sent.
MATRIX = {
    Step.BEFORE_CLAIM: {AT_LEAST_ONCE: SENT_ONCE, AT_MOST_ONCE: SENT_ONCE},
    Step.CLAIM_WRITTEN: {AT_LEAST_ONCE: PERHAPS_SENT_TWICE, AT_MOST_ONCE: UNKNOWN_NOT_SENT},
    Step.CONNECTING: {AT_LEAST_ONCE: PERHAPS_SENT_TWICE, AT_MOST_ONCE: UNKNOWN_NOT_SENT},
    Step.CONNECTED: {AT_LEAST_ONCE: PERHAPS_SENT_TWICE, AT_MOST_ONCE: UNKNOWN_NOT_SENT},
    Step.REQUEST_LEFT: {AT_LEAST_ONCE: PERHAPS_SENT_TWICE, AT_MOST_ONCE: UNKNOWN_NOT_SENT},
    Step.REQUEST_ACCEPTED: {AT_LEAST_ONCE: SENT_TWICE, AT_MOST_ONCE: UNKNOWN_SENT},
    Step.ANSWERED: {AT_LEAST_ONCE: SENT_TWICE, AT_MOST_ONCE: UNKNOWN_SENT},
    Step.RECORDED: {AT_LEAST_ONCE: SENT_ONCE, AT_MOST_ONCE: SENT_ONCE},
}
ACCOUNTS = ("default", V4_ACCOUNT)
DOOMED = {
    (step, delivery, account): Message.make(delivery, account=account)
    for step in Step
    for delivery in DELIVERIES
    for account in ACCOUNTS
}
SPARED = [Message.make(delivery, account=account) for delivery in DELIVERIES for account in ACCOUNTS]


@pytest.fixture(scope="module")
def found() -> Iterator[dict[Message, Verdict]]:
    with (
        Unconnectable() as nowhere,
        Relay() as relay,
        AwsProxy() as proxy,
        LocalStack(is_limited=False) as stack,
    ):
        relay.upstream, proxy.upstream = stack.cube.url, stack.aws.url
        consumer = OutcomeConsumer(stack)
        set_visibility_timeout(stack, VISIBILITY_TIMEOUT)
        # A worker has one message, so that its crash affects no other.
        set_mapping(stack, BatchSize=1, ScalingConfig={"MaximumConcurrency": 6})
        reaper = relay.reaper = Reaper(Workers(stack, stack.outputs["SendFromQueueFunctionName"]))
        for (step, *_), message in DOOMED.items():
            reaper.plan(message, step)
        with proxy.applying(*reaper.rules()):
            # Given workers that are killed while they connect to a provider that does not answer
            route(stack, proxy, "DYNAMODB", **environment(nowhere.url), **SETTINGS)
            for delivery, account in product(DELIVERIES, ACCOUNTS):
                stack.enqueue(DOOMED[Step.CONNECTING, delivery, account].json)

            def none_connecting() -> bool:
                reaper.strike_connecting(nowhere.port)
                return not reaper.due(Step.CONNECTING)

            wait_until("workers to be killed while they connect", none_connecting)

            # And workers that are killed at every other step
            route(stack, proxy, **environment(relay.url))
            for (step, *_), message in DOOMED.items():
                if step is not Step.CONNECTING:
                    stack.enqueue(message.json)
            for message in SPARED:
                stack.enqueue(message.json)
            wait_until("a worker to be killed at every step", lambda: not reaper.due(*Step))

            # When their messages come back to other workers
            wait_until_the_queue_is_empty(stack)
        yield {verdict.message: verdict for verdict in verdicts(stack, [*DOOMED.values(), *SPARED], consumer)}


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("step", Step)
def test_a_message_outlives_its_worker(found: dict[Message, Verdict], step: Step, delivery: str, account: str) -> None:
    verdict = found[DOOMED[step, delivery, account]]

    # Then it has the one state that is true, Cube's request log says the same, and so does its event
    assert verdict.ending == MATRIX[step][delivery], verdict
    assert not verdict.faults
    assert verdict.events


def test_messages_beside_them_are_sent_once(found: dict[Message, Verdict]) -> None:
    for message in SPARED:
        assert found[message].ending == SENT_ONCE
        assert not found[message].faults
