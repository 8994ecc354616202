"""How far one gate reaches, in simulated time. The cases are a day over its quota, and many workers."""

from __future__ import annotations

import math
import random
import sys
from typing import TYPE_CHECKING

from benchmarks.report import ROOT, Section, columns, table

sys.path.append(str(ROOT / "layers" / "cube"))

from cube_sms.pacing.errors import NotNowError
from local.gate_model import DAY, NOON, ModelWorker, Queue, World, busiest_window

if TYPE_CHECKING:
    from local.gate_model import Pause

# Bytes that make one write unit, and the units a second that one item can take.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
UNIT = 1024
MOST_UNITS = 1000

HEADER = (
    "limit", "workers x connections", "queries a write", "rate /s", "/ limit", "writes /s", "refused", "item",
    "units /s",
)  # fmt: skip
PAGE_HEADER = ("limit", "workers x connections", "queries a write", "/ limit", "units /s")

# A limit, workers, the connections of each, and the queries of one reservation.
_SCALES = (
    *((1000, 1000, 1, batch) for batch in (1, 10, 50, 100)),
    *((1000, workers, 10, batch) for workers in (100, 20) for batch in (10, 50)),
    (200, 31, 1, 10),
    (200, 5, 6, 10),
)


def measure(quick: bool) -> Section:
    """Return the table of workers that always have messages, and the results of a day."""
    rows = [_many_workers(*scale) for scale in (_SCALES[-2:] if quick else _SCALES)]
    blocks = {"gate-reach": columns(HEADER, rows, PAGE_HEADER), "gate-day": _a_day()}
    print("\n\n".join(blocks.values()))
    return Section(blocks=blocks, more_tables={"How far one gate reaches": table(HEADER, rows)})


def _a_day(quota: int = 5000, backlog: int = 1_000_000) -> str:
    """Return what two workers make of a backlog in two days."""
    world = World(now=math.floor(NOON / DAY) * DAY + 1.0)
    queue = Queue(backlog)
    for _ in range(2):
        world.start(ModelWorker(world, 10, quota).drain(queue, batch=10))
    began = world.now
    world.run(began + 2 * DAY - 10.0)
    first, second = ([at for at in world.sent if at // DAY == began // DAY + day] for day in range(2))
    assert len(first) == len(second) == quota
    assert busiest_window(world.sent) <= 10
    lasting = first[-1] - first[0]
    return (
        f"Of a backlog of a million messages, the quota of {quota:,} leaves within {lasting / 60:.1f} minutes after "
        f"midnight, at {len(first) / lasting:.1f} a second. Two days cost {world.table.writes:,} writes."
    )


def _many_workers(qps: int, workers: int, connections: int, batch: int, seconds: float = 20.0) -> tuple[str, ...]:
    """Return what workers that always have messages make of the limit, after ten seconds to settle."""
    world = World()
    draw = random.Random(1)
    for _ in range(workers):
        worker = ModelWorker(
            world,
            qps,
            skew=draw.uniform(-0.1, 0.1),
            connections=connections,
            post_time=lambda: 0.1 * draw.uniform(1.0, 1.1),
        )
        world.start(_work(worker, batch), draw.uniform(0, 2))
    world.run(NOON + 10.0)
    writes, refused = world.table.writes, world.table.refused
    world.run(NOON + 10.0 + seconds)
    rate = sum(at >= NOON + 10.0 for at in world.sent) / seconds
    assert busiest_window(world.sent) <= qps
    writes, refused = world.table.writes - writes, world.table.refused - refused
    size = sum(len(name) + len(next(iter(value.values()))) for name, value in world.table.item.items())
    units = math.ceil(size / UNIT) * writes / seconds
    return (
        f"{qps:,}",
        f"{workers:,} x {connections}",
        f"{batch}",
        f"{rate:,.0f}",
        f"{rate / qps:.2f}",
        f"{writes / seconds:,.0f}",
        f"{refused / writes:.0%}",
        f"{size / UNIT:.1f} kB",
        f"{units:,.0f}{' (too many)' if units > MOST_UNITS else ''}",
    )


def _work(worker: ModelWorker, batch: int) -> Pause:
    while True:
        try:
            yield from worker.drain(Queue(batch), batch=batch, time_left=60.0)
        except NotNowError as closed:
            yield max(0.01, closed.until - worker.clock())
