"""A message of a warm function: what it costs in CPU, by the size of its batch, beside the peers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.functions import ASYNC, BARE, FLOOR, NAIVE, OURS, UNTRACED
from benchmarks.processes import Worker
from benchmarks.report import Row, Section, Spread, compare, table
from benchmarks.server import AWS_SECONDS, Server

if TYPE_CHECKING:
    from collections.abc import Sequence

TITLE = "Warm"
MOST_OF_NAIVE = 0.35
MOST_OF_BARE = 6.0

DELAY = 0.05
SUBJECTS = (OURS, NAIVE, ASYNC, BARE, FLOOR)

_METHOD = f"""
CPU that one message takes of a warm function's process, in user and kernel mode and in all its threads. The functions
talk to one server in a process of its own, which is Cube (it answers at once, or after {DELAY * 1000:g} ms), DynamoDB
and Secrets Manager (after {AWS_SECONDS * 1000:g} ms). Ours and the peers have their turns with batches of one size;
where Cube is slow they run at the same time, since all of them mostly wait. Log lines and metrics are written, to
`/dev/null`. Nothing limits the queries a second, and our connections stay open. What limits cost, the row
with the gate tells: it is written once a batch, and the connection to Cube is closed behind it.

The peers (`benchmarks/peers/`), each with the same signature:

- **naive**: a `requests.Session`, and Powertools as in its documentation: `BatchProcessor`, `idempotent_function` with
  `DynamoDBPersistenceLayer` (two writes a message, as ours), `get_secret`, `Tracer`, `Logger`, `Metrics`. `Tracer`
  makes X-Ray subsegments of each message and of its calls; ours makes no subsegments, so there are rows of naive
  without `Tracer` (`POWERTOOLS_TRACE_DISABLED`) too;
- **async**: aiohttp, `AsyncBatchProcessor` and boto3 in threads for two writes a message;
- **bare**: a loop of urllib3, which neither records nor logs;
- **floor**: a loop of `send` and `recv` on a socket.

All of it is plain HTTP, and all of them keep their connections.

What has slept comes back to cold caches, and takes longer for the same instructions: see what bare takes where Cube is
slow, though its loop is the same. A message of ours, and of naive, sleeps for Cube and twice for DynamoDB; bare, where
Cube answers at once, never does. The rows where DynamoDB too answers at once tell how much of the ratios that is. A
batch is the work of two threads of ours and more, which costs where they run on two processors; a batch of one has one.

