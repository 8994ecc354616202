"""A hundred messages with one query, from a real queue: a campaign of one text, with an account that uses v4."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from cube_sms.delivery.states import State
from local.stack import V4_ACCOUNT, LocalStack
from tests.e2e.verdicts import SENT_ONCE, Message, verdicts, wait_until_the_queue_is_empty

if TYPE_CHECKING:
    from collections.abc import Iterator

MESSAGES = 300
BAD = 3


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Return a stack within the provider's limits, whose functions may do what their roles allow."""
    with LocalStack({"QueueBatchSize": "1000"}, authenticate=True) as stack:
        yield stack


def send_together(stack: LocalStack, messages: list[Message]) -> None:
    """Have the function take messages that have gathered, until the queue is empty."""
    with stack.queue_paused():
        for message in messages:
            stack.enqueue(message.json)
    wait_until_the_queue_is_empty(stack, timeout=300)


@pytest.mark.parametrize("fault", ["lost", "truncated", "status-after:502", "drop", "status:500"])
def test_a_hundred_messages_whose_answer_is_lost_are_sent_once(stack: LocalStack, fault: str) -> None:
    # Given a query of a hundred messages whose answer does not come, whether Cube has taken it or not
    stack.cube.reset()
    messages = [Message.make(account=V4_ACCOUNT) for _ in range(100)]
    stack.cube.configure(next_faults=[fault])
    # When
    send_together(stack, messages)
    # Then the same query was sent again
    queries = {post["n"]: post for post in stack.cube.requests()}
    assert [post["fault"] for post in queries.values()] == [fault, None]
    assert len({post["nonce"] for post in queries.values()}) == 1
    assert stack.cube.stats()["messages"] == 100
    # And each message was accepted once, and its record says so
    found = verdicts(stack, messages)
    assert {verdict.ending for verdict in found} == {SENT_ONCE}
    assert [fault for verdict in found for fault in verdict.faults] == []


def test_a_text_for_many_devices_takes_few_queries(stack: LocalStack) -> None:
    # Given messages of one text on the queue, some for SIMs that there are none of
    stack.cube.reset()
    messages = [Message.make(account=V4_ACCOUNT, priority="bulk") for _ in range(MESSAGES)]
    bad = {message.device_id for message in messages[50 : 50 + BAD]}
    stack.cube.configure(unknown_devices=sorted(bad))
    # When the function is given what has gathered
    send_together(stack, messages)
    # Then each has its own end
    found = verdicts(stack, messages)
    assert [fault for verdict in found for fault in verdict.faults] == []
    states = {verdict.message.device_id: verdict.state for verdict in found}
    assert {device for device, state in states.items() if state is State.REJECTED} == bad
    assert Counter(states.values()) == {State.SENT: MESSAGES - BAD, State.REJECTED: BAD}
    assert {verdict.accepted for verdict in found if verdict.state is State.SENT} == {1}
    # And all of them took no fewer queries than they need, far fewer than there are messages, within the limits
    stats = stack.cube.stats()
    assert stats["messages"] == MESSAGES - BAD
    assert MESSAGES / 100 <= stats["received"] <= MESSAGES / 6
    assert set(stats["refused"]) == {"200"}
    assert stats["highestRate"] <= 10
    assert stats["highestConcurrency"] <= 3
