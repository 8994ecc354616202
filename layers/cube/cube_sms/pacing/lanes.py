"""Lanes: the provider's limit of queries a second, divided into shares that one worker holds at a time.

A lane allows a few queries in any one second, and all lanes together allow as many as the provider does. A worker
spaces the queries in its lane by its own clock, from the moments when they really left. So a wrong clock or a delayed
worker cannot bring two of them closer together. Clocks matter only if a lane passes from one worker to another: the
handover has extra time for that. Under load each worker keeps its lanes, and the whole limit is used.

This module only decides. The other modules of the package keep the state in DynamoDB, and wait.
"""

from __future__ import annotations

import math
from collections import Counter
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, NamedTuple, Self
from zlib import crc32

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

# The provider's second, and 10 ms by which two requests may differ in their time on the way.
WINDOW = 1.01

# The handover between two workers' queries in one lane, in addition to the second. Their clocks differ by up to 200 ms,
# and 50 ms may pass between a worker's look at the clock and its request.
HANDOVER = 0.25

# The least seconds that a worker may be late and still keep a lane. They are idle if the lane then gets another owner.
MIN_SLACK = 0.1

# An item with this many lanes is smaller than 1 kB, the unit of a write: a unit test measures it. Limits above 200 a
# second have more lanes. Otherwise a lane would allow more queries than a worker makes before it passes on.
MAX_LANES = 40
MAX_USES = 5

# A lane counts as free after these seconds without an owner, for a worker that has not looked just now.
UNSEEN_SECONDS = 3.0