![CPU of a message by batch, time of a batch by concurrency](benchmarks-warm.png)
"""


class _Size(NamedTuple):
    """How a size of batch is measured: so many batches in each of so many rounds."""

    messages: int
    batches: int
    rounds: int


_AT_ONCE = (_Size(1, 20, 6), _Size(10, 3, 6), _Size(100, 1, 4), _Size(1000, 1, 2))
_LATE = (_Size(1, 5, 6), _Size(10, 1, 6), _Size(100, 1, 3), _Size(1000, 1, 1))
_QUICK = (_Size(1, 20, 5), _Size(10, 3, 5), _Size(100, 1, 3))

_AWAKE = (_Size(1, 20, 6), _Size(10, 3, 6))

# Limits such as a deployment has, but so high that nothing waits: the gate is asked once a batch, and no connection to
# Cube is left open behind it.
_GATE = {"CUBE_MAX_QPS": "200", "CUBE_DAILY_QUOTA": "5000000", "CUBE_MAX_CONNECTIONS": "3"}

# Of two functions that are compared in turns.
_PAIR_BATCH = 10
_PAIR_ROUNDS = 12

# Microseconds of a message, by subject, one for each round.
type Samples = dict[str, list[float]]


def measure(*, quick: bool = False) -> Section:
    """Return what a message costs."""
    found_rows: list[Row] = []
    details: list[str] = []
    with Server() as server:
        for delay, sizes in ((0.0, _QUICK if quick else _AT_ONCE), (DELAY, () if quick else _LATE)):
            samples = _cpu(server, delay, sizes) if sizes else {}
            for size, found in samples.items():
                found_rows += rows(f"CPU, batch of {size:,}, Cube after {delay * 1000:g} ms", "us", found)
            if samples:
                details.append(_table(delay, samples))
            if not delay:
                series = _medians(samples)
        pair_rounds = 3 if quick else _PAIR_ROUNDS
        what = f"a message / {UNTRACED.name}, CPU, batch of {_PAIR_BATCH}, Cube after 0 ms"
        found_rows.append(_pair_row(what, Worker(OURS, server), Worker(UNTRACED, server), pair_rounds))
        what = f"a message with the gate / without, CPU, batch of {_PAIR_BATCH}"
        with_gate = Worker(OURS, server, variables=_GATE)
        found_rows.append(_pair_row(what, with_gate, Worker(OURS, server), pair_rounds))
    with Server(aws_seconds=0.0) as server:
        for size, found in _cpu(server, 0.0, _AWAKE).items():
            found_rows += rows(f"CPU, batch of {size:,}, Cube and DynamoDB at once", "us", found)
    return Section(TITLE, _METHOD, found_rows, details, series={"warm": series})


def _pair_row(what: str, ours: Worker, other: Worker, rounds: int) -> Row:
    with ours, other:
        samples: dict[Worker, list[float]] = {ours: [], other: []}
        for number in range(rounds + 1):
            for worker, found in samples.items():
                microseconds = worker.do("handle", _PAIR_BATCH)["cpu"] / _PAIR_BATCH * 1e6
                # The first round connects.
                if number:
                    found.append(microseconds)
    return compare(what, "us", samples[ours], samples[other])


def _cpu(server: Server, delay: float, sizes: Sequence[_Size]) -> dict[int, Samples]:
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(subject, server, delay=delay)) for subject in SUBJECTS]
        for worker in workers:
            worker.begin("handle", 10, 2)
        for worker in workers:
            worker.end()
        return {size.messages: _rounds(workers, size, at_once=delay > 0) for size in sizes}


def _rounds(workers: Sequence[Worker], size: _Size, *, at_once: bool) -> Samples:
    samples: Samples = {worker.subject.name: [] for worker in workers}
    order = list(workers)
    for number in range(size.rounds):
        for group in [order] if at_once else [[worker] for worker in order]:
            for worker in group:
                worker.begin("handle", size.messages, size.batches)
            for worker in group:
                seconds = worker.end()["cpu"]
                samples[worker.subject.name].append(seconds / size.messages / size.batches * 1e6)
        # Nobody always comes after the same neighbour.
        order = [*order[1:], order[0]] if number % 2 else order[::-1]
    return samples


def rows(kind: str, unit: str, samples: Samples) -> list[Row]:
    """Return ours beside naive and bare."""
    ours = samples[OURS.name]
    return [
        compare(f"a message / naive, {kind}", unit, ours, samples[NAIVE.name], most=MOST_OF_NAIVE),
        compare(f"a message / bare, {kind}", unit, ours, samples[BARE.name], most=MOST_OF_BARE),
    ]


def _table(delay: float, samples: dict[int, Samples]) -> str:
    rows = [
        (f"{size:,}", *(Spread.of(found[subject.name]).text() for subject in SUBJECTS))
        for size, found in samples.items()
    ]
    return f"Microseconds of CPU of a message where Cube answers after {delay * 1000:g} ms:\n\n" + table(
        ("batch", *(subject.name for subject in SUBJECTS)), rows
    )


def _medians(samples: dict[int, Samples]) -> dict[str, list[float]]:
    found = {"x": [float(size) for size in samples]}
    for subject in SUBJECTS:
        found[subject.name] = [Spread.of(by_subject[subject.name]).median for by_subject in samples.values()]
    return found
