"""The same message in several hands at the same time: one of them posts it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from cube_sms.delivery.states import State
from tests.e2e.claimers import Claimers, record_store, request_of
from tests.e2e.verdicts import (
    AT_LEAST_ONCE,
    AT_MOST_ONCE,
    DELIVERIES,
    SENT_ONCE,
    Message,
    verdicts,
    wait_until_the_queue_is_empty,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import HttpAnswer, LocalStack
    from tests.e2e.aws_proxy import Proxied

PROCESSES = 8


@pytest.fixture(scope="module")
def claimers(proxied: Proxied) -> Iterator[Claimers]:
    with Claimers(proxied.stack, PROCESSES) as claimers:
        yield claimers


def leave(stack: LocalStack, message: Message, state: State | None) -> str | None:
    """Leave a message's record in a state, SENDING with a lease that is over; return who left it."""
    if state is None:
        return None
    records = record_store(stack.aws.url, stack.outputs["MessagesTableName"], lease=0.0)
    if state is State.QUEUED:
        return records.note_queued(request_of(message)).owner
    if state is State.CANCELLED:
        return records.cancel(message.message_id).record.owner
    record = records.claim(request_of(message)).record
    if state is not State.SENDING:
        records.finish(record, state)
    return record.owner


def test_callers_of_api_and_queue_at_the_same_time_send_a_message_once(proxied: Proxied) -> None:
    # Given messages that three callers of the API and two senders to the queue have at the same moment
    stack, _ = proxied
    messages = [Message.make(delivery) for delivery in DELIVERIES * 10]
    together = Barrier(5)

    def call() -> list[HttpAnswer]:
        answers = []
        for message in messages:
            together.wait(60)
            answers.append(stack.call_api("POST", "/messages", message.json))
        return answers

    def enqueue() -> None:
        for message in messages:
            together.wait(60)
            stack.enqueue(message.json)

    # When all of them send it
    with ThreadPoolExecutor(5) as pool:
        senders = [pool.submit(enqueue) for _ in range(2)]
        callers = [pool.submit(call) for _ in range(3)]
        answers = [answer for caller in callers for answer in caller.result()]
        for sender in senders:
            sender.result()
    wait_until_the_queue_is_empty(stack)

    # Then Cube has seen it once. The answer to every caller is that it is sent, or that another one is sending it
    for verdict in verdicts(stack, messages):
        assert [post["accepted"] for post in verdict.posts] == [True], verdict
        assert verdict.ending == SENT_ONCE
        assert not verdict.faults
    told = {(answer.status, answer.body["state"]) for answer in answers}
    assert told <= {(200, "SENT"), (409, "SENDING")}, told


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize(
    ("state", "count"),
    [
        (None, 50),
        (State.QUEUED, 10),
        (State.RETRYING, 10),
        (State.FAILED, 10),
        (State.REJECTED, 10),
        (State.CANCELLED, 10),
    ],
    ids=["new", "queued", "to be retried", "put back", "put back though refused", "put back though cancelled"],
)
def test_one_of_many_processes_gets_a_message(
    proxied: Proxied, claimers: Claimers, state: State | None, count: int, delivery: str
) -> None:
    # Given messages that no process has
    messages = [Message.make(delivery) for _ in range(count)]
    owners = [leave(proxied.stack, message, state) for message in messages]

    # When several processes claim each at the same moment
    claims = claimers.claim(messages, owners)

    # Then one of them has it, and all of them know who
    for claimed in claims:
        assert sum(claim.is_held for claim in claimed) == 1
        assert {claim.state for claim in claimed} == {State.SENDING}
        assert len({claim.owner for claim in claimed}) == 1


def test_one_of_many_processes_takes_a_dead_workers_message_over(proxied: Proxied, claimers: Claimers) -> None:
    messages = [Message.make(AT_LEAST_ONCE) for _ in range(20)]
    for message in messages:
        leave(proxied.stack, message, State.SENDING)

    claims = claimers.claim(messages, [None] * len(messages))

    for claimed in claims:
        assert sum(claim.is_held for claim in claimed) == 1
    assert all(verdict.record["possiblyDuplicated"] for verdict in verdicts(proxied.stack, messages))


def test_one_of_many_processes_ends_a_dead_workers_message_that_may_not_be_repeated(
    proxied: Proxied, claimers: Claimers
) -> None:
    messages = [Message.make(AT_MOST_ONCE) for _ in range(20)]
    for message in messages:
        leave(proxied.stack, message, State.SENDING)

    claims = claimers.claim(messages, [None] * len(messages))

    for claimed in claims:
        assert not any(claim.is_held for claim in claimed)
        assert sum(claim.has_ended for claim in claimed) == 1
        assert {claim.state for claim in claimed} == {State.UNKNOWN}


@pytest.mark.parametrize(
    ("state", "count"),
    [(None, 40), (State.QUEUED, 20), (State.RETRYING, 20), (State.CANCELLED, 20)],
    ids=["new", "queued", "to be retried", "put back though cancelled"],
)
def test_message_is_cancelled_or_had_by_one_process(
    proxied: Proxied, claimers: Claimers, state: State | None, count: int
) -> None:
    # Given messages that no process has
    messages = [Message.make() for _ in range(count)]
    owners = [leave(proxied.stack, message, state) for message in messages]

    # When some processes claim each at the same moment as others cancel it
    cancelling = PROCESSES // 2
    raced = claimers.race(messages, owners, cancelling=cancelling)

    # Then one of them may post it and each cancellation reports that, or it is cancelled and none of them posts it
    endings = [verdict.state for verdict in verdicts(proxied.stack, messages)]
    for claimed, ending in zip(raced, endings, strict=True):
        claims, cancellations = claimed[:-cancelling], claimed[-cancelling:]
        is_cancelled = ending is State.CANCELLED
        assert sum(claim.is_held for claim in claims) == (0 if is_cancelled else 1)
        assert {each.state for each in cancellations} == {ending}
        ended = sum(each.has_ended for each in cancellations)
        assert ended == (1 if is_cancelled and state is not State.CANCELLED else 0)
    assert set(endings) <= {State.CANCELLED, State.SENDING}
