"""The gate in front of Cube: one item in DynamoDB that keeps all workers together within the provider's limits.

The item holds the lanes (`lanes`), the day's count (`quota`), and until when the gate is closed (`breaker`), for all or
for one account (`accounts`). A worker reserves what a whole batch needs with one conditional write, planned on the item
as it last saw it; where that is outdated, the write is refused and brings the item with it. Nothing is read.
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

    from .breaker import Result
    from .errors import ClosedReason
    from .lanes import Grant, Plan

# Seconds for which what a write has brought is taken for the present.
FRESH_SECONDS = 0.1

# A reservation that others forestall is planned again on what they left.
TRIES = 10

# The share of a slower answer in what a quick one takes, which a quicker one brings down at once. The first of all is
# believed by half.
SLOWER_SHARE = 0.25

# What it is expected to take to open a connection, at first; and what is less than that was open.
FIRST_READY_SECONDS = 0.1
LEAST_READY_SECONDS = 0.002


class GateStatus(NamedTuple):
    """What there is to tell of the gate after an invocation.

    Parameters
    ----------
    quota_used : float or None
        Percent of the day's quota that is reserved; None where there is no quota, or nothing was reserved lately.
    closed_for : str or None
        Why it is closed, where it is closed for everybody.
    pause : str or None
        The operator's words for a pause, if that is why.
    repaired : tuple of str
        The attributes of its item that could not be read, and were removed, since this was last asked.
    closed_accounts : tuple of (str, str)
        The accounts that it is closed for, and the code that each was closed for.
    """

    quota_used: float | None
    closed_for: ClosedReason | None
    pause: str | None = None
    repaired: tuple[str, ...] = ()
    closed_accounts: tuple[tuple[str, str], ...] = ()


class _Query(msgspec.Struct, eq=False):
    """A query of this worker in one of its lanes.

    `at` says when it is to leave or has left, in ticks. Between the last look at the clock, when it is let go, and the
    moment when it has left, it may leave at any time.
    """

    at: float
    is_let_go: bool = False
    has_left: bool = False
    is_settled: bool = False

    @classmethod
    def earlier(cls, at: float) -> Self:
        """Return one that is over."""
        return cls(at, is_let_go=True, has_left=True, is_settled=True)


class _Hold(msgspec.Struct, eq=False):
    """A lane that is this worker's: what it may still do there, until when, and how the item says so."""

    uses: int
    until: float
    text: str
    queries: list[_Query]


