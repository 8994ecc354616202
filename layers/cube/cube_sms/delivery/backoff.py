"""How long a message waits before it is tried again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# The longest delay after the first attempt, and the longest delay after any attempt. Each attempt doubles it.
BASE_SECONDS = 2.0
CAP_SECONDS = 15 * 60.0

# The longest additional delay of a message that has returned to the queue many times.
SPREAD_CAP_SECONDS = 60.0


def retry_delay(
    attempts: int, retry_after: float | None = None, *, uniform: Callable[[float, float], float] = random.uniform
) -> float:
    """Return a delay with full jitter, on top of what the provider asks for.

    Full jitter (a uniform draw from zero to an exponentially growing bound) spreads a crowd of retries most evenly:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    Parameters
    ----------
    attempts : int
        Attempts made so far, at least 1.
    retry_after : float, optional
        Seconds the provider asks to wait.
    uniform : Callable[[float, float], float]
        The source of randomness.

    Returns
    -------
    float
        Seconds, at most 15 minutes and what the provider asks for.

    Examples
    --------
    >>> retry_delay(3, uniform=max)
    8.0
    >>> retry_delay(3, retry_after=60.0, uniform=max)
    68.0
    """
    bound = min(CAP_SECONDS, BASE_SECONDS * 2 ** min(attempts - 1, 16))
    return (retry_after or 0.0) + uniform(0.0, bound)


def put_back_spread(receives: int, *, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Return how much longer a message waits that is put back unsent, than until it could be sent.

    SQS counts how often a message was received, and has enough of it after the most it can be told. One that was put
    back often therefore comes back more slowly.

    Parameters
    ----------
    receives : int
        How often it has been received, at least 1.
    uniform : Callable[[float, float], float]
        The source of randomness.

    Returns
    -------
    float
        Seconds, at most a minute; none the first time.

    Examples
    --------
    >>> put_back_spread(1, uniform=max), put_back_spread(20, uniform=max), put_back_spread(500, uniform=max)
    (0.0, 19.0, 60.0)
    """
    return uniform(0.0, min(SPREAD_CAP_SECONDS, receives - 1.0))
