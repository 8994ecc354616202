"""The provider's day, which ends at midnight UTC."""

from __future__ import annotations

import time

DAY = 86_400

# What a test that counts on one day takes at most.
LONGEST_TEST = 30.0


def until_tomorrow() -> float:
    """Return the seconds until midnight UTC."""
    return DAY - time.time() % DAY


def avoid_midnight() -> None:
    """Wait if the day ends soon, so that the rest of a test is on one day."""
    if until_tomorrow() < LONGEST_TEST:
        time.sleep(until_tomorrow() + 1.0)
