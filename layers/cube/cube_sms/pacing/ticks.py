"""Seconds that pass for one worker, whatever its clock is set to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# If the time of day gets ahead of the ticks by more than this between two looks, the worker was frozen. The gate relies
# on clocks that are set by less.
STANDSTILL_SECONDS = 1.0


class Ticks:
    """A clock that is never set, and goes on while Lambda freezes the environment.

    Parameters
    ----------
    clock : Callable[[], float]
        Seconds since the epoch, on a clock that may be set at any time.
    monotonic : Callable[[], float]
        Seconds since some moment, on a clock that is never set and may stop meanwhile.

    Examples
    --------
    >>> ticks = Ticks(time.time, time.monotonic)
    >>> began = ticks()
    >>> ticks() - began < 1.0
    True
    """

    def __init__(self, clock: Callable[[], float], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._frozen = 0.0
        self._ahead = clock() - monotonic()

    def __call__(self) -> float:
        """Return how many seconds have passed since some moment."""
        monotonic = self._monotonic()
        ahead = self._clock() - monotonic
        if ahead - self._ahead > STANDSTILL_SECONDS:
            self._frozen += ahead - self._ahead
        self._ahead = ahead
        return monotonic + self._frozen
