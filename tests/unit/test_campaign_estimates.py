"""How long a campaign is said to take: as long as it takes if each of its queries is made as early as it may be."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cube_sms.campaigns import Estimate, estimate
from cube_sms.pacing import WINDOW
from cube_sms.platform import DAY

MIDNIGHT = 1_800_057_600.0
NOON = MIDNIGHT - DAY / 2


def last_query(rows: int, *, now: float, qps: int, quota: int, reserve: int, used_today: int) -> tuple[float, int]:
    """Make one query after the other, and return when the last one leaves and on how many days there are some."""
    allowed = quota - math.ceil(quota * reserve / 100)
    times: list[float] = []
    day, used, days = now // DAY, used_today, set()
    time = now
    for _ in range(rows):
        if qps and len(times) >= qps:
            time = max(time, times[-qps] + WINDOW)
        if time // DAY > day:
            day, used = time // DAY, 0
        if quota and used >= allowed:
            time = (day + 1) * DAY
            day, used = day + 1, 0
        used += 1
        times.append(time)
        days.add(day)
    return time, len(days)


@given(
    rows=st.integers(1, 300),
    now=st.floats(MIDNIGHT - 40.0, MIDNIGHT) | st.floats(NOON, MIDNIGHT),
    qps=st.integers(0, 7),
    quota=st.integers(0, 60),
    reserve=st.integers(0, 60),
    used_today=st.integers(0, 60),
)
# The rate is less than the quota for whole days
@example(rows=200_000, now=NOON, qps=1, quota=100_000, reserve=10, used_today=0)
@example(rows=200_000, now=NOON, qps=1, quota=100_000, reserve=10, used_today=85_000)
@example(rows=200_000, now=NOON, qps=1, quota=70_000, reserve=10, used_today=0)
@example(rows=60, now=MIDNIGHT, qps=7, quota=60, reserve=0, used_today=0)
def test_campaign_ends_when_its_last_query_leaves(
    rows: int, now: float, qps: int, quota: int, reserve: int, used_today: int
) -> None:
    limits: dict[str, Any] = {"now": now, "qps": qps, "quota": quota, "reserve": reserve, "used_today": used_today}
    if quota and not quota * (100 - reserve) // 100:
        assert estimate(rows, **limits) == Estimate(None, None, None)
        return

    seconds, ends_at, days = estimate(rows, **limits)

    # As exactly as the queries of a second can tell
    earliest, fewest = last_query(max(1, rows - qps), **limits)
    latest, most = last_query(rows + qps, **limits)
    assert seconds is not None
    assert days is not None
    assert earliest - now <= seconds <= latest - now + WINDOW + 1
    assert fewest <= days <= most
    assert ends_at is not None
    assert datetime.fromisoformat(ends_at).timestamp() == pytest.approx(now + seconds, abs=1.01)


def test_campaign_without_limits_ends_at_once() -> None:
    limits = {"qps": 0, "quota": 0, "reserve": 10, "used_today": 9}

    assert estimate(1_000_000, now=MIDNIGHT, **limits) == Estimate(0, "2027-01-16T00:00:00.000Z", 1)


def test_campaign_of_no_rows_ends_at_once() -> None:
    limits = {"qps": 10, "quota": 5000, "reserve": 10, "used_today": 5000}

    assert estimate(0, now=MIDNIGHT, **limits) == Estimate(0, "2027-01-16T00:00:00.000Z", 0)


def test_campaign_of_a_million_rows_takes_so_many_days_of_quota() -> None:
    # Given 4,500 rows a day, of which today leaves 500
    limits = {"qps": 10, "quota": 5000, "reserve": 10, "used_today": 4000}

    assert estimate(1_000_000, now=NOON, **limits).days == 1 + math.ceil(999_500 / 4500)


@pytest.mark.parametrize(
    ("rows", "quota", "reserve"), [(1, 5000, 100), (1, 1, 10), (5_000_000, 1, 0)], ids=["all", "part", "year 10000"]
)
def test_campaign_may_never_end(rows: int, quota: int, reserve: int) -> None:
    ends = estimate(rows, now=NOON, qps=10, quota=quota, reserve=reserve, used_today=0)

    assert ends == Estimate(None, None, None)
