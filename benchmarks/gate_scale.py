"""How far one gate reaches: a day with more messages than its quota, and a thousand workers. In simulated time.

Prints the tables of docs/pacing.md. Usage: ``python -m benchmarks.gate_scale``.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.gate_model import NOON, ModelWorker, Queue, World, busiest_window
from cube_sms.pacing.errors import NotNowError
from cube_sms.platform.errors import RecordsUnavailableError

if TYPE_CHECKING:
    from benchmarks.gate_model import Pause

DAY = 86_400.0
POST_TIME = 0.1
HEADER = ("workers x connections", "queries a write", "rate /s", "/ limit", "writes /s", "refused", "item", "units /s")

# Bytes that make one write unit, and the units a second that one item can take.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
UNIT = 1024
MOST_UNITS = 1000


class Scale(NamedTuple):
    """Workers at a gate of 1,000 queries a second.

    Parameters
    ----------
    workers, connections : int
        How many, and what each has under way at once.
    batch : int
        Queries of one reservation.
    """

    workers: int
    connections: int
    batch: int


def a_day(quota: int = 5000, backlog: int = 1_000_000) -> None:
    """Print what two workers make of a backlog in two days."""
    world = World(now=math.floor(NOON / DAY) * DAY + 1.0)
    queue = Queue(backlog)
    for _ in range(2):
        world.start(ModelWorker(world, 10, quota).drain(queue, batch=10))
    began = world.now
    world.run(began + 2 * DAY - 10.0)
    days = [[at - began for at in world.sent if at // DAY == (began + day * DAY) // DAY] for day in range(2)]
    for day, times in enumerate(days, 1):
        minutes = (times[-1] - times[0]) / 60
        print(f"day {day}: {len(times):,} sent within {minutes:.1f} minutes, busiest second {busiest_window(times)}")
    print(f"writes of the gate: {world.table.writes:,}; {backlog / quota:.0f} days for all")


def many_workers(scale: Scale, seconds: float = 20.0) -> tuple[str, ...]:
    """Return what workers that always have messages make of the limit, after ten seconds to settle."""
    world = World()
    draw = random.Random(1)
    for _ in range(scale.workers):
        worker = ModelWorker(
            world,
            1000,
            skew=draw.uniform(-0.1, 0.1),
            connections=scale.connections,
            post_time=lambda: POST_TIME * draw.uniform(1.0, 1.1),
        )
        world.start(_work(worker, scale.batch), draw.uniform(0, 2))
    world.run(NOON + 10.0)
    writes, refused = world.table.writes, world.table.refused
    world.run(NOON + 10.0 + seconds)
    rate = sum(at >= NOON + 10.0 for at in world.sent) / seconds
    assert busiest_window(world.sent) <= 1000
    writes, refused = world.table.writes - writes, world.table.refused - refused
    size = sum(len(name) + len(next(iter(value.values()))) for name, value in world.table.item.items())
    units = math.ceil(size / UNIT) * writes / seconds
    return (
        f"{scale.workers:,} x {scale.connections}",
        f"{scale.batch}",
        f"{rate:,.0f}",
        f"{rate / 1000:.2f}",
        f"{writes / seconds:,.0f}",
        f"{refused / writes:.0%}",
        f"{size / UNIT:.1f} kB",
        f"{units:,.0f}{' (too many)' if units > MOST_UNITS else ''}",
    )


def _work(worker: ModelWorker, batch: int) -> Pause:
    while True:
        try:
            yield from worker.drain(Queue(batch), batch=batch, time_left=60.0)
        except RecordsUnavailableError:
            yield 1.0
        except NotNowError as closed:
            yield max(0.01, closed.until - worker.clock())


def main() -> None:
    """Print both tables."""
    a_day()
    print()
    print(f"| {' | '.join(HEADER)} |")
    print("| " + " | ".join("---" for _ in HEADER) + " |")
    for workers, connections, batches in ((1000, 1, (1, 10, 50, 100)), (100, 10, (10, 50)), (20, 10, (10, 50))):
        for batch in batches:
            print(f"| {' | '.join(many_workers(Scale(workers, connections, batch)))} |", flush=True)


if __name__ == "__main__":
    main()
