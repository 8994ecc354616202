"""The gate in front of Cube: one item in DynamoDB that keeps all workers together within the provider's limits.

The item holds the lanes (`cube_sms.lanes`), the day's count, and until when the gate is closed (`cube_sms.breaker`). A
worker reserves what a whole batch needs with one conditional write, planned on the item as it last saw it; where that
is outdated, the write is refused and brings the item with it. Nothing is read.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, NamedTuple

from .breaker import Breaker
from .errors import CubeUnavailable, GateClosedError, RecordsUnavailableError
from .gate_item import GateItem
from .lanes import HANDOVER, WINDOW, Lane, Layout, Worker, next_query, plan
from .updates import ConditionalUpdate

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

    from .client import CubeAnswer
    from .errors import CubeError, GateReason
    from .lanes import Grant

DAY = 86_400

# Seconds for which what a write has brought is taken for the present, and after which a quota that is remembered as
# spent is looked at again: a deployment may have raised it.
FRESH_SECONDS = 0.1
REMEMBERED_SECONDS = 10.0

# A reservation that others forestall is planned again on what they left.
TRIES = 10

# The share of the newest query in what one is expected to take.
NEWEST_SHARE = 0.2


class GateStatus(NamedTuple):
    """What there is to tell of the gate after an invocation.

    Parameters
    ----------
    quota_used : float or None
        Percent of the day's quota that is reserved; None where there is no quota, or nothing was reserved lately.
    closed_for : str or None
        Why it is closed, where it is closed for everybody.
    """

    quota_used: float | None
    closed_for: GateReason | None


class Slot(NamedTuple):
    """Leave to make one query.

    Parameters
    ----------
    at, until : float
        Seconds since the epoch from when on, and until when, it may be made.
    lane : int or None
        Its lane; None where the rate has no limit.
    """

    at: float
    until: float
    lane: int | None


@dataclass(slots=True)
class _Held:
    """A lane of this worker: the queries it may still make, and when it made the last ones, or is about to."""

    uses: int
    until: float
    queries: list[float]


class Gate:
    """The gate, as one worker sees it. Safe to share between threads.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    qps, quota : int
        Queries a second and a day; 0 for no limit. Without either there is no gate.
    connections : int
        Queries that this worker can have under way at once.
    longest_post : float
        The most seconds a query takes.
    is_passing : bool
        Whether this worker makes single queries, and others need not expect it back.
    clock : Callable[[], float]
        Seconds since the epoch.
    sleep : Callable[[float], None]
        Waits a number of seconds.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        *,
        qps: int,
        quota: int,
        longest_post: float,
        connections: int = 1,
        is_passing: bool = False,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._layout = Layout.of(qps)
        self._quota = quota
        self._connections = connections
        self._is_passing = is_passing
        self._clock = clock
        self._sleep = sleep
        self._name = uuid.uuid4().hex[:8]
        self._lock = RLock()
        self._item = GateItem(client, table, clock)
        self._breaker = Breaker(self._item, longest_post=longest_post, clock=clock)
        self._held: dict[int, _Held] = {}
        # Queries that are reserved and not made, and of which day they are.
        self._left = 0
        self._day = 0
        # What a query usually takes, in seconds.
        self._post_time = 0.0

    @property
    def is_off(self) -> bool:
        """Whether there is no limit to keep."""
        return not self._layout.count and not self._quota

    @property
    def status(self) -> GateStatus:
        """What there is to tell of it."""
        used, closed_for = None, self._breaker.closed_for
        if self._quota and self._item.age < REMEMBERED_SECONDS:
            used = 100.0 * self._used(self._day_of(self._clock())) / self._quota
            if used >= 100.0:
                closed_for = closed_for or "quota"
        return GateStatus(used, closed_for)

    def reserve(self, wanted: int, *, latest: float) -> int:
        """Reserve slots for the next queries of this worker, in place of those it has left: one write.

        Parameters
        ----------
        wanted : int
            How many queries it wants to make, at least 1.
        latest : float
            Seconds since the epoch until when they make sense.

        Returns
        -------
        int
            How many it can make, at least 1.

        Raises
        ------
        GateClosedError
            Where it can make none in time.
        RecordsUnavailableError
            Where DynamoDB is away.
        """
        if self.is_off:
            return wanted
        with self._lock:
            for _ in range(TRIES):
                granted = self._try_to_reserve(wanted, latest)
                if granted:
                    return granted
            raise RecordsUnavailableError(f"the gate was contended for, {TRIES} times in a row")

    def take(self, *, latest: float) -> Slot | None:
        """Take the next slot, waiting for none; reserve one more where none is left.

        Parameters
        ----------
        latest : float
            Seconds since the epoch until when it makes sense.

        Returns
        -------
        Slot or None
            The slot; None where there is no gate.

        Raises
        ------
        GateClosedError
            Where there is none in time, or the gate has been closed meanwhile.
        RecordsUnavailableError
            Where DynamoDB is away.
        """
        if self.is_off:
            return None
        with self._lock:
            self._breaker.check()
            slot = None if self._breaker.is_in_doubt else self._next_slot()
            if slot is None or slot.at > latest:
                self.reserve(max(1, self._left), latest=latest)
                slot = self._next_slot()
                if slot is None:
                    raise GateClosedError("busy", self._clock() + 1.0)
            self._left -= 1
            if slot.lane is not None:
                held = self._held[slot.lane]
                held.uses -= 1
                held.queries.append(slot.at)
            return slot

    def wait(self, slot: Slot) -> bool:
        """Sleep until a slot's time, and return whether it can still be used. One that cannot is taken back.

        Raises
        ------
        GateClosedError
            Where the gate has been closed meanwhile.
        """
        pause = slot.at - self._clock()
        if pause > 0:
            self._sleep(pause)
        with self._lock:
            is_open = False
            try:
                self._breaker.check()
                is_open = self._clock() <= slot.until
            finally:
                if not is_open:
                    self.give_back(slot)
            return is_open

    def give_back(self, slot: Slot | None) -> None:
        """Take back a slot that was not used."""
        if slot is None:
            return
        with self._lock:
            self._left += 1
            held = self._held.get(slot.lane) if slot.lane is not None else None
            if held and slot.at in held.queries:
                held.uses += 1
                held.queries.remove(slot.at)

    def report(self, slot: Slot | None, post: CubeAnswer | CubeError) -> None:
        """Learn from a query: when it left, how long it took, and whether Cube is to be left alone for a while.

        Parameters
        ----------
        slot : Slot or None
            Its slot; None where there is no gate.
        post : CubeAnswer or CubeError
            What it came to.
        """
        if slot is None:
            return
        with self._lock:
            now = self._clock()
            started = now - post.latency
            # What a query took longer than usual it may have spent on its way, connecting perhaps.
            late = min(max(0.0, post.latency - self._post_time), WINDOW) if self._post_time else 0.0
            self._move(slot, started + late)
            if not isinstance(post, CubeUnavailable):
                self._post_time += (post.latency - self._post_time) * (NEWEST_SHARE if self._post_time else 1.0)
            self._breaker.report(post)

    def _try_to_reserve(self, wanted: int, latest: float) -> int:
        """Return how many queries have been reserved; none where the item was not as this worker remembered it."""
        now = self._clock()
        day = self._day_of(now)
        update = ConditionalUpdate()
        is_probe = self._breaker.begin(update)
        if is_probe:
            wanted = 1
        if self._quota:
            wanted = min(wanted, self._quota_left(day))
        grants: list[Grant] = []
        if self._layout.count:
            grants = self._plan(wanted, now, min(latest, self._end_of(day) - HANDOVER))
            wanted = sum(grant.uses for grant in grants)
        for grant in grants:
            name = f"lane{grant.index}"
            update.require(name, self._item.get(name))
            update.set(name, str(Lane(grant.free_at, self._name, self._is_passing)))
        if self._quota:
            self._count(update, day, wanted)
        if not self._item.write(update):
            return 0
        self._breaker.begun(is_probe=is_probe)
        for held in self._held.values():
            held.uses = 0
        for grant in grants:
            self._held[grant.index] = _Held(grant.uses, min(grant.until, self._end_of(day)), grant.queries)
        self._left, self._day = wanted, day
        return wanted

    def _plan(self, wanted: int, now: float, latest: float) -> list[Grant]:
        lanes = [Lane.parse(self._item.get(f"lane{index}") or "0 ") for index in range(self._layout.count)]
        queries = {index: held.queries for index, held in self._held.items()}
        worker = Worker(self._name, queries, self._connections, self._post_time)
        is_fresh = self._item.age < FRESH_SECONDS
        planned = plan(self._layout, lanes, worker, wanted, now=now, latest=latest, is_fresh=is_fresh)
        if not planned.grants:
            raise GateClosedError("busy", planned.starts_at)
        return planned.grants

    def _used(self, day: int) -> int:
        return int(self._item.number("used")) if self._item.number("day") == day else 0

    def _quota_left(self, day: int) -> int:
        left = self._quota - self._used(day) + self._counted(day)
        if left < 1 and self._item.age < REMEMBERED_SECONDS:
            raise GateClosedError("quota", (day + 1) * DAY + HANDOVER)
        # Where it is a while ago that nothing was left, the write finds out.
        return max(1, left)

    def _count(self, update: ConditionalUpdate, day: int, wanted: int) -> None:
        if self._item.number("day") == day:
            more = wanted - self._counted(day)
            update.require("day", self._item.get("day"), is_number=True)
            update.require_less("used", self._quota - more + 1)
            update.add("used", more)
        else:
            update.require_less("day", day, or_absent=True)
            update.set("day", day)
            update.set("used", wanted)

    def _counted(self, day: int) -> int:
        """Return how many queries of the day this worker has counted before, and not made."""
        return self._left if self._day == day else 0

    def _next_slot(self) -> Slot | None:
        now = self._clock()
        if not self._layout.count:
            until = self._end_of(self._day)
            return Slot(now, until, None) if self._left > 0 and now <= until else None
        candidates = []
        for index, held in self._held.items():
            at = max(now, next_query(self._layout, held.queries))
            if held.uses and at <= held.until:
                # Of those that are ready, the one that has to be begun with the earliest.
                begin_by = held.until - WINDOW * ((held.uses - 1) // self._layout.uses)
                candidates.append((at, begin_by, index))
        if not candidates:
            return None
        at, _, index = min(candidates)
        return Slot(at, self._held[index].until, index)

    @staticmethod
    def _day_of(now: float) -> int:
        # Nobody begins a day early, whatever its clock says; nor ends it late.
        return int((now - HANDOVER) // DAY)

    @staticmethod
    def _end_of(day: int) -> float:
        return (day + 1) * DAY - HANDOVER

    def _move(self, slot: Slot, at: float) -> None:
        """Correct when a query was made."""
        held = self._held.get(slot.lane) if slot.lane is not None else None
        if held and at > slot.at and slot.at in held.queries:
            held.queries[held.queries.index(slot.at)] = at
