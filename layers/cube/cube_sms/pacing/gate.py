"""The gate before Cube: one item in DynamoDB keeps all workers together within the provider's limits.

The item has the lanes (`lanes`), the day's count (`quota`), and until when the gate is closed (`breaker`), for all or
for one account (`accounts`). One conditional write reserves what a whole batch needs. The worker plans it on the item
as it last saw it. If the item has changed since, DynamoDB refuses the write and returns the item: a read is not needed.
"""

from __future__ import annotations

import secrets
import time
from math import inf
from threading import RLock
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from cube_sms.platform import ConditionalUpdate, RecordsUnavailableError

from .accounts import Accounts
from .breaker import PROBING_SECONDS, Breaker
from .callers import ASK_PAUSE, LOOK_AHEAD, MOST_ASKS, Callers
from .errors import GateClosedError, NoSlotError, NotNowError
from .gate_item import NEWEST_SHARE, GateItem, lane_name
from .lanes import WINDOW, Lane, Layout, Worker, next_query, plan
from .pausing import Pausing
from .quota import DailyQuota
from .seen_lanes import SeenLanes
from .ticks import Ticks

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.platform import ProviderSettings

    from .breaker import Result
    from .errors import ClosedReason
    from .lanes import Grant, Plan

# Seconds for which the item counts as unchanged after a write has shown it.
FRESH_SECONDS = 0.1

# If another worker's write comes first, the reservation is planned again on the item as it is then.
TRIES = 10

# How much a slower answer raises the time of a quick one. A quicker answer lowers it at once. The first answer counts
# by half.
SLOWER_SHARE = 0.25

# The first guess of what opening a connection takes. If it takes less than the least, the connection was open.
FIRST_READY_SECONDS = 0.1
LEAST_READY_SECONDS = 0.002


class GateStatus(NamedTuple):
    """What is reported of the gate after an invocation.

    Parameters
    ----------
    quota_used : float or None
        Percent of the daily quota that is reserved; None if there is no quota, or this worker has not seen the item
        lately.
    closed_for : str or None
        Why it is closed, if it is closed for all accounts.
    pause : str or None
        The operator's words for a pause, if that is why.
    repaired : tuple of str
        The attributes of its item that were unreadable and were removed since the last report.
    closed_accounts : tuple of (str, str)
        The accounts that it is closed for, with the code that closed each.
    """

    quota_used: float | None
    closed_for: ClosedReason | None
    pause: str | None = None
    repaired: tuple[str, ...] = ()
    closed_accounts: tuple[tuple[str, str], ...] = ()


class _Query(msgspec.Struct, eq=False):
    """A query of this worker in one of its lanes.

    `at` is when it is to leave or has left, in ticks. It is let go at the last look at the clock. From then on it may
    leave at any moment, until it has left.
    """

    at: float
    is_let_go: bool = False
    has_left: bool = False
    is_settled: bool = False

    @classmethod
    def earlier(cls, at: float) -> Self:
        """Return a query that is over."""
        return cls(at, is_let_go=True, has_left=True, is_settled=True)


class _Hold(msgspec.Struct, eq=False):
    """A lane of this worker: the queries that it may still make there, until when, and the lane's text in the item."""

    uses: int
    until: float
    text: str
    queries: list[_Query]


