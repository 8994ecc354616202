"""How long a batch takes, by the number of messages that are sent at the same time."""

from __future__ import annotations

import math
from contextlib import ExitStack

from benchmarks.functions import ASYNC, NAIVE, OURS
from benchmarks.processes import Worker
from benchmarks.report import Row, Section, Spread, table, verdict
from benchmarks.server import Server
from benchmarks.warm import DELAY

TITLE = "Concurrency"
SIZE = 100

# The most times the ideal, by QUEUE_SEND_CONCURRENCY.
TARGETS = {1: 1.3, 3: 1.3, 10: 1.3, 32: 1.6}

_ROUNDS = {1: 3, 3: 5, 10: 7, 32: 9}
_PEER_ROUNDS = 2

_METHOD = f"""
Time of a warm invocation with a batch of {SIZE}, where Cube answers after {DELAY * 1000:g} ms, against the time spent
waiting for Cube alone if `QUEUE_SEND_CONCURRENCY` messages wait at a time. The peers have no such setting: naive sends
one message after the other, async all at the same time.
"""


def measure(*, quick: bool = False) -> Section:
    """Return how long a batch takes."""
    with Server() as server, ExitStack() as stack:
        workers = {
            count: stack.enter_context(
                Worker(OURS, server, delay=DELAY, variables={"QUEUE_SEND_CONCURRENCY": str(count)})
            )
            for count in TARGETS
        }
        ours = {count: _walls(worker, 1 if quick else _ROUNDS[count]) for count, worker in workers.items()}
        peers = {}
        for subject in () if quick else (NAIVE, ASYNC):
            with Worker(subject, server, delay=DELAY) as worker:
                peers[subject.name] = _walls(worker, _PEER_ROUNDS)
    listed = [(name, Spread.of(walls).text()) for name, walls in peers.items()]
    details = [f"Milliseconds of the peers with the same batch:\n\n{table(('peer', 'ms'), listed)}"] if listed else []
    rows = [_row(count, walls) for count, walls in ours.items()]
    return Section(TITLE, _METHOD, rows, details, series={"concurrency": _medians(ours, peers)})


def _medians(ours: dict[int, list[float]], peers: dict[str, list[float]]) -> dict[str, list[float]]:
    return {
        "x": [float(count) for count in ours],
        OURS.name: [Spread.of(walls).median for walls in ours.values()],
        "ideal": [_ideal(count) for count in ours],
        **{name: [Spread.of(walls).median] * len(ours) for name, walls in peers.items()},
    }


def _ideal(count: int) -> float:
    return math.ceil(SIZE / count) * DELAY * 1e3


def _walls(worker: Worker, rounds: int) -> list[float]:
    worker.do("handle", 10)
    return [worker.do("handle", SIZE)["wall"] * 1e3 for _ in range(rounds)]


def _row(count: int, walls: list[float]) -> Row:
    ideal = _ideal(count)
    ratio = Spread.of([wall / ideal for wall in walls])
    return Row(
        f"a batch of {SIZE} by {count} at a time / waiting for Cube, wall time",
        Spread.of(walls).text("ms"),
        f"{ideal:,.0f} ms",
        ratio.text(),
        f"<= {TARGETS[count]:g}",
        verdict(ratio.median, TARGETS[count]),
    )
