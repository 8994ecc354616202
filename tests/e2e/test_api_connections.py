"""The API's places for connections in the hands of several processes at the same moment, in real time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
import uuid
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from cube_sms.pacing.errors import ConnectionsTakenError
from cube_sms.pacing.leases import ConnectionLeases
from local.ministack import REGION, MiniStack
from local.stack import LocalStack
from tests.e2e.verdicts import Message, wait_until_the_queue_is_empty
from tests.support import create_messages_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

PROCESSES = 6
SECONDS = 5.0

_barrier: Barrier | None = None


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
    context = multiprocessing.get_context("spawn")
    arguments: Any = (context.Barrier(PROCESSES),)
    with ProcessPoolExecutor(PROCESSES, mp_context=context, initializer=_prepare, initargs=arguments) as pool:
        runs = [pool.submit(_open_and_close, aws.url, table, count, seed) for seed in range(PROCESSES)]
        spans = [span for run in runs for span in run.result(timeout=120)]

    # Then there are never more at a time, and there are as many at some time
    assert _most_at_a_time(spans) == count
    # And every process has had its turn
    assert all(run.result() for run in runs)


def test_place_of_a_process_that_was_killed_is_kept_until_its_time_is_over(aws: MiniStack, table: str) -> None:
    # Given a process that is killed while it has the only place, for the rest of its three seconds
    context = multiprocessing.get_context("spawn")
    opened: SimpleQueue[float] = context.SimpleQueue()
    process = context.Process(target=_hold_for_ever, args=(aws.url, table, 3.0, opened))
    process.start()
    cut_off_at = opened.get()
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()

    # When another one asks until it has it
    leases = ConnectionLeases(_client(aws.url), table, 1)
    while True:
        with contextlib.suppress(ConnectionsTakenError), leases.hold(until=time.time() + 3.0):
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


def _prepare(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _client(url: str) -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"mode": "standard", "total_max_attempts": 3}),
    )


def _open_and_close(url: str, table: str, count: int, seed: int) -> list[tuple[float, float]]:
    leases, random = ConnectionLeases(_client(url), table, count), Random(seed)
    spans: list[tuple[float, float]] = []
    assert _barrier
    # All processes meet here, so that none of them takes the task of another one.
    _barrier.wait(60)
    deadline = time.time() + SECONDS
    # Until each has had a place, on however slow a machine.
    while time.time() < deadline or not spans:
        with contextlib.suppress(ConnectionsTakenError), leases.hold(until=time.time() + 29.0):
            opened_at = time.monotonic()
            time.sleep(random.uniform(0.0, 0.05))
            spans.append((opened_at, time.monotonic()))
    return spans


def _hold_for_ever(url: str, table: str, seconds: float, opened: SimpleQueue[float]) -> None:
    cut_off_at = time.time() + seconds
    with ConnectionLeases(_client(url), table, 1).hold(until=cut_off_at):
        opened.put(cut_off_at)
        signal.pause()


def _most_at_a_time(spans: list[tuple[float, float]]) -> int:
    # Of what ends and begins in one moment, the end comes first.
    steps = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    at_a_time = most = 0
    for _, step in steps:
        at_a_time += step
        most = max(most, at_a_time)
    return most