class Slot(msgspec.Struct, eq=False):
    """The permission to make one query.

    Parameters
    ----------
    at : float
        Seconds since the epoch: when the query may leave, by the worker's clock at the moment when it took the slot.
    """

    at: float
    _ticks: float
    _day: int
    _hold: _Hold | None
    _query: _Query
    _is_probe: bool
    _is_bulk: bool = False
    _has_looked: bool = False


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
    reserve_percent : int
        Percent of the daily quota that bulk messages leave to others.
    connections : int
        Queries that this worker can have under way at once.
    longest_post : float
        The most seconds that a query takes.
    is_passing : bool
        Whether this worker makes single queries, and perhaps does not use its lane again.
    clock : Callable[[], float]
        Seconds since the epoch, for what all workers share.
    monotonic : Callable[[], float]
        Seconds on a clock that is never set, for this worker's own queries.
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
        reserve_percent: int = 0,
        connections: int = 1,
        is_passing: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._layout = Layout.of(qps)
        self._quota = quota
        self._connections = connections
        self._is_passing = is_passing
        self._clock = clock
        self._ticks = Ticks(clock, monotonic)
        self._sleep = sleep
        self._name = secrets.token_urlsafe(3)
        self._lock = RLock()
        self._item = GateItem(client, table, clock=clock, ticks=self._ticks)
        self._pausing = Pausing(self._item, clock=clock)
        self._breaker = Breaker(self._item, longest_post=longest_post, clock=clock)
        self._daily = DailyQuota(self._item, quota, reserve_percent, clock)
        self._lanes = SeenLanes(self._item, self._layout.count)
        self._accounts = Accounts(self._item, longest_post=longest_post, clock=clock)
        self._callers = Callers(self._item, clock=clock, ticks=self._ticks)
        self._holds: dict[int, _Hold] = {}
        self._reservations = 0
        # Slots that were taken, and whose queries have not been let go.
        self._out: list[Slot] = []
        self._is_probe_out = False
        # Seconds of a usual answer, of a quick one, and of what has to be done before a query can leave.
        self._post_time = 0.0
        self._quick_time = 0.0
        self._ready_time = FIRST_READY_SECONDS

    @classmethod
    def from_settings(
        cls,
        settings: ProviderSettings,
        client: DynamoDBClient,
        *,
        longest_post: float,
        connections: int = 1,
        is_passing: bool = False,
    ) -> Self:
        """Create the gate of a deployment.

        Parameters
        ----------
        settings : ProviderSettings
            The deployment's settings.
        client, longest_post, connections, is_passing
            As for the class.

        Returns
        -------
        Gate
            The gate.
        """
        return cls(
            client,
            settings.messages_table,
            qps=settings.cube_max_qps,
            quota=settings.cube_daily_quota,
            reserve_percent=settings.cube_quota_reserve_percent,
            longest_post=longest_post,
            connections=connections,
            is_passing=is_passing,
        )

    @property
    def is_off(self) -> bool:
        """Whether there is neither a rate limit nor a daily quota."""
        return not self._layout.count and not self._quota

    @property
    def status(self) -> GateStatus:
        """What is reported of it."""
        used, pause = self._daily.percent, self._pausing.pause
        closed_for: ClosedReason | None = "paused" if pause else self._breaker.closed_for
        if used is not None and used >= 100.0:
            closed_for = closed_for or "quota"
        words = pause.reason if pause else None
        return GateStatus(used, closed_for, words, self._item.take_repaired(), self._accounts.closed)

    def reserve(self, wanted: int, *, latest: float, is_bulk: bool = False) -> int:
        """Reserve slots for the next queries of this worker, and replace its unused ones: one write.

        Parameters
        ----------
        wanted : int
            How many queries it wants to make, at least 1.
        latest : float
            Seconds since the epoch until when they make sense.
        is_bulk : bool
            Whether they have to leave the reserve to others.

        Returns
        -------
        int
            How many it can make, at least 1.

        Raises
        ------
        NoSlotError
            If no slot is free in time.
        GateClosedError, PausedError
            If the gate is closed, or an operator has paused sending.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        if self.is_off:
            self._heed_pause()
            return wanted
        with self._lock:
            if self._breaker.is_probing and self._is_probe_out:
                raise GateClosedError("probing", self._clock() + PROBING_SECONDS)
            self._void()
            for _ in range(TRIES + MOST_ASKS * self._is_passing):
                try:
                    granted = self._try_to_reserve(wanted, latest, is_bulk=is_bulk)
                except NotNowError:
                    self._callers.served()
                    raise
                if granted:
                    self._callers.served()
                    return granted
            raise RecordsUnavailableError(f"other workers changed the gate's item first, {TRIES} times in a row")

    def is_closed_for(self, account: str) -> bool:
        """Return whether it is closed for an account, as far as this worker knows."""
        with self._lock:
            return self._accounts.is_closed(account)

    def check(self, account: str) -> None:
        """Refuse a message while sending is paused or its account is closed, as far as this worker knows.

        Raises
        ------
        PausedError, AccountClosedError
            With the time when to try again.
        """
        if self.is_off or self._pausing.pause:
            self._heed_pause()
        with self._lock:
            self._accounts.check(account)

    def take(self, *, latest: float, account: str | None = None, is_bulk: bool = False) -> Slot | None:
        """Take the next slot, and leave the waiting to `wait`. If none is left, reserve more.

        Parameters
        ----------
        latest : float
            Seconds since the epoch until when it makes sense.
        account : str, optional
            The query's account. If it is given, the gate also has to be open for it.
        is_bulk : bool
            Whether it has to leave the reserve to others.

        Returns
        -------
        Slot or None
            The slot; None if there is no gate.

        Raises
        ------
        NoSlotError
            If no slot is free in time.
        GateClosedError, PausedError
            If the gate was closed, or sending paused, since the reservation.
        AccountClosedError
            If the gate is closed for the account.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        if self.is_off:
            return None
        with self._lock:
            self._pausing.check()
            self._breaker.check()
            slot = self._next_slot() if self._daily.is_for(is_bulk=is_bulk) else None
            if slot is None or slot.at > latest:
                self._void()
                self.reserve(max(1, self._daily.left), latest=latest, is_bulk=is_bulk)
                slot = self._next_slot()
                if slot is None:
                    raise NoSlotError(self._clock() + 1.0)
            self._daily.left -= 1
            self._out.append(slot)
            self._is_probe_out = slot._is_probe
            slot._is_bulk = is_bulk
            if slot._hold:
                slot._hold.uses -= 1
                slot._hold.queries.append(slot._query)
            if account is not None:
                try:
                    self._accounts.admit(account)
                except BaseException:
                    self.give_back(slot)
                    raise
            return slot

    def wait(self, slot: Slot | None, make_ready: Callable[[], None]) -> bool:
        """Wait for a slot's time, and return whether the slot can still be used. If not, take it back.

        All that takes time comes before the last look at the clock. So a query leaves as soon as it is let go.

        Parameters
        ----------
        slot : Slot or None
            The slot; None if there is no gate. If it can be used, its query is let go.
        make_ready : Callable[[], None]
            Prepares what the query needs, if it is not ready. What it raises is passed on.

        Returns
        -------
        bool
            Whether it can be used. A bulk message leaves its slot to a caller of the API that waits for a lane.

        Raises
        ------
        GateClosedError, PausedError
            If the gate was closed, or sending paused, meanwhile.
        """
        if slot is None:
            make_ready()
            self._heed_pause()
            return True
        while True:
            began = self._ticks()
            make_ready()
            with self._lock:
                ticks = self._ticks()
                self._learn_ready(ticks - began)
                try:
                    self._pausing.hold_back()
                    self._breaker.check()
                except NotNowError:
                    self.give_back(slot)
                    raise
                if not self._is_good(slot, self._clock()):
                    self.give_back(slot)
                    return False
                # A thread that is late delays the later ones in its lane.
                pause = max(slot._ticks, self._allowed_at(slot, ticks)) - ticks
                looks_for_callers = slot._is_bulk and slot._hold is not None and not slot._has_looked
                may_look = looks_for_callers or self._pausing.is_unseen(after=max(0.0, pause))
                if pause <= 0 and not may_look:
                    if slot._is_bulk and not slot._is_probe and self._callers.is_waiting:
                        if self._leave_lane(slot, ticks):
                            return False
                        continue
                    slot._query.at, slot._query.is_let_go = ticks, True
                    self._out.remove(slot)
                    return True
            if may_look and pause <= LOOK_AHEAD:
                slot._has_looked = True
                self._look()
            else:
                self._sleep(pause - LOOK_AHEAD if may_look else pause)

    def left(self, slot: Slot | None) -> None:
        """Note that a query has left."""
        if slot is None:
            return
        with self._lock:
            slot._query.at, slot._query.has_left = self._ticks(), True

    def give_back(self, slot: Slot | None) -> None:
        """Take back a slot that was not used."""
        if slot is None:
            return
        with self._lock:
            self._is_probe_out = self._is_probe_out and not slot._is_probe
            if slot in self._out:
                self._out.remove(slot)
            elif not slot._query.is_let_go:
                # A reservation has taken it back already.
                return
            self._daily.give_back(slot._day)
            if slot._hold and slot._query in slot._hold.queries:
                slot._hold.uses += 1
                slot._hold.queries.remove(slot._query)

    def report(self, slot: Slot | None, post: Result, *, account: str | None = None) -> None:
        """Learn from a query's result how long it took, and whether the gate closes for all or for the account.

        Parameters
        ----------
        slot : Slot or None
            Its slot; None if there is no gate. If the query was not let go, the slot is taken back.
        post : Result
            The query's result.
        account : str, optional
            The query's account.
        """
        if slot is None:
            return
        with self._lock:
            if slot._query.is_let_go:
                # If an answer took longer than a quick one, the query may have reached Cube later by the difference.
                slot._query.at = max(slot._query.at, self._ticks() - min(post.latency, self._quick_time))
                slot._query.has_left = slot._query.is_settled = True
                if post.gate != "counts":
                    self._learn(post.latency)
            else:
                self.give_back(slot)
            self._is_probe_out = self._is_probe_out and not slot._is_probe
            self._breaker.report(post, is_probe=slot._is_probe)
            if account is not None:
                self._accounts.report(account, post)

    def _look(self) -> None:
        """Look for what others may have written since this worker's last reservation, if its last look is not new."""
        if not self._callers.is_unseen:
            return
        began_at = self._ticks()
        found = self._item.look()
        with self._lock:
            self._item.learn(found)
            self._callers.looked(found, began_at=began_at)

    def _heed_pause(self) -> None:
        """Refuse while sending is paused, after a look if this worker has not looked lately."""
        if self._pausing.is_unseen():
            self._look()
        with self._lock:
            self._pausing.check()

    def _void(self) -> None:
        """Take back all reserved slots: the next reservation replaces them."""
        for slot in list(self._out):
            self.give_back(slot)
        for hold in self._holds.values():
            hold.uses = 0

    def _learn(self, latency: float) -> None:
        self._post_time += (latency - self._post_time) * (NEWEST_SHARE if self._post_time else 1.0)
        share = SLOWER_SHARE if self._quick_time else 0.5
        self._quick_time = min(latency, self._quick_time + (latency - self._quick_time) * share)

    def _learn_ready(self, seconds: float) -> None:
        if seconds >= LEAST_READY_SECONDS:
            self._ready_time += (seconds - self._ready_time) * NEWEST_SHARE

    def _try_to_reserve(self, wanted: int, latest: float, *, is_bulk: bool) -> int:
        """Return how many queries are reserved; 0 if it is worth another try on the item as it is now."""
        # How far the time of day is ahead of the ticks now. The clock may be set during the write.
        ahead = self._clock() - self._ticks()
        update = ConditionalUpdate()
        self._pausing.begin(update)
        is_probe = self._breaker.begin(update)
        wanted = self._daily.cut(1 if is_probe else wanted, is_bulk=is_bulk)
        grants: list[Grant] = []
        if self._layout.count:
            planned = self._plan(wanted, latest, ahead)
            now = self._ticks() + ahead
            if self._is_passing and not is_probe and self._callers.ask(self._name, planned.starts_at - now):
                self._sleep(ASK_PAUSE)
                return 0
            if not planned.grants:
                raise NoSlotError(self._when(planned.starts_at))
            self._callers.thank(update)
            grants, wanted = planned.grants, planned.uses
        texts = {grant.index: str(Lane(grant.free_at, self._name, self._is_passing)) for grant in grants}
        for index, text in texts.items():
            update.require(update.equal(lane_name(index), self._item.get(lane_name(index))))
            update.set(lane_name(index), text)
        self._daily.count(update, wanted, is_bulk=is_bulk)
        self._accounts.tidy(update)
        # Each reservation writes a mark of its own, so that a worker does not take another's write for its own.
        self._reservations += 1
        mark = f"{self._name} {self._reservations}"
        update.require(update.absent("by"), update.differ("by", mark))
        update.set("by", mark)
        if not self._item.write(update):
            return 0
        self._breaker.begun(is_probe=is_probe)
        self._daily.counted(wanted, is_bulk=is_bulk)
        self._is_probe_out = False
        ends_at = self._daily.ends_at
        for grant in grants:
            held = self._holds.get(grant.index)
            queries = self._latest(held.queries) if held else []
            if not grant.is_own:
                queries += [_Query.earlier(at - ahead) for at in grant.queries]
            self._holds[grant.index] = _Hold(grant.uses, min(grant.until, ends_at), texts[grant.index], queries)
        return wanted

    def _latest(self, queries: list[_Query]) -> list[_Query]:
        """Return the queries that delay the next ones: one that is under way may still turn out to be late."""
        queries = sorted(queries, key=lambda query: query.at)
        older, latest = queries[: -2 * self._layout.uses], queries[-2 * self._layout.uses :]
        return [query for query in older if not query.is_settled] + latest

    def _plan(self, wanted: int, latest: float, ahead: float) -> Plan:
        now = self._ticks() + ahead
        own = {index: hold.text for index, hold in self._holds.items()}
        lanes = self._lanes.look(self._name, own, now)
        queries = {index: [query.at + ahead for query in hold.queries] for index, hold in self._holds.items()}
        delay = self._item.write_time + self._ready_time
        worker = Worker(self._name, queries, self._connections, self._post_time, delay, self._is_passing)
        latest = min(latest, self._daily.latest_slot)
        is_fresh = self._item.age < FRESH_SECONDS
        return plan(self._layout, lanes, worker, wanted, now=now, latest=latest, is_fresh=is_fresh)

    def _when(self, until: float) -> float:
        """Return when a slot that is free from a time on can be used: perhaps only on the next day."""
        return until if until <= self._daily.latest_slot else max(until, self._daily.next_begins_at)

    def _leave_lane(self, slot: Slot, ticks: float) -> bool:
        """Leave a slot's lane to a caller, and return whether the slot is gone with it."""
        (index,) = (index for index, hold in self._holds.items() if hold is slot._hold)
        hold = self._holds[index]
        others = [query for query in hold.queries if query is not slot._query]
        if not all(query.is_settled and query.at + WINDOW <= ticks for query in others):
            # A lane of several queries a second is seldom idle for a second.
            self._callers.passed_by()
            return False
        try:
            is_left = self._callers.leave(index, hold.text)
        except RecordsUnavailableError:
            is_left = True
        if is_left:
            self.give_back(slot)
            del self._holds[index]
        return is_left

    def _next_slot(self) -> Slot | None:
        is_probe = self._breaker.is_probing
        if not (self._breaker.is_open or is_probe):
            # The gate's closing makes earlier reservations void.
            return None
        now, ticks = self._clock(), self._ticks()
        if not self._layout.count:
            is_good = self._daily.left > 0 and now < self._daily.ends_at
            return Slot(now, ticks, self._daily.day, None, _Query(ticks), is_probe) if is_good else None
        candidates = []
        for index, hold in self._holds.items():
            pause = max(0.0, next_query(self._layout, [query.at for query in hold.queries]) - ticks)
            if hold.uses and now + pause <= hold.until:
                # Of the lanes that are ready, the one whose queries have to begin the earliest comes first.
                begin_by = hold.until - WINDOW * ((hold.uses - 1) // self._layout.uses)
                candidates.append((pause, begin_by, index))
        if not candidates:
            return None
        pause, _, index = min(candidates)
        at = ticks + pause
        return Slot(now + pause, at, self._daily.day, self._holds[index], _Query(at), is_probe)

    def _is_good(self, slot: Slot, now: float) -> bool:
        if not (self._breaker.is_open or (slot._is_probe and self._breaker.is_probing)):
            return False
        # A later reservation has taken the slot back, and may have given up its lane.
        if slot not in self._out:
            return False
        return now <= (slot._hold.until if slot._hold else self._daily.ends_at)

    def _allowed_at(self, slot: Slot, ticks: float) -> float:
        if slot._hold is None:
            return ticks
        # A query that was let go and has not left may leave right now.
        others = [
            query.at if query.has_left else ticks
            for query in slot._hold.queries
            if query.is_let_go and query is not slot._query
        ]
        return next_query(self._layout, [*[-inf] * self._layout.uses, *others])
