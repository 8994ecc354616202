"""DynamoDB away for a write of a record, or for its answer: nothing is lost, or posted twice behind anyone's back."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.e2e.aws_proxy import CLAIM, FINISH, INTERNAL_ERROR, AwsCall, AwsProxy, Proxied, Rule
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
    verdicts,
    wait_until_the_queue_is_empty,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.e2e.http_proxy import Answer

# What boto3 tries by itself.
TRIES = 3


class Case(NamedTuple):
    """Which writes of a message fail, by their number among writes of their kind, and what has to happen to it."""

    kind: str
    fails: Callable[[AwsProxy, AwsCall], bool]
    expected: Mapping[str, Ending] = dict.fromkeys(DELIVERIES, SENT_ONCE)
    is_written: bool = False


def first(times: int) -> Callable[[AwsProxy, AwsCall], bool]:
    return lambda _, call: call.n <= times


def until_claimed_again(proxy: AwsProxy, call: AwsCall) -> bool:
    return proxy.calls(CLAIM, str(call.message_id)) < 2


CASES = {
    "the claim, once": Case(CLAIM, first(1)),
    "the claim, for longer than boto3 tries": Case(CLAIM, first(TRIES)),
    "the claim's answer, once": Case(CLAIM, first(1), is_written=True),
    "the claim's answer, for good": Case(
        CLAIM,
        first(TRIES),
        {
            AT_LEAST_ONCE: PERHAPS_SENT_TWICE,
            AT_MOST_ONCE: UNKNOWN_NOT_SENT,
        },
        is_written=True,
    ),
    "the final write, once": Case(FINISH, first(1)),
    "the final write, for longer than boto3 tries": Case(FINISH, first(2 * TRIES)),
    "the final write's answer, once": Case(FINISH, first(1), is_written=True),
    "the final write's answer, for longer than boto3 tries": Case(FINISH, first(TRIES), is_written=True),
    "the final write, for good": Case(
        FINISH,
        until_claimed_again,
        {
            AT_LEAST_ONCE: SENT_TWICE,
            AT_MOST_ONCE: UNKNOWN_SENT,
        },
    ),
}
MESSAGES = {(lost, delivery): Message.make(delivery) for lost in CASES for delivery in DELIVERIES}


def failing(proxy: AwsProxy, case: Case, message: Message) -> Rule:
    def act(call: AwsCall) -> Answer | None:
        is_meant = call.message_id == message.message_id and case.fails(proxy, call)
        return INTERNAL_ERROR if is_meant else None

    return Rule(case.kind, act, is_forwarded=case.is_written)


@pytest.fixture(scope="module")
def found(proxied: Proxied) -> dict[Message, Verdict]:
    stack, proxy = proxied
    consumer = OutcomeConsumer(stack)
    with ExitStack() as rules:
        # Given a table that is unavailable for writes of theirs
        for (lost, _), message in MESSAGES.items():
            rules.enter_context(proxy.applying(failing(proxy, CASES[lost], message)))

        # When messages are sent
        for message in MESSAGES.values():
            stack.enqueue(message.json)
        wait_until_the_queue_is_empty(stack)
    return {verdict.message: verdict for verdict in verdicts(stack, MESSAGES.values(), consumer)}


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("lost", CASES)
def test_a_lost_write_loses_and_repeats_nothing(found: dict[Message, Verdict], lost: str, delivery: str) -> None:
    verdict = found[MESSAGES[lost, delivery]]

    # Then a write that succeeds in the end costs nothing, and the record shows one that does not. Each end has an event
    assert verdict.ending == CASES[lost].expected[delivery], verdict
    assert not verdict.faults
