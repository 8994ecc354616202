"""The wait before the next attempt."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cube_sms.delivery.backoff import retry_delay

CAP = 15 * 60.0

attempts_made = st.integers(1, 10_000)
waits = st.one_of(st.none(), st.floats(0, 86_400))
each_run = settings(max_examples=100)


def longest(attempts: int, retry_after: float | None = None) -> float:
    return retry_delay(attempts, retry_after, uniform=lambda _low, high: high)


def shortest(attempts: int, retry_after: float | None = None) -> float:
    return retry_delay(attempts, retry_after, uniform=lambda low, _high: low)


def test_longest_wait_doubles_from_two_seconds_to_fifteen_minutes() -> None:
    assert [longest(attempts) for attempts in range(1, 12)] == [2, 4, 8, 16, 32, 64, 128, 256, 512, CAP, CAP]


@each_run
@given(attempts_made, waits, st.integers())
def test_wait_lies_between_what_the_provider_asks_for_and_the_cap_beyond_it(
    attempts: int, retry_after: float | None, seed: int
) -> None:
    asked = retry_after or 0.0
    delay = retry_delay(attempts, retry_after, uniform=random.Random(seed).uniform)
    assert asked <= delay <= asked + min(CAP, 2.0**attempts if attempts < 10 else CAP)


@each_run
@given(attempts_made, waits)
def test_jitter_is_full(attempts: int, retry_after: float | None) -> None:
    # Then the shortest wait is what the provider asks for, the longest everything that backoff adds to it
    asked = retry_after or 0.0
    assert shortest(attempts, retry_after) == asked
    assert longest(attempts, retry_after) == asked + longest(attempts)


@each_run
@given(attempts_made)
def test_more_attempts_never_make_the_longest_wait_shorter(attempts: int) -> None:
    assert longest(attempts) <= longest(attempts + 1) <= CAP


def test_waits_of_a_crowd_are_spread() -> None:
    # Given a thousand messages that failed at the same time
    uniform = random.Random(7).uniform
    delays = [retry_delay(5, uniform=uniform) for _ in range(1000)]

    # Then every tenth of the half minute gets about its share
    shares = [sum(3.2 * tenth <= delay < 3.2 * (tenth + 1) for delay in delays) for tenth in range(10)]
    assert sum(shares) == 1000
    assert min(shares) > 60


def test_own_source_of_randomness_gives_different_waits() -> None:
    assert len({retry_delay(10) for _ in range(100)}) > 90


def test_wait_of_nothing_is_not_taken_for_no_answer() -> None:
    assert longest(1, 0.0) == pytest.approx(longest(1))
