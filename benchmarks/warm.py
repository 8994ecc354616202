"""A message of a warm function: its CPU and instructions, what takes them, and the time of a batch."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.growth import MOST_GROWTH
from benchmarks.processes import ASYNC, BARE, FLOOR, NAIVE, OURS, UNTRACED, Worker, in_turns, worker, working
from benchmarks.report import Row, Section, compare, medians, middle, spread, table, verdict
from benchmarks.server import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from benchmarks.processes import Subject
    from benchmarks.server import Server

# Targets: the most of a peer's CPU and instructions. The most of an HMAC's time, and of microseconds, for a signature.
# By QUEUE_SEND_CONCURRENCY, the most of the ideal time.
MOST_OF_NAIVE, MOST_OF_BARE = 0.4, 7.0
MOST_INSTRUCTIONS_OF_NAIVE, MOST_INSTRUCTIONS_OF_BARE = 0.3, 6.0
MOST_OF_DIGEST, MOST_MICROSECONDS = 4.0, 6.0
MOST_OF_IDEAL = {1: 1.3, 3: 1.3, 10: 1.3, 32: 1.6}

# Seconds of a Cube that is slow.
DELAY = 0.05
SUBJECTS = (OURS, NAIVE, ASYNC, BARE, FLOOR)

# By the messages of a batch: how many batches there are in each of how many rounds.
_AT_ONCE = {1: (20, 6), 10: (3, 6), 100: (1, 4), 1000: (1, 2)}
_LATE = {1: (5, 6), 10: (1, 6), 100: (1, 3), 1000: (1, 1)}
_AWAKE = {1: (20, 6), 10: (3, 6)}
_QUICK = {10: (3, 3)}

# A deployment's limits, so high that no message waits. The gate is asked once a batch. No connection stays open.
_GATE = {"CUBE_MAX_QPS": "200", "CUBE_DAILY_QUOTA": "5000000", "CUBE_MAX_CONNECTIONS": "3"}

_BATCH = 10
_CONCURRENT_BATCH = 100
_CONCURRENT_ROUNDS = {1: 3, 3: 5, 10: 7, 32: 9}

# Messages whose stacks are looked at; functions that are listed; the least share in the results, and on the page.
_LOOKED_AT, _LISTED, _LEAST, _LEAST_OF_PAGE = 1500, 20, 0.005, 0.02

# Microseconds of a message, by subject, one for each round.
type _Samples = Mapping[str, Sequence[float]]


def measure(quick: bool) -> Section:
    """Return the CPU of a message."""
    rounds = 3 if quick else 12
    with serving() as server:
        now = _cpu(server, 0.0, _QUICK if quick else _AT_ONCE)
        late = _cpu(server, DELAY, _QUICK if quick else _LATE)
        name = f"a message / {UNTRACED.name}, CPU, batch of {_BATCH}, Cube after 0 ms"
        pairs = [_pair(name, worker(OURS, server), worker(UNTRACED, server), rounds)]
        name = f"a message with the gate / without, CPU, batch of {_BATCH}"
        pairs.append(_pair(name, worker(OURS, server, **_GATE), worker(OURS, server), rounds))
    with serving(aws_seconds=0.0) as server:
        awake = _cpu(server, 0.0, _QUICK if quick else _AWAKE)
    rows = [*_rows(now, "Cube after 0 ms"), *_rows(late, f"Cube after {DELAY * 1000:g} ms")]
    rows += _rows(awake, "Cube and DynamoDB at once")
    series = {name: medians({size: found[name] for size, found in now.items()}) for name in now[10]}
    groups = {"at once": now, f"after {DELAY * 1000:g} ms": late, "at once, DynamoDB too": awake}
    tables = {f"Microseconds of CPU of a message if Cube answers {when}": _table(each) for when, each in groups.items()}
    plotted = {"warm": {"x": [*map(float, now)], **series}}
    return Section(pairs, {"warm": _summary(groups)}, plotted, rows, tables)


def measure_concurrency(quick: bool) -> Section:
    """Return how long a batch takes, by the number of messages that are sent at the same time."""
    with serving() as server:
        ours = {
            count: _walls(server, OURS, 1 if quick else rounds, QUEUE_SEND_CONCURRENCY=str(count))
            for count, rounds in _CONCURRENT_ROUNDS.items()
        }
        peers = {subject.name: _walls(server, subject, 1 if quick else 2) for subject in (NAIVE, ASYNC)}
    ideal = {count: math.ceil(_CONCURRENT_BATCH / count) * DELAY * 1e3 for count in ours}
    what = f"a batch of {_CONCURRENT_BATCH} by {{}} at a time / waiting for Cube, wall time"
    rows = [
        compare(what.format(count), "ms", walls, [ideal[count]] * len(walls), MOST_OF_IDEAL[count])
        for count, walls in ours.items()
    ]
    series = {"x": [*map(float, ours)], OURS.name: medians(ours), "ideal": [*ideal.values()]}
    series |= {name: medians({0: walls}) * len(ours) for name, walls in peers.items()}
    listed = [
        (f"{count}", middle(walls), row.ratio.partition(" ")[0], f"{row.target} {row.verdict}")
        for (count, walls), row in zip(ours.items(), rows, strict=True)
    ]
    others = ", ".join(f"{name} {middle(walls)} ms" for name, walls in peers.items())
    block = f"{table(('at a time', 'ms', '÷ waiting for Cube', 'target'), listed)}\n\nPeers: {others}."
    tables = {"Milliseconds of a batch of 100": table(("peer", "ms"), [(name, spread(peers[name])) for name in peers])}
    return Section([], {"concurrency": block}, {"concurrency": series}, rows, tables)


def measure_instructions(quick: bool) -> Section:
    """Return the instructions of a message, which hardly differ from run to run."""
    kind = f"instructions, batch of {_BATCH}"
    with serving() as server:
        count = partial(_instructions, server)
        found = {each.name: [count(each, _BATCH, 5)] for each in (OURS, NAIVE, UNTRACED, BARE)}
        rows = [*_beside_peers(found, kind, "k", MOST_INSTRUCTIONS_OF_NAIVE, MOST_INSTRUCTIONS_OF_BARE)]
        rows.append(compare(f"a message / {UNTRACED.name}, {kind}", "k", found[OURS.name], found[UNTRACED.name]))
        if not quick:
            large, small = [count(OURS, 100, 1)], [count(OURS, 1, 20)]
            rows.append(compare("a message in a batch of 100 / of 1, instructions", "k", large, small, MOST_GROWTH))
    return Section(rows)


def measure_hotspots(quick: bool) -> Section:
    """Return how much of a message's CPU each module and each function takes."""
    messages = _LOOKED_AT // 4 if quick else _LOOKED_AT
    with serving() as server, worker(OURS, server) as function:
        found = function.do("stacks", messages)
    stacks = [(_from_handler(stack), count) for stack, count in found["stacks"]]
    total = sum(count for _, count in stacks)
    microseconds = found["seconds"] / messages * 1e6

    def listed(
        key: Callable[[tuple[str, ...]], str], most: int | None = None, least: float = _LEAST
    ) -> Iterable[tuple[str, str, str]]:
        counts: Counter[str] = Counter()
        for stack, count in stacks:
            counts[key(stack)] += count
        for name, count in counts.most_common(most):
            if count / total >= least:
                yield f"`{name}`", f"{count / total * microseconds:,.0f}", f"{count / total:.1%}"

    title, header = f"{microseconds:,.0f} us of CPU, {total:,} looks", ("us", "share")
    block = f"{title}:\n\n{table(('module', *header), listed(_module, least=_LEAST_OF_PAGE))}"
    own = listed(lambda stack: stack[-1].replace(":", " ", 1), _LISTED)
    tables = {title: table(("module", *header), listed(_module)), "Functions": table(("function", *header), own)}
    # What is plotted are stacks, their frames joined, and how often each was seen.
    series = {"stacks": {"\n".join(stack): [float(count)] for stack, count in stacks}}
    return Section([], {"hotspots": block}, series, more_tables=tables)


