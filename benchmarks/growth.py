"""What a message costs as things grow, the memory of a process, and the size of the layers."""

from __future__ import annotations

import tempfile
import zipfile
from contextlib import ExitStack
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING, Any

from benchmarks.processes import (
    ASYNC,
    BUILD,
    LAYERS,
    NAIVE,
    OURS,
    PEERS_PACKAGES,
    PUBLISHER,
    Worker,
    in_turns,
    outcomes_event,
    worker,
)
from benchmarks.report import Row, Section, compare, medians, spread, table, verdict
from benchmarks.server import serving
from local.ministack import MiniStack

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.processes import Subject

TABLE = "growth"

# A message of the largest, in times of one of the smallest.
MOST_GROWTH = 1.1
MOST_MEMORY_OF_NAIVE = 0.7
MOST_LEAK = 1.02

_SIZES = (1, 10, 100)
_ACCOUNTS = (1, 10, 100, 1000)
_RECORDS = (100, 1000, 10_000)
_LEAK_MESSAGES, _LEAK_STEPS, _LEAK_BATCH = 100_000, 20, 10
_LEAK_EVENTS = 50

# AWS's limit in MB for a function with all its layers, unzipped.
_LIMIT = 250


def measure(quick: bool) -> Section:
    """Return the CPU of a message as batch, accounts and table grow."""
    rounds = 2 if quick else 5
    with serving() as server, ExitStack() as stack:

        def start(**variables: str) -> Worker:
            return stack.enter_context(worker(OURS, server, **variables))

        tables = {count: stack.enter_context(MiniStack()) for count in _RECORDS}
        for count, aws in tables.items():
            _fill(aws, count)
        # A round sends about fifty messages, or a batch if that is more.
        batches = {size: partial(start().message_cpu, size, max(1, 50 // size)) for size in _SIZES}
        several = {count: start(CUBE_SECRET_ID=f"accounts-{count}") for count in _ACCOUNTS}
        accounts = {count: partial(each.message_cpu, 100, 1, count) for count, each in several.items()}
        with_table = {n: start(AWS_ENDPOINT_URL_DYNAMODB=aws.url, MESSAGES_TABLE=TABLE) for n, aws in tables.items()}
        records = {count: partial(each.message_cpu, 10, 5) for count, each in with_table.items()}
        found = [in_turns(each, rounds) for each in (batches, accounts, records)]
    rows = [
        _row("a message in a batch of 100 / of 1, CPU", found[0]),
        _row("a message of 1,000 accounts / of 1, CPU", found[1]),
        _row("a message in a table of 10,000 records at first / of 100, CPU", found[2]),
    ]
    names = ("messages in a batch", "accounts in a batch of 100", "records in the table at first")
    points = [{"x": [*map(float, each)], OURS.name: medians(each)} for each in found]
    return Section(rows, series=dict(zip(names, points, strict=True)))


def measure_memory(quick: bool) -> Section:
    """Return the most memory that a process takes for its first batches."""
    rows, listed = [], []
    with serving() as server:

        def peak(subject: Subject, size: int) -> float:
            with worker(subject, server) as function:
                function.do("handle", size)
                return float(function.do("memory")["peak"])

        for size in (10, 100):
            peaks = {subject.name: partial(peak, subject, size) for subject in (OURS, NAIVE, ASYNC)}
            found = in_turns(peaks, 1 if quick else 3, skipped=0)
            name = f"peak memory / naive, batch of {size}"
            rows.append(compare(name, "MB", found[OURS.name], found[NAIVE.name], MOST_MEMORY_OF_NAIVE))
            listed.append((f"{size}", *map(spread, found.values())))
    title = "MB of resident memory at most"
    return Section(rows, more_tables={title: table(("batch", OURS.name, NAIVE.name, ASYNC.name), listed)})


def measure_leak(quick: bool) -> Section:
    """Return whether memory grows with the messages."""
    messages = _LEAK_MESSAGES // 20 if quick else _LEAK_MESSAGES
    step = messages // _LEAK_STEPS
    orders: dict[Subject, tuple[Any, ...]] = {
        OURS: ("handle", _LEAK_BATCH, step // _LEAK_BATCH),
        PUBLISHER: ("handle_events", [outcomes_event(_LEAK_EVENTS)] * (step // _LEAK_EVENTS)),
    }
    when = f"after {messages:,} messages / after {messages // 10:,}"
    first = _LEAK_STEPS // 10 - 1
    rows, series = [], {"x": [float((number + 1) * step) for number in range(_LEAK_STEPS)]}
    with serving(aws_seconds=0.0) as server:
        for subject, order in orders.items():
            resident, objects = [], []
            with worker(subject, server) as function:
                for _ in range(_LEAK_STEPS):
                    function.do(*order)
                    resident.append(function.do("memory")["now"])
                    objects.append(float(function.do("objects")))
            series[subject.name] = resident
            rows += [
                compare(f"{what} of {subject.name} {when}", unit, values[-1:], [values[first]], MOST_LEAK, digits=3)
                for what, unit, values in (("memory", "MB", resident), ("objects", "", objects))
            ]
    return Section(rows, series={"leak": series})


def measure_sizes(_quick: bool) -> Section:
    """Return the size of each layer, of both, and of botocore's data."""
    sizes = {layer: _megabytes(BUILD / layer) for layer in LAYERS}
    rows: list[Row] = []
    more = [Row(f"{layer}, unzipped / zipped", _both(size)) for layer, size in sizes.items()]
    unzipped, zipped = (sum(column) for column in zip(*sizes.values(), strict=True))
    beside = (f"{_LIMIT} MB limit", f"{unzipped / _LIMIT:.2f}")
    for name, size, most, peer in (("unzipped", unzipped, 50, beside), ("zipped", zipped, 12, ("", ""))):
        rows.append(Row(f"both layers, {name}", f"{size:.2f} MB", *peer, f"<= {most} MB", verdict(size, most)))
    data = [folder / "botocore" / "data" for folder in (BUILD / "DependenciesLayer" / "python", PEERS_PACKAGES)]
    services = [sum(path.is_dir() for path in folder.iterdir()) for folder in data]
    kept, everything = map(_megabytes, data)
    what = f"botocore's data of {services[0]} services / of {services[1]}, unzipped / zipped"
    shares = f"{kept[0] / everything[0]:.2f} / {kept[1] / everything[1]:.2f}"
    return Section(rows, more_rows=[*more, Row(what, _both(kept), _both(everything), shares)])


def _fill(aws: MiniStack, count: int) -> None:
    """Make a table with so many records."""
    dynamodb: Any = aws.client("dynamodb")
    dynamodb.create_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": "messageId", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "messageId", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for numbers in batched(range(count), 25, strict=True):
        items = [{"messageId": {"S": f"default#before-{number}"}} for number in numbers]
        dynamodb.batch_write_item(RequestItems={TABLE: [{"PutRequest": {"Item": item}} for item in items]})


def _row(what: str, found: Mapping[int, list[float]]) -> Row:
    return compare(what, "us", found[max(found)], found[min(found)], MOST_GROWTH)


def _both(size: tuple[float, float]) -> str:
    return f"{size[0]:.2f} / {size[1]:.2f} MB"


def _megabytes(folder: Path) -> tuple[float, float]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, path.relative_to(folder))
        return sum(path.stat().st_size for path in files) / 1e6, file.tell() / 1e6
