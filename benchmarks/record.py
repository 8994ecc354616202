"""One warm queue record against a bare POST of an already signed body."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from benchmarks.functions import VALGRIND, call_inside, instructions_inside
from benchmarks.report import Row, Section, Spread, compare, table
from benchmarks.server import Server

TITLE = "Warm queue record"
MOST_RATIO = 2.5

_BATCH = 10
_ROUNDS = 80
_PROFILED = 1000
_COUNTED = 100
_LISTED = 20

_METHOD = """
CPU of `handler(event, context)` of the queue function, with its connections open and its credentials fetched, against
`urllib3.HTTPConnectionPool.urlopen` of an already signed body, to the same server: one of fixed answers on loopback, in
a process of its own, which is Cube, Secrets Manager and DynamoDB. The two writes of a message's record go through boto3
and cost more than all the rest; they are measured alone too, and what a record costs without them is given first. Log
lines and metrics are written, to `/dev/null`. Kernel time of the socket calls is in the CPU and not in the
instructions.
"""

# The parts of `benchmarks.inside.parts`, in the order of a record.
_PARTS = {
    "records": "the record: two writes through boto3",
    "connection": "connection to Cube: the POST, its deadline and errors told apart",
    "sign": "signing",
    "client": "client: parameters, envelope, redaction",
    "send": "sender: credentials, state",
    "parse": "parsing the request",
    "consume": "handler and consumer: the loop, settling",
    "context": "putting Lambda's context into the log",
    "log": "log line",
    "telemetry": "gathering metrics and what is logged",
    "flush": "emitting metrics",
}


def measure() -> Section:
    """Return what a record costs, and where."""
    with Server() as server:
        samples = call_inside("record.samples", _ROUNDS, cube_url=server.url)
        parts = call_inside("parts.spent", _PROFILED, cube_url=server.url)
        profile = call_inside("parts.profile", _PROFILED, cube_url=server.url)
        counted = _instructions(server.url) if VALGRIND else []
    samples["batch"] = [value / _BATCH for value in samples["batch"]]
    rows = [*_rows("CPU", "us", samples), *counted]
    return Section(TITLE, _METHOD, rows, [_breakdown(parts), _functions(profile)])


def _rows(kind: str, unit: str, samples: dict[str, list[float]]) -> list[Row]:
    post, record, batch = samples["post"], samples["record"], samples["batch"]
    sending = [whole - writes for whole, writes in zip(record, samples["writes"], strict=True)]
    return [
        compare(f"one warm record without its writes / bare POST, {kind}", unit, sending, post, most=MOST_RATIO),
        compare(f"one warm record / bare POST, {kind}", unit, record, post),
        compare(f"a record of {_BATCH} / bare POST, {kind}", unit, batch, post),
    ]


def _instructions(url: str) -> list[Row]:
    runs = [("post", 0), *((key, _COUNTED) for key in ("post", "record", "writes")), ("batch", _COUNTED // _BATCH)]
    with ThreadPoolExecutor(2) as pool:
        base, *totals = pool.map(lambda run: instructions_inside("record.repeat", *run, cube_url=url), runs)
    post, record, writes, batch = ([(total - base) / _COUNTED / 1e3] for total in totals)
    return _rows("instructions", "k", {"post": post, "record": record, "writes": writes, "batch": batch})


def _breakdown(parts: dict[str, list[float]]) -> str:
    spreads = {key: Spread.of(values) for key, values in parts.items()}
    whole = Spread.of([sum(values) for values in zip(*(parts[key] for key in _PARTS), strict=True)])
    rows = [
        (name, spreads[key].text(), f"{spreads[key].median / whole.median:.0%}")
        for key, name in [("post", "for comparison, the bare POST in turns with it"), *_PARTS.items()]
    ]
    return "Where the CPU of one record goes, each part measured in place and without the others:\n\n" + table(
        ("part", "us", "share"), [*rows, ("the whole record", whole.text(), "")]
    )


def _functions(profile: list[tuple[str, float, float, float]]) -> str:
    header = ("function", "calls", "own us", "with callees us")
    rows = [
        (f"`{name}`", f"{calls:g}", f"{own:.1f}", f"{cumulative:.1f}")
        for name, calls, own, cumulative in sorted(profile, key=lambda each: -each[2])[:_LISTED]
    ]
    return (
        f"The {_LISTED} functions with the most time of their own in one record, by cProfile. It makes each call "
        "dearer, so many small calls look worse than they are, and counts the wait for the answer (`recv_into`):\n\n"
        + table(header, rows)
    )