def measure_signing(quick: bool) -> Section:
    """Return what a signature costs, beside a bare HMAC of the same bytes."""
    with serving() as server, worker(OURS, server) as function:
        found = function.do("signatures", 10 if quick else 80)
    ours, most = found["sign"], MOST_MICROSECONDS
    text = f"{spread(ours, 'us')}, least {min(ours):.2f}"
    alone = Row("sign, CPU", text, target=f"<= {most:g} us", verdict=verdict(median(ours), most))
    return Section([alone, compare("sign / hmac.digest, CPU", "us", ours, found["digest"], MOST_OF_DIGEST)])


def _pair(what: str, ours: AbstractContextManager[Worker], other: AbstractContextManager[Worker], rounds: int) -> Row:
    with ours as one, other as two:
        found = in_turns({each: partial(each.message_cpu, _BATCH) for each in (one, two)}, rounds)
        return compare(what, "us", found[one], found[two])


def _cpu(server: Server, delay: float, sizes: Mapping[int, tuple[int, int]]) -> dict[int, _Samples]:
    found: dict[int, _Samples] = {}
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(subject, server, delay=delay)) for subject in SUBJECTS]
        in_turns({each.subject: partial(each.message_cpu, 10, 2) for each in workers}, 1, skipped=0, at_once=True)
        for size, (batches, rounds) in sizes.items():
            turns = {each.subject.name: partial(each.message_cpu, size, batches) for each in workers}
            found[size] = in_turns(turns, rounds, skipped=0, at_once=delay > 0)
    return found


