"""The queries of a day, which the gate's item counts together with their reservation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cube_sms.platform import DAY

from .errors import GateClosedError, NoSlotError
from .gate_item import REMEMBERED_SECONDS
from .lanes import HANDOVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from cube_sms.platform import ConditionalUpdate

    from .gate_item import GateItem


class DailyQuota:
    """The daily quota, as one worker sees it. A day is one of UTC.

    Clocks differ, and each query has to count for the day in which it leaves. So for a moment around midnight, no
    worker sends.

    Parameters
    ----------
    item : GateItem
        The gate's item, which has the count.
    limit : int
        Queries a day; 0 for no limit.
    reserve_percent : int
        Percent of them that bulk messages leave to others.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(self, item: GateItem, limit: int, reserve_percent: int, clock: Callable[[], float]) -> None:
        self._item = item
        self._limit = limit
        self._bulk_limit = bulk_limit(limit, reserve_percent)
        self._clock = clock
        # Queries that were counted and have not been made, and their day.
        self.left = 0
        self.day = 0
        # Whether they were counted within the limit for bulk messages.
        self._is_for_bulk = False
        # How many were counted when the item last had a count, in case an operator removes it.
        self._seen = 0

    @property
    def percent(self) -> float | None:
        """Percent of today's quota that is counted; None if there is no quota, or the view of the item is old."""
        if not self._limit or self._item.age >= REMEMBERED_SECONDS:
            return None
        return 100.0 * self._used(self._today()) / self._limit

    @property
    def ends_at(self) -> float:
        """Seconds since the epoch until when the counted queries may be made."""
        return (self.day + 1) * DAY - HANDOVER if self._limit else math.inf

    @property
    def latest_slot(self) -> float:
        """Seconds since the epoch: the latest time that a query may be planned for."""
        return self.ends_at - HANDOVER

    @property
    def next_begins_at(self) -> float:
        """Seconds since the epoch: when queries of the next day may be made."""
        return beginning_of(self.day + 1)

    def is_for(self, *, is_bulk: bool) -> bool:
        """Return whether the counted queries that are left may be of this kind, bulk messages or others."""
        return not (self._limit and is_bulk) or self._is_for_bulk

    def cut(self, wanted: int, *, is_bulk: bool) -> int:
        """Begin to count, and return how many of the wanted queries the quota allows.

        Raises
        ------
        GateClosedError
            If it allows none.
        NoSlotError
            If the next day is about to begin.
        """
        if not self._limit:
            return wanted
        today = self._today()
        if today != self.day:
            self.day, self.left, self._seen = today, 0, 0
        if self._clock() >= self.ends_at or self._item.number("day") > today:
            raise NoSlotError(self.next_begins_at)
        left = self._most(is_bulk=is_bulk) - self._used(today) + max(0, self.left)
        # If the view is old, the write finds out whether a query is left. For that its condition has to have the count.
        is_doubtful = self._item.age >= REMEMBERED_SECONDS and self._item.number("day") == today
        if left < 1 and not is_doubtful:
            raise GateClosedError("reserve" if is_bulk else "quota", self.next_begins_at)
        return min(wanted, max(1, left))

    def count(self, update: ConditionalUpdate, queries: int, *, is_bulk: bool) -> None:
        """Let a reservation count its queries, less those that were counted before and not made."""
        if not self._limit:
            return
        if self._item.number("day") == self.day:
            more = queries - max(0, self.left)
            update.require(update.equal("day", self._item.get("day"), is_number=True))
            update.require(update.less("used", self._most(is_bulk=is_bulk) - more + 1))
            update.add("used", more)
        else:
            update.require(update.absent("day"), update.less("day", self.day))
            update.set("day", self.day)
            update.set("used", self._used(self.day) + queries - max(0, self.left))

    def counted(self, queries: int, *, is_bulk: bool) -> None:
        """Note that the reservation was written."""
        self.left = queries
        self._is_for_bulk = is_bulk
        self._seen = self._used(self.day)

    def give_back(self, day: int) -> None:
        """Take back a query that was not made."""
        if day == self.day:
            self.left += 1

    def _most(self, *, is_bulk: bool) -> int:
        return self._bulk_limit if is_bulk else self._limit

    def _today(self) -> int:
        return day_of(self._clock())

    def _used(self, day: int) -> int:
        if self._item.get("day") is None:
            # There is no count yet, or an operator has removed it.
            return self._seen if day == self.day else 0
        if self._item.number("day") != day:
            return 0
        used = int(self._item.number("used"))
        if day == self.day:
            self._seen = used
        return used


def bulk_limit(limit: int, reserve_percent: int) -> int:
    """Return the count of a day's queries, others among them, up to which bulk messages are sent.

    Parameters
    ----------
    limit : int
        Queries a day.
    reserve_percent : int
        Percent of them that bulk messages leave to others.

    Returns
    -------
    int
        The count.

    Examples
    --------
    >>> bulk_limit(5000, 10), bulk_limit(65, 10)
    (4500, 58)
    """
    return limit - math.ceil(limit * reserve_percent / 100)


def beginning_of(day: int) -> float:
    """Return when the quota of a day begins to be in use, in seconds since the epoch."""
    return day * DAY + HANDOVER


def day_of(now: float) -> int:
    """Return the number of the day whose quota is in use."""
    return int((now - HANDOVER) // DAY)
