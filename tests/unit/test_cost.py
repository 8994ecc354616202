"""The model of AWS's bill (docs/cost.md): what an invocation is paid for."""

from __future__ import annotations

import pytest

from benchmarks.cost import CPU_SHARE, CUBE_SECONDS, Contract, Usage, paced_seconds, work_seconds
from benchmarks.server import AWS_SECONDS


def usage(cpu: float) -> Usage:
    return Usage(cpu=cpu, log_bytes=700, writes=2)


def test_a_message_that_has_to_wait_for_its_turn_is_paid_by_its_turn() -> None:
    # Given two invocations that share ten queries a second, and a message that takes less than a fifth of a second
    contract = Contract(qps=10, invocations=2, threads=1)

    # Then less work makes it no cheaper
    assert paced_seconds(contract, usage(0.003)) == paced_seconds(contract, usage(0.001)) == pytest.approx(0.2)


def test_a_message_that_takes_longer_than_its_turn_is_paid_by_its_work() -> None:
    # Given invocations that have 5 ms for each message, and answers that take much longer
    contract = Contract(qps=200, invocations=1, threads=1)

    # Then a message is paid from its claim to its outcome, its CPU as long as it takes on the share of a processor
    assert paced_seconds(contract, usage(0.003)) == pytest.approx(CUBE_SECONDS + 2 * AWS_SECONDS + 0.003 / CPU_SHARE)


def test_threads_share_the_waiting_and_not_the_processor() -> None:
    # Given a message that mostly computes
    busy = usage(1.0)

    # Then sending many at a time does not get below what the processor takes for one
    assert work_seconds(busy, threads=32) == pytest.approx(1.0 / CPU_SHARE, rel=0.05)
    # And one that mostly waits shares its waiting
    assert work_seconds(usage(0.0), threads=10) == pytest.approx(work_seconds(usage(0.0)) / 10)