def _rows(found: Mapping[int, _Samples], where: str) -> Iterable[Row]:
    for size, samples in found.items():
        yield from _beside_peers(samples, f"CPU, batch of {size:,}, {where}", "us")


def _beside_peers(
    samples: _Samples, kind: str, unit: str, of_naive: float = MOST_OF_NAIVE, of_bare: float = MOST_OF_BARE
) -> Iterable[Row]:
    ours = samples[OURS.name]
    yield compare(f"a message / naive, {kind}", unit, ours, samples[NAIVE.name], of_naive)
    yield compare(f"a message / bare, {kind}", unit, ours, samples[BARE.name], of_bare)


def _summary(groups: Mapping[str, Mapping[int, _Samples]]) -> str:
    peers = (f"÷ naive (<= {MOST_OF_NAIVE:g})", f"÷ bare (<= {MOST_OF_BARE:g})")
    header = ("Cube answers", "batch", *(subject.name for subject in SUBJECTS), *peers)
    rows = [
        (when, f"{size:,}", *map(middle, samples.values()), *(row.ratio.partition(" ")[0] for row in pair))
        for when, found in groups.items()
        for size, samples in found.items()
        for pair in [[*_beside_peers(samples, "", "us")]]
    ]
    return table(header, rows)


def _table(found: Mapping[int, _Samples]) -> str:
    rows = [(f"{size:,}", *map(spread, samples.values())) for size, samples in found.items()]
    return table(("batch", *(subject.name for subject in SUBJECTS)), rows)


def _walls(server: Server, subject: Subject, rounds: int, **variables: str) -> list[float]:
    with worker(subject, server, delay=DELAY, **variables) as function:
        function.do("handle", 10)
        return [function.do("handle", _CONCURRENT_BATCH)["wall"] * 1e3 for _ in range(rounds)]


def _instructions(server: Server, subject: Subject, size: int, batches: int) -> float:
    """Return thousands of a message: what a process takes that handles more batches, less one that does not."""
    runs = [working(subject, server, ["handle", size], ["handle", size, count]) for count in (1, 1 + batches)]
    less, more = (run.instructions() for run in runs)
    return (more - less) / size / batches / 1e3


def _from_handler(stack: list[str]) -> tuple[str, ...]:
    start = next((index for index, frame in enumerate(stack) if frame.endswith(":Function.handle_events")), -1)
    return tuple(stack[start + 1 :]) or ("the measurement",)


def _module(stack: tuple[str, ...]) -> str:
    """Return the innermost module of ours."""
    ours = [frame.partition(":")[0] for frame in stack if frame.startswith(("cube_sms/", "app.py"))]
    return ours[-1] if ours else "libraries that call us, and the interpreter"
