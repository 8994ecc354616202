"""A model of many workers at one gate, in simulated time: the gate's own code, on clocks that the model moves.

The table is an item in memory that knows conditional updates. Workers differ by their clocks, by the times of
their POSTs and writes, and by their crashes. They also wake late, and stall. The result is the times at which queries
really left.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any

from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from cube_sms.pacing.errors import NotNowError
from cube_sms.pacing.gate import Gate
from cube_sms.platform.errors import RecordsUnavailableError
from cube_sms.provider.base import CubeAnswer
from local import items

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from cube_sms.pacing.gate import Slot
    from cube_sms.provider.base import CubeError
    from local.items import Item

type Pause = Generator[float]

DAY = 86_400.0

# A time far from the end of its day.
NOON = 20_000 * DAY + DAY / 2

LONGEST_POST = 13.0


class ConditionalCheckFailedException(Exception):  # noqa: N818 - botocore's name
    """The item is not as required; it comes along."""

    def __init__(self, item: Item) -> None:
        super().__init__("the conditional request failed")
        self.response = {"Item": item}


class OneItemTable:
    """A DynamoDB table with one item, as far as `cube_sms.platform.items` needs it.

    Parameters
    ----------
    is_away : Callable[[], bool]
        Whether the next write does not reach it.
    is_answer_lost : Callable[[], bool]
        Whether the next write is made, and its answer is lost.
    is_repeated : Callable[[], bool]
        Whether the next write is made twice, and the second one's answer is the one that arrives.
    """

    class exceptions:  # noqa: N801 - as botocore's clients have them
        """The errors."""

        ConditionalCheckFailedException = ConditionalCheckFailedException

    def __init__(
        self,
        *,
        is_away: Callable[[], bool] = lambda: False,
        is_answer_lost: Callable[[], bool] = lambda: False,
        is_repeated: Callable[[], bool] = lambda: False,
    ) -> None:
        self.item: Item = {}
        self.reads = 0
        self.writes = 0
        self.refused = 0
        self.is_readable = True
        self.is_away = is_away
        self.is_answer_lost = is_answer_lost
        self.is_repeated = is_repeated

    def update_item(self, **call: Any) -> dict[str, Any]:
        """Apply an update where its condition holds."""
        self.writes += 1
        if self.is_away():
            raise EndpointConnectionError(endpoint_url="https://dynamodb")
        if self.is_answer_lost():
            self._update(call)
            raise ReadTimeoutError(endpoint_url="https://dynamodb")
        if self.is_repeated():
            self._update(call)
        if not self._update(call):
            self.refused += 1
            raise ConditionalCheckFailedException(dict(self.item))
        return {"Attributes": dict(self.item)}

    def get_item(self, **call: Any) -> dict[str, Any]:
        """Return the item, or some of its attributes."""
        self.reads += 1
        if not self.is_readable:
            raise EndpointConnectionError(endpoint_url="https://dynamodb")
        names = set(call.get("ExpressionAttributeNames", {}).values()) or self.item.keys()
        return {"Item": {name: value for name, value in self.item.items() if name in names}}

    def _update(self, call: dict[str, Any]) -> bool:
        if is_met := items.meets(self.item, call):
            items.apply(self.item, call)
        return is_met


@dataclass
class World:
    """Simulated time, and what happened in it.

    Parameters
    ----------
    now : float
        True time, in seconds since the epoch.
    table : OneItemTable
        The table that all share.
    """

    now: float = NOON
    table: OneItemTable = field(default_factory=OneItemTable)
    # When queries really left, and those of bulk messages once more. Then how long callers of the API waited, and how
    # many got 429.
    sent: list[float] = field(default_factory=list)
    bulk: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    too_many: int = 0
    invocations: int = 0
    workers: int = 0
    _sleepers: list[tuple[float, int, Pause]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to happen, but what is happening now."""
        return not self._sleepers

    def start(self, process: Pause, delay: float = 0.0) -> None:
        """Run a process: a generator that yields how many seconds it pauses."""
        heappush(self._sleepers, (self.now + delay, next(self._numbers), process))

    def run(self, until: float = inf) -> None:
        """Let time pass."""
        while self._sleepers and self._sleepers[0][0] <= until:
            self.now, _, process = heappop(self._sleepers)
            pause = next(process, None)
            if pause is not None:
                self.start(process, pause)


@dataclass
class Queue:
    """Messages to be sent.

    Parameters
    ----------
    waiting : int
        Those that a worker can have now.
    is_bulk : bool
        Whether they are bulk messages.
    unsent : int
        All that have not been sent: those, and those that are in a worker's hands or invisible.
    """

    waiting: int
    is_bulk: bool = False
    unsent: int = field(init=False)
    # When the invisible ones come back, in true time, and how many at a time.
    invisible: Counter[float] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.unsent = self.waiting

    def add(self, messages: int) -> None:
        """Put more messages onto it."""
        self.waiting += messages
        self.unsent += messages

    def pause(self, now: float) -> float:
        """Return for how many seconds there is surely nothing to do."""
        return max(0.05, min(self.invisible) - now) if self.invisible.total() == self.unsent else 0.05