class Slot(msgspec.Struct, eq=False):
    """Leave to make one query.

    Parameters
    ----------
    at : float
        Seconds since the epoch from when on it may be made, by the worker's clock of the moment when it was taken.
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
        Percent of the day's queries that bulk messages leave to the others.
    connections : int
        Queries that this worker can have under way at once.
    longest_post : float
        The most seconds a query takes.
    is_passing : bool
        Whether this worker makes single queries, and others need not expect it back.
    clock : Callable[[], float]
        Seconds since the epoch, for what is agreed upon with others.
    monotonic : Callable[[], float]
        Seconds on a clock that nobody sets, for this worker's own queries.
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
        # Slots that were taken, and whose queries have not left.
        self._out: list[Slot] = []
        self._is_probe_out = False
        # What a query usually takes, a quick answer, and what has to be done before a query can leave, in seconds.
        self._post_time = 0.0
        self._quick_time = 0.0
        self._ready_time = FIRST_READY_SECONDS

    @property
    def is_off(self) -> bool:
        """Whether there is no limit to keep."""
        return not self._layout.count and not self._quota

    @property
    def status(self) -> GateStatus:
        """What there is to tell of it."""
        used, pause = self._daily.percent, self._pausing.pause
        closed_for: ClosedReason | None = "paused" if pause else self._breaker.closed_for
        if used is not None and used >= 100.0:
            closed_for = closed_for or "quota"
        words = pause.reason if pause else None
        return GateStatus(used, closed_for, words, self._item.take_repaired(), self._accounts.closed)

    def reserve(self, wanted: int, *, latest: float, is_bulk: bool = False) -> int:
        """Reserve slots for the next queries of this worker, in place of those it has left: one write.

        Parameters
        ----------
        wanted : int
            How many queries it wants to make, at least 1.
        latest : float
            Seconds since the epoch until when they make sense.
        is_bulk : bool
            Whether they are to leave the reserve of the day's quota to others.

        Returns
        -------
        int
            How many it can make, at least 1.

        Raises
        ------
        NoSlotError
            Where it can make none in time.
        GateClosedError, PausedError
            Where it may make none.
        RecordsUnavailableError
            Where DynamoDB is away.
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
            raise RecordsUnavailableError(f"the gate was contended for, {TRIES} times in a row")

    def is_closed_for(self, account: str) -> bool:
        """Return whether it is closed for an account, as far as this worker knows."""
        with self._lock:
            return self._accounts.is_closed(account)

    def check(self, account: str) -> None:
        """Refuse a message while all sending is paused, or its account is closed, as far as this worker knows.

        Raises
        ------
        PausedError, AccountClosedError
            With until when.
        """
        if self.is_off or self._pausing.pause:
            self._heed_pause()
        with self._lock:
            self._accounts.check(account)

    def take(self, *, latest: float, account: str | None = None, is_bulk: bool = False) -> Slot | None:
        """Take the next slot, waiting for none; reserve one more where none is left.

        Parameters
        ----------
        latest : float
            Seconds since the epoch until when it makes sense.
        account : str, optional
            Whose query it is for, where that is to be let go or refused.
        is_bulk : bool
            Whether it is to leave the reserve of the day's quota to others.

        Returns
        -------
        Slot or None
            The slot; None where there is no gate.

        Raises
        ------
        NoSlotError
            Where there is none in time.
        GateClosedError, PausedError
            Where the gate has been closed meanwhile.
        AccountClosedError
            If it is closed for the account.
        RecordsUnavailableError
            Where DynamoDB is away.
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
        """Wait until a slot's time has come, and return whether it can still be used. One that cannot is taken back.

        Whatever takes a while comes before the last look at the clock: a query that is let go leaves at once.

        Parameters
        ----------
        slot : Slot or None
            The slot; None where there is no gate. Where it can be used, its query is let go.
        make_ready : Callable[[], None]
            Makes ready what the query needs, and does nothing where it is ready. What it raises is passed on.

        Returns
        -------
        bool
            Whether it can be used. A bulk message's slot is left to a caller of the API that waits for one.

        Raises
        ------
        GateClosedError, PausedError
            Where the gate has been closed meanwhile.
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
                # A thread that comes late has pushed back those that come after it in the lane.
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
        """Learn from a query: how long it took, and whether Cube or the account is to be left alone for a while.

        Parameters
        ----------
        slot : Slot or None
            Its slot; None where there is no gate. It is taken back if the query was never let go.
        post : Result
            What it came to.
        account : str, optional
            Whose it was.
        """
        if slot is None:
            return
        with self._lock:
            if slot._query.is_let_go:
                # What an answer took longer than a quick one, the query may have been held up on its way.
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
        """Look for what others may have written since this worker's last reservation, unless it has just looked."""
        if not self._callers.is_unseen:
            return
        began_at = self._ticks()
        found = self._item.look()
        with self._lock:
            self._item.learn(found)
            self._callers.looked(found, began_at=began_at)

    def _heed_pause(self) -> None:
        """Refuse while all sending is paused, after a look if this worker has not looked lately."""
        if self._pausing.is_unseen():
            self._look()
        with self._lock:
            self._pausing.check()

    def _void(self) -> None:
        """Take back whatever is reserved: a reservation takes the place of all."""
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
        """Return how many queries have been reserved; none where the item was not as this worker remembered it."""
        # By how much the time of day is ahead of the ticks, now. It may be set while the write is on its way.
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
        # No two reservations write the same, and so nobody takes another's for its own.
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
        """Return those that the next ones have to keep away from; one that is under way may yet turn out to be late."""
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
        """Return from when on a slot may be free that is free from some time on."""
        return until if until <= self._daily.latest_slot else max(until, self._daily.next_begins_at)

    def _leave_lane(self, slot: Slot, ticks: float) -> bool:
        """Leave a slot's lane to a caller, and return whether the slot is gone with it."""
        (index,) = (index for index, hold in self._holds.items() if hold is slot._hold)
        hold = self._holds[index]
        others = [query for query in hold.queries if query is not slot._query]
        if not all(query.is_settled and query.at + WINDOW <= ticks for query in others):
            # A lane of several queries a second is seldom idle.
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
            # What was reserved before the gate was closed is not to be used after it.
            return None
        now, ticks = self._clock(), self._ticks()
        if not self._layout.count:
            is_good = self._daily.left > 0 and now < self._daily.ends_at
            return Slot(now, ticks, self._daily.day, None, _Query(ticks), is_probe) if is_good else None
        candidates = []
        for index, hold in self._holds.items():
            pause = max(0.0, next_query(self._layout, [query.at for query in hold.queries]) - ticks)
            if hold.uses and now + pause <= hold.until:
                # Of those that are ready, the one that has to be begun with the earliest.
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
        # A reservation that came later has taken it back, and perhaps given up its lane.
        if slot not in self._out:
            return False
        return now <= (slot._hold.until if slot._hold else self._daily.ends_at)

    def _allowed_at(self, slot: Slot, ticks: float) -> float:
        if slot._hold is None:
            return ticks
        # One that was let go and has not left may leave right now.
        others = [
            query.at if query.has_left else ticks
            for query in slot._hold.queries
            if query.is_let_go and query is not slot._query
        ]
        return next_query(self._layout, [*[-inf] * self._layout.uses, *others])
