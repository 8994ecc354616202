"""How long a message waits before it is tried again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BASE_SECONDS = 2.0
CAP_SECONDS = 15 * 60.0


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