class Layout(msgspec.Struct, frozen=True):
    """How a limit is divided.

    Parameters
    ----------
    count : int
        Lanes.
    uses : int
        Queries that each allows in any one second.
    """

    count: int
    uses: int

    @classmethod
    def of(cls, limit: int) -> Self:
        """Divide a limit into between half and all of the lanes that are useful, so that the least is wasted.

        Parameters
        ----------
        limit : int
            Queries a second; 0 for none.

        Returns
        -------
        Layout
            The lanes; none for no limit.

        Examples
        --------
        >>> Layout.of(10), Layout.of(200), Layout.of(0)
        (Layout(count=10, uses=1), Layout(count=40, uses=5), Layout(count=0, uses=0))
        """
        if not limit:
            return cls(0, 0)
        most = min(limit, max(MAX_LANES, limit // MAX_USES))
        count = max(range(max(1, most // 2), most + 1), key=lambda count: (count * (limit // count), count))
        return cls(count, limit // count)


class Lane(NamedTuple):
    """A lane, as all workers see it.

    Parameters
    ----------
    free_at : float
        Seconds since the epoch: when another worker may have it, on the clock of its owner.
    owner : str
        The worker that had it last.
    is_passing : bool
        Whether that worker took it for a single message, and perhaps does not use it again.
    """

    free_at: float = 0.0
    owner: str = ""
    is_passing: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote.

        Examples
        --------
        >>> Lane.parse("1769212800.50 4f1a~")
        Lane(free_at=1769212800.5, owner='4f1a', is_passing=True)
        """
        free_at, _, owner = text.partition(" ")
        return cls(float(free_at), owner.removesuffix("~"), owner.endswith("~"))

    def __str__(self) -> str:
        return f"{math.ceil(self.free_at * 100) / 100:.2f} {self.owner}{'~' * self.is_passing}"


class Grant(msgspec.Struct, frozen=True):
    """A lane that a worker gets.

    Parameters
    ----------
    index : int
        Which lane.
    uses : int
        Queries that the worker may make there.
    until : float
        Seconds since the epoch until when it may make them.
    queries : list of float
        When the lane's last queries were made that count for this worker, in seconds since the epoch.
    is_own : bool
        Whether the worker had it before.
    """

    index: int
    uses: int
    until: float
    queries: list[float]
    is_own: bool

    @property
    def free_at(self) -> float:
        """When another worker may have the lane."""
        return self.until + WINDOW


class Plan(NamedTuple):
    """What a worker can have.

    Parameters
    ----------
    grants : list of Grant
        Its lanes.
    starts_at : float
        Seconds since the epoch of its first query. If it can make none in time, of the first that it could have made.
    """

    grants: list[Grant]
    starts_at: float

    @property
    def uses(self) -> int:
        """How many queries it can make."""
        return sum(grant.uses for grant in self.grants)


class Worker(NamedTuple):
    """The worker that asks for lanes.

    Parameters
    ----------
    name : str
        Which worker.
    queries : Mapping[int, Sequence[float]]
        When it made its last queries in the lanes that it had, in seconds since the epoch.
    connections : int
        Queries that it can have under way at once.
    post_time : float
        Seconds that one of them takes.
    delay : float
        Seconds until it can begin.
    is_passing : bool
        Whether it makes a single query. Then it tries a lane that may have been taken, rather than wait for another.
    """

    name: str
    queries: Mapping[int, Sequence[float]]
    connections: int = 1
    post_time: float = 0.0
    delay: float = 0.0
    is_passing: bool = False


def plan(
    layout: Layout, lanes: Sequence[Lane], worker: Worker, wanted: int, *, now: float, latest: float, is_fresh: bool
) -> Plan:
    """Choose lanes for a worker, and until when it needs each.

    Parameters
    ----------
    layout : Layout
        The division of the limit.
    lanes : sequence of Lane
        Every lane.
    worker : Worker
        The worker that asks.
    wanted : int
        Queries that it wants to make, at least 1.
    now, latest : float
        Seconds since the epoch: on its clock, and until when a query still makes sense.
    is_fresh : bool
        Whether the lanes are known to be like this now. Otherwise another worker may have taken them since.

    Returns
    -------
    Plan
        As many of the queries as there is time for.
    """
    before = {index: _queries(layout, index, lane, worker) for index, lane in enumerate(lanes)}
    starts = {index: max(now, next_query(layout, queries)) for index, queries in before.items()}
    idle = {
        index
        for index, lane in enumerate(lanes)
        if starts[index] <= now and (is_fresh or worker.is_passing or now - lane.free_at > UNSEEN_SECONDS)
    }
    chosen = _choose(layout, lanes, worker, wanted, before, starts, idle, now)
    heap = [(starts[index], order, index) for order, index in enumerate(chosen)]
    heapify(heap)
    planned: dict[int, list[float]] = {}
    times: list[float] = []
    for turn in range(wanted):
        start, order, index = heap[0]
        # A busy connection delays the next query as well.
        time = max(start, times[turn - worker.connections] + worker.post_time) if turn >= worker.connections else start
        if time > latest:
            break
        heappop(heap)
        times.append(time)
        planned.setdefault(index, []).append(time)
        heappush(heap, (max(now, next_query(layout, [*before[index], *planned[index]])), order, index))
    slack = max(MIN_SLACK, worker.post_time) + worker.delay
    grants = [
        Grant(index, len(mine), mine[-1] + slack, before[index], lanes[index].owner == worker.name)
        for index, mine in planned.items()
    ]
    return Plan(grants, times[0] if times else heap[0][0])


def next_query(layout: Layout, queries: Sequence[float]) -> float:
    """Return from when on a lane allows the next query.

    Parameters
    ----------
    layout : Layout
        The division of the limit.
    queries : sequence of float
        When the last ones were made, in seconds since the epoch: at least as many as a lane allows in a second.

    Returns
    -------
    float
        Seconds since the epoch.

    Examples
    --------
    >>> next_query(Layout(count=1, uses=2), [100.0, 100.5])
    101.01
    """
    return sorted(queries)[-layout.uses] + WINDOW


def _queries(layout: Layout, index: int, lane: Lane, worker: Worker) -> list[float]:
    """Return when a lane's last queries were made, as far as they count for this worker."""
    own = worker.queries.get(index, ())
    # Another worker's lane is free later than this worker's own queries there require, unless the item was lost since.
    others = -math.inf if lane.owner == worker.name else lane.free_at + HANDOVER - WINDOW
    return sorted([*[others] * layout.uses, *own])[-layout.uses :]


def _choose(
    layout: Layout,
    lanes: Sequence[Lane],
    worker: Worker,
    wanted: int,
    before: Mapping[int, Sequence[float]],
    starts: Mapping[int, float],
    idle: Set[int],
    now: float,
) -> list[int]:
    """Return the lanes to use: as many as the worker's connections can. It takes others' busy ones up to its share."""
    useful = wanted
    if worker.post_time:
        useful = min(wanted, math.ceil(worker.connections / worker.post_time * WINDOW))
    own = {index for index, lane in enumerate(lanes) if lane.owner == worker.name}
    others = set(range(layout.count)) - own
    passing = {index for index in others - idle if lanes[index].is_passing}
    busy = others - idle - passing
    # Its own lanes come first, if they are ready in time.
    mine = sorted(own, key=starts.__getitem__)
    step = worker.post_time / worker.connections
    ready = [index for turn, index in enumerate(mine) if starts[index] <= now + turn * step + MIN_SLACK]
    # Workers that start together begin with different lanes. Otherwise all would write to the same one.
    first = crc32(worker.name.encode()) % layout.count
    ready += sorted(idle - own, key=lambda index: (index - first) % layout.count)
    ready += [index for index in mine if index not in ready]
    chosen, uses = [], 0
    for index in [*ready, *sorted(passing, key=starts.__getitem__)]:
        if uses >= useful:
            break
        chosen.append(index)
        # A lane that is in use counts for what it allows at its next query.
        uses += sum(query + WINDOW <= starts[index] for query in sorted(before[index])[-layout.uses :])

    # A worker with more than its share gives up lanes to workers with less.
    held = Counter(lanes[index].owner for index in busy)
    share = max(1, layout.count // (len(held) + 1))
    while busy and uses < useful and len(chosen) < share:
        index = min(busy, key=lambda index: (-held[lanes[index].owner], starts[index]))
        owner = lanes[index].owner
        if held[owner] <= share and chosen:
            break
        held[owner] -= 1
        busy.remove(index)
        chosen.append(index)
        uses += layout.uses
    return chosen
