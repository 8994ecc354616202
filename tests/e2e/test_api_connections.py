"""The API's places for connections in the hands of several processes at the same moment, in real time."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.pacing.errors import ConnectionsTakenError
from local.ministack import MiniStack
from local.stack import LocalStack
from tests.e2e.connections import hold_for_ever, leases, open_and_close, prepare
from tests.e2e.verdicts import Message, wait_until_the_queue_is_empty
from tests.processes import CONTEXT
from tests.support import create_messages_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.queues import SimpleQueue

PROCESSES = 6


@pytest.fixture(scope="module")
def aws() -> Iterator[MiniStack]:
    with MiniStack() as aws:
        yield aws


@pytest.fixture
def table(aws: MiniStack) -> str:
    name = f"leases-{uuid.uuid4().hex[:8]}"
    create_messages_table(aws.client("dynamodb"), name)
    return name


@pytest.mark.parametrize("count", [1, 3])
def test_no_more_connections_are_open_than_there_are_places(aws: MiniStack, table: str, count: int) -> None:
    # Given more processes than places, that open and close connections as fast as they can
    arguments: Any = (CONTEXT.Barrier(PROCESSES),)
    with ProcessPoolExecutor(PROCESSES, mp_context=CONTEXT, initializer=prepare, initargs=arguments) as pool:
        runs = [pool.submit(open_and_close, aws.url, table, count, seed) for seed in range(PROCESSES)]
        spans = [span for run in runs for span in run.result(timeout=120)]

    # Then there are never more at a time, and there are as many at some time
    assert _most_at_a_time(spans) == count
    # And every process has had its turn
    assert all(run.result() for run in runs)


def test_place_of_a_process_that_was_killed_is_kept_until_its_time_is_over(aws: MiniStack, table: str) -> None:
    # Given a process that is killed while it has the only place, for the rest of its three seconds
    opened: SimpleQueue[float] = CONTEXT.SimpleQueue()
    process = CONTEXT.Process(target=hold_for_ever, args=(aws.url, table, 3.0, opened))
    process.start()
    cut_off_at = opened.get()
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()

    # When another one asks until it has it
    places = leases(aws.url, table, 1)
    while True:
        with contextlib.suppress(ConnectionsTakenError), places.hold(until=time.time() + 3.0):
            had_at = time.time()
            break

    # Then that is after the first one's time
    assert had_at >= cut_off_at


def test_queue_and_callers_side_by_side_keep_to_the_providers_connections() -> None:
    # Given the default deployment, an account that reserves nothing, and a provider that takes its time
    unhurried = {"CubeMaxQps": "0", "CubeDailyQuota": "0"}
    with LocalStack(unhurried, qps=0, quota=0, latency=0.2) as stack:
        queued = [Message.make() for _ in range(20)]
        called = [Message.make() for _ in range(18)]

        # When more callers than the API has connections post at the same time, while the queue is full
        with ThreadPoolExecutor(6) as callers:
            for message in queued:
                stack.enqueue(message.json)
            answers = list(callers.map(lambda message: stack.call_api("POST", "/messages", message.json), called))
        wait_until_the_queue_is_empty(stack)

        # Then the provider has seen no more connections than it allows, by its own count, and refused none
        stats = stack.cube.stats()
        assert stats["highestConcurrency"] <= 3
        assert stats["refused"] == {}
        # And each caller was told that its message is sent, or to come again, and then it was not
        told = [(answer.status, "Retry-After" in answer.headers) for answer in answers]
        assert set(told) <= {(200, False), (429, True)}
        assert stats["accepted"] == len(queued) + told.count((200, False))
        assert told.count((200, False)) >= 1


def _most_at_a_time(spans: list[tuple[float, float]]) -> int:
    # Of what ends and begins in one moment, the end comes first.
    steps = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    at_a_time = most = 0
    for _, step in steps:
        at_a_time += step
        most = max(most, at_a_time)
    return most
