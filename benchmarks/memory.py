"""Memory: the most that a process takes for a batch, and whether it takes more and more."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.functions import ASYNC, NAIVE, OURS
from benchmarks.processes import Worker
from benchmarks.report import Row, Section, Spread, compare, table, verdict
from benchmarks.server import Server

TITLE = "Memory"
MOST_OF_NAIVE = 0.7
MOST_GROWTH = 1.02

_SIZES = {10: 3, 100: 3}
_LEAK_MESSAGES = 100_000
_LEAK_STEPS = 20
_LEAK_BATCH = 10

_METHOD = """
The peak of a process's resident memory (`VmHWM`) after its first batches: interpreter, packages, and ten messages or a
hundred. Lambda's own runtime interface is not in it.
"""

_LEAK_METHOD = f"""
One process handles {_LEAK_MESSAGES:,} messages in batches of {_LEAK_BATCH}, with a server that answers at once. Its
resident memory, and the number of objects that the garbage collector knows after a collection, are taken {_LEAK_STEPS}
times. The end is compared with the first tenth, when everything has been used that is used.
"""


def measure(*, quick: bool = False) -> Section:
    """Return the memory of a batch."""
    subjects = (OURS, NAIVE, ASYNC)
    rows, listed = [], []
    with Server() as server:
        for size, rounds in {10: 1}.items() if quick else _SIZES.items():
            samples: dict[str, list[float]] = {subject.name: [] for subject in subjects}
            for _ in range(rounds):
                with ExitStack() as stack:
                    workers = [stack.enter_context(Worker(subject, server)) for subject in subjects]
                    for worker in workers:
                        worker.begin("handle", size)
                    for worker in workers:
                        worker.end()
                        samples[worker.subject.name].append(worker.do("memory")["peak"] / 1e6)
            ours, naive = samples[OURS.name], samples[NAIVE.name]
            rows.append(compare(f"peak memory / naive, batch of {size:,}", "MB", ours, naive, most=MOST_OF_NAIVE))
            listed.append((f"{size:,}", *(Spread.of(found).text() for found in samples.values())))
    details = "MB:\n\n" + table(("batch", *(subject.name for subject in subjects)), listed)
    return Section(TITLE, _METHOD, rows, [details])


def measure_leak(*, quick: bool = False) -> Section:
    """Return whether memory grows with the messages."""
    messages = _LEAK_MESSAGES // 20 if quick else _LEAK_MESSAGES
    batches = messages // _LEAK_STEPS // _LEAK_BATCH
    resident, objects = [], []
    with Server(aws_seconds=0.0) as server, Worker(OURS, server) as worker:
        for _ in range(_LEAK_STEPS):
            worker.do("handle", _LEAK_BATCH, batches)
            resident.append(worker.do("memory")["now"] / 1e6)
            objects.append(worker.do("objects")["objects"])
    first = _LEAK_STEPS // 10 - 1
    rows = [
        _flat(f"memory after {messages:,} messages / after {messages // 10:,}", resident[-1], resident[first], "MB"),
        _flat(f"objects after {messages:,} messages / after {messages // 10:,}", objects[-1], objects[first], ""),
    ]
    points = {
        "messages": [float((step + 1) * messages // _LEAK_STEPS) for step in range(_LEAK_STEPS)],
        "MB": resident,
        "objects": [float(count) for count in objects],
    }
    return Section("Leaks", _LEAK_METHOD, rows, series={"leak": points})


def _flat(what: str, last: float, first: float, unit: str) -> Row:
    ratio = last / first
    after, before = (Spread.of([value]).text(unit) for value in (last, first))
    return Row(what, after, before, f"{ratio:.3f}", f"<= {MOST_GROWTH:g}", verdict(ratio, MOST_GROWTH))
