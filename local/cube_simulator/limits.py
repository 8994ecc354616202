"""The provider's limits per calling address: queries a second, connections, queries a day.

A query that is refused with 429 counts in neither the second's window nor the day's quota; every other one does,
with any result. A connection counts from its first sendSms request until it closes, idle time included.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from local.cube_simulator.answers import RefusedError
from local.cube_simulator.config import Config

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Clock:
    """The two clocks the simulator reads: wall time for dates, monotonic time for rates."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class Window:
    """The events of the last second. Two events exactly one second apart do not share a window."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self.highest = 0

    def count(self, now: float) -> int:
        """Return how many events the window that ends now holds."""
        while self._times and now - self._times[0] >= 1:
            self._times.popleft()
        return len(self._times)

    def add(self, now: float) -> None:
        """Add an event that happens now."""
        self._times.append(now)
        self.highest = max(self.highest, self.count(now))

    def wait(self, now: float) -> float:
        """Return the seconds until the oldest event leaves the window."""
        return self._times[0] + 1 - now if self._times else 0.0


class Limits:
    """What has been used of the limits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots: set[int] = set()
        self.reset()

    def reset(self) -> None:
        """Forget past queries. Connections that are open stay counted: they are still there."""
        self._window = Window()
        self._day = 0
        self._used = 0

    def quota_used(self) -> int:
        """Return the queries counted so far today (UTC)."""
        today = int(self._clock.wall() // DAY)
        if today != self._day:
            self._day, self._used = today, 0
        return self._used

    def admit(self, connection: int, config: Config) -> None:
        """Count a query, unless it is over a limit.

        Raises
        ------
        RefusedError
            With the reason `connections`, `qps` or `quota` (tested in this order) and the seconds to wait.
        """
        if connection not in self._slots:
            if 0 < config.connections <= len(self._slots):
                raise RefusedError("connections", retry_after=1)
            self._slots.add(connection)
        now = self._clock.monotonic()
        if 0 < config.qps <= self._window.count(now):
            raise RefusedError("qps", retry_after=max(1, math.ceil(self._window.wait(now))))
        if 0 < config.quota <= self.quota_used():
            raise RefusedError("quota", retry_after=math.ceil(DAY - self._clock.wall() % DAY))
        self._window.add(now)
        self._used = self.quota_used() + 1

    def release(self, connection: int) -> None:
        """Give back the place of a connection that has closed."""
        self._slots.discard(connection)