@dataclass
class ModelWorker:
    """One worker.

    Parameters
    ----------
    world : World
        Its world.
    qps, quota : int
        The limits.
    reserve_percent : int
        Percent of the day's queries that bulk messages leave to the others.
    skew : float
        Seconds that its clock is ahead.
    connections : int
        POSTs at the same time.
    is_passing : bool
        Whether it sends single messages.
    dies_at : float
        When it crashes, in true time.
    post_time, write_time : Callable[[], float]
        Seconds that a POST takes once it has left, and a write.
    step : Callable[[], float]
        What its clock shows beyond that, drawn at each of its pauses: it is set now and then.
    opening : Callable[[], float]
        Seconds that it takes to open a connection before a POST; 0 where it is open.
    delay : Callable[[], float]
        Seconds from its last look at the clock to when a POST really leaves.
    transit : Callable[[], float]
        Seconds from then to when it reaches Cube.
    lateness : Callable[[], float]
        Seconds one of its threads wakes too late.
    stall : Callable[[], float]
        Seconds for which all of it stands still, drawn at each of its pauses but those of a query that is let go.
    needs_no_slot, drops_slot : Callable[[], bool]
        Whether a message turns out not to be sent before it has a slot, and when its slot has come.
    answer : Callable[[float], CubeAnswer or CubeError]
        What Cube says to a POST that took so long.
    """

    world: World
    qps: int
    quota: int = 0
    reserve_percent: int = 0
    skew: float = 0.0
    connections: int = 1
    is_passing: bool = False
    dies_at: float = inf
    post_time: Callable[[], float] = lambda: 0.05
    write_time: Callable[[], float] = lambda: 0.0
    step: Callable[[], float] = lambda: 0.0
    opening: Callable[[], float] = lambda: 0.0
    delay: Callable[[], float] = lambda: 0.0
    transit: Callable[[], float] = lambda: 0.0
    lateness: Callable[[], float] = lambda: 0.0
    stall: Callable[[], float] = lambda: 0.0
    needs_no_slot: Callable[[], bool] = lambda: False
    drops_slot: Callable[[], bool] = lambda: False
    answer: Callable[[float], CubeAnswer | CubeError] = lambda latency: CubeAnswer("0000", "success", latency)

    def __post_init__(self) -> None:
        # What its writes take is added to what its clock shows at once, and waited for right after.
        self._writing = 0.0
        self._stepped = 0.0
        # Its queries between the last look at the clock and the moment when they leave.
        self._leaving = 0
        self._in_hand = 0
        self._queue = Queue(0)
        self.gate = Gate(
            _Client(self),  # type: ignore[arg-type]  # as much of one as the gate uses
            "messages",
            qps=self.qps,
            quota=self.quota,
            reserve_percent=self.reserve_percent,
            longest_post=LONGEST_POST,
            connections=self.connections,
            is_passing=self.is_passing,
            clock=self.clock,
            monotonic=self.monotonic,
            sleep=_fall_asleep,
        )
        self.world.workers += 1
        # By chance as well, but the same for each run.
        self.gate._name = f"{self.world.workers * 2654435761 % 2**32:08x}"

    def clock(self) -> float:
        """Show the time, as it sees it."""
        return self.monotonic() + self.skew + self._stepped

    def monotonic(self) -> float:
        """Show a time that is never set."""
        return self.world.now + self._writing

    def wrote(self) -> None:
        """Note that it waits for a write."""
        self._writing += self.write_time()

    def drain(self, *queues: Queue, batch: int, time_left: float = 30.0, gap: float = 0.02) -> Pause:
        """Send batches from queues, the first ones first, until all of their messages are sent, or it crashes."""
        return self._live(self._drain(queues, batch, time_left, gap))

    def call(self, patience: float = 5.0) -> Pause:
        """Send one message."""
        started = self.world.now
        self.world.invocations += 1
        self._queue = queue = Queue(1)
        yield from self._live(self._post(queue, self.clock() + patience))
        self.world.too_many += queue.unsent
        self.world.waits.append(self.world.now - started)

    def _live(self, process: Pause) -> Pause:
        for pause in process:
            seconds = pause + (0.0 if self._leaving else self.stall())
            self._stepped = self.step()
            if self.world.now + seconds >= self.dies_at:
                yield max(0.0, self.dies_at - self.world.now)
                self._queue.waiting += self._in_hand
                return
            yield seconds

    def _drain(self, queues: Sequence[Queue], batch: int, time_left: float, gap: float) -> Pause:
        while unsent := [queue for queue in queues if queue.unsent > 0]:
            queue = next((queue for queue in unsent if queue.waiting), None)
            if queue is None:
                yield min(queue.pause(self.world.now) for queue in unsent)
                continue
            self._queue = queue
            taken = min(batch, queue.waiting)
            queue.waiting -= taken
            self._in_hand += taken
            self.world.invocations += 1
            latest = self.clock() + time_left
            while self._in_hand and self.clock() < latest:
                try:
                    granted = self.gate.reserve(self._in_hand, latest=latest, is_bulk=queue.is_bulk)
                except RecordsUnavailableError:
                    granted = self._in_hand
                except NotNowError as closed:
                    self._put_back(queue, self._in_hand, closed.until - self.clock())
                    break
                yield from self._written()
                yield from self._together((self._post(queue, latest) for _ in range(granted)), self.connections)
            self._put_back(queue, self._in_hand, 0.0)
            yield from self._written()
            yield gap

    def _together(self, turns: Iterable[Pause], at_once: int) -> Pause:
        """Go through messages, with so many at the same time."""
        running: list[tuple[float, int, Pause]] = []
        numbers = count()
        waiting = iter(turns)
        for _, turn in zip(range(at_once), waiting, strict=False):
            heappush(running, (self.world.now, next(numbers), turn))
        while running:
            at, _, turn = heappop(running)
            if at > self.world.now:
                yield at - self.world.now
            pause = next(turn, None)
            if pause is None:
                following = next(waiting, None)
                if following is None:
                    continue
                turn, pause = following, 0.0
            heappush(running, (self.world.now + pause, next(numbers), turn))

    def _post(self, queue: Queue, latest: float) -> Pause:
        if self.needs_no_slot():
            self._sent(queue)
            return
        try:
            slot = yield from self._take(latest, is_bulk=queue.is_bulk)
            while not (yield from self._wait(slot)):
                slot = yield from self._take(latest, is_bulk=queue.is_bulk)
        except NotNowError as closed:
            yield from self._written()
            self._put_back(queue, 1, closed.until - self.clock())
            return
        except RecordsUnavailableError:
            yield from self._written()
            self._put_back(queue, 1, 1.0)
            return
        if self.drops_slot() or self.clock() > latest:
            self.gate.give_back(slot)
            self._sent(queue)
            return
        yield from self._leave(slot, partial(self._gone, queue))

    def _take(self, latest: float, *, is_bulk: bool) -> Generator[float, None, Slot | None]:
        while True:
            try:
                slot = self.gate.take(latest=latest, is_bulk=is_bulk)
            except _AsleepError as asleep:
                yield from self._written()
                yield asleep.seconds + self.lateness()
            else:
                yield from self._written()
                return slot

    def _wait(self, slot: Slot | None) -> Generator[float, None, bool]:
        opening = self.opening()

        def open_connection() -> None:
            nonlocal opening
            if opening:
                seconds, opening = opening, 0.0
                raise _OpeningError(seconds)

        while True:
            try:
                is_usable = self.gate.wait(slot, open_connection)
            except _OpeningError as busy:
                yield busy.seconds
                self.gate._learn_ready(busy.seconds)
            except _AsleepError as asleep:
                yield from self._written()
                yield asleep.seconds + self.lateness()
            else:
                # What was read and written before it was let go has taken its time.
                self._leaving += 1
                yield from self._written()
                self._leaving -= 1
                return is_usable

    def _leave(self, slot: Slot | None, gone: Callable[[], None] = lambda: None) -> Pause:
        self._leaving += 1
        yield self.delay()
        self._leaving -= 1
        started = self.world.now
        self.gate.left(slot)
        if transit := self.transit():
            yield transit
        self.world.sent.append(self.world.now)
        gone()
        yield self.post_time()
        self.gate.report(slot, self.answer(self.world.now - started))
        yield from self._written()

    def _written(self) -> Pause:
        if self._writing:
            pause, self._writing = self._writing, 0.0
            yield pause

    def _gone(self, queue: Queue) -> None:
        if queue.is_bulk:
            self.world.bulk.append(self.world.now)
        self._sent(queue)

    def _sent(self, queue: Queue) -> None:
        queue.unsent -= 1
        self._in_hand -= 1

    def _put_back(self, queue: Queue, messages: int, delay: float) -> None:
        delay = max(0.001, delay)
        back_at = self.world.now + delay

        def show() -> Pause:
            yield delay
            queue.waiting += messages
            queue.invisible[back_at] -= messages
            if not queue.invisible[back_at]:
                del queue.invisible[back_at]

        if messages:
            self._in_hand -= messages
            queue.invisible[back_at] += messages
            self.world.start(show())


class _PauseError(Exception):
    """The gate takes a while: in the model, it is called again after that."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class _AsleepError(_PauseError):
    """It sleeps."""


class _OpeningError(_PauseError):
    """It waits for a connection."""


def _fall_asleep(seconds: float) -> None:
    raise _AsleepError(max(seconds, 1e-6))


class _Client:
    """One worker's way to the table."""

    def __init__(self, worker: ModelWorker) -> None:
        self._worker = worker
        self.exceptions = OneItemTable.exceptions

    def update_item(self, **call: Any) -> dict[str, Any]:
        try:
            return self._worker.world.table.update_item(**call)
        finally:
            self._worker.wrote()

    def get_item(self, **call: Any) -> dict[str, Any]:
        try:
            return self._worker.world.table.get_item(**call)
        finally:
            self._worker.wrote()


def busiest_window(times: Iterable[float], seconds: float = 1.0) -> int:
    """Return the most events in any window; two that are exactly that far apart do not share one."""
    times = sorted(times)
    first = most = 0
    for last, time in enumerate(times):
        while time - times[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
