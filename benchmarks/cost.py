"""AWS's bill for a million messages, and for their events, from what this run measures, beside two peers'."""

from __future__ import annotations

import json
import math
import re
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from samtranslator.yaml_helper import yaml_parse

from benchmarks.processes import ASYNC, BUILD, NAIVE, OURS, PUBLISHER, in_turns, worker
from benchmarks.report import ROOT, Row, Section, columns, spread, table
from benchmarks.server import AWS_SECONDS, serving

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchmarks.processes import Subject
    from benchmarks.server import Server

# AWS's prices in dollars by their unit, as the page lists them with their sources.
_PAGE = (ROOT / "docs" / "cost.md").read_text("utf-8")
PRICES = {unit: float(dollars) for dollars, unit in re.findall(r"^\| \$([\d.]+) for (.+?) \|", _PAGE, re.MULTILINE)}

MILLION = 1_000_000
BATCH = 10

# What the template deploys: MB, and of which share of a processor Lambda gives for it (1,769 MB are one).
MEMORY_MB = 512
CPU_SHARE = MEMORY_MB / 1769

# Assumed: how long Cube takes to answer, and the bytes of a record, attributes' names and DynamoDB's own 100 included.
CUBE_SECONDS = 0.1
ITEM_BYTES = 600

# Of Lambda: what it prints of an invocation by itself (START, END and REPORT); how often a second it looks at a stream,
# and the most that it takes then; how many requests wait at an empty queue, and how long.
PLATFORM_LOG_BYTES = 400
STREAM_POLLS, STREAM_BATCH = 4, 100
POLLERS, POLL_SECONDS = 5, 20

# How long a function keeps a secret; what the peers send at the same time; events that are published at a time.
SECRET_SECONDS = 300
PEERS = {NAIVE: 1, ASYNC: BATCH}
EVENT_BATCHES = (1, 10, 100)
EVENT_HEADER = (
    "batch", "CPU of an event", "its log", "EventBridge", "publisher", "logs", "SQS consumer", "together",
)  # fmt: skip
EVENT_PAGE_HEADER = tuple(name for name in EVENT_HEADER if name not in {"CPU of an event", "its log"})

# The limits, and the invocations that keep to them, under which the gate's writes are counted.
_GATE = {"CUBE_MAX_QPS": "10", "CUBE_MAX_CONNECTIONS": "3", "QUEUE_SEND_CONCURRENCY": "1"}
_GATE_INVOCATIONS = 2

_ROUNDS = 8
_OF_OUTCOMES = ("Lambda, publishing outcomes", "CloudWatch and X-Ray, of publishing", "EventBridge, an event each")

type _Bill = dict[str, float]


class Contract(NamedTuple):
    """Queries a second that the provider allows, and how ours is deployed for it."""

    qps: int
    invocations: int
    threads: int

    @property
    def turn_seconds(self) -> float:
        """How long an invocation has for a message where all of them share the provider's rate."""
        return self.invocations / self.qps


CONTRACTS = (Contract(10, 2, 1), Contract(200, 7, 4))


class Usage(NamedTuple):
    """What each of some messages uses: seconds of CPU, bytes that it prints, and writes to DynamoDB."""

    cpu: float
    log_bytes: float
    writes: float

    def work_seconds(self, threads: int) -> float:
        """Return how long an invocation is busy with a message; threads share the waiting, and not the processor."""
        computing = self.cpu / CPU_SHARE
        return max((CUBE_SECONDS + self.writes * AWS_SECONDS + computing) / threads, computing)


def measure(quick: bool) -> Section:
    """Work out the bills."""
    with serving() as server:
        usages = {subject: _usage(server, subject, "handle", BATCH) for subject in (OURS, *PEERS)}
        published = {size: _usage(server, PUBLISHER, "handle_events", [_changes(size)]) for size in EVENT_BATCHES}
        gate_writes = _gate_writes(server, 2 if quick else 6)
    bills = {
        contract: {
            OURS: _our_bill(contract, usages[OURS], published[BATCH], gate_writes),
            **{subject: _peer_bill(contract, usages[subject], threads) for subject, threads in PEERS.items()},
        }
        for contract in CONTRACTS
    }
    event_costs = _event_costs(published)
    blocks = {
        "cost": _bills(bills),
        "cost-month": _month(),
        "cost-events": columns(EVENT_HEADER, event_costs, EVENT_PAGE_HEADER),
    }
    rows = [row for contract in CONTRACTS for row in _rows(contract, bills[contract])]
    tables = {
        "What Lambda bills for a message: its part of the rate, or its work if that is longer": _durations(usages),
        "What the bill is made of": _measured(usages, published[BATCH], gate_writes),
        "A million outcome events": table(EVENT_HEADER, event_costs),
    }
    return Section(blocks=blocks, more_rows=rows, more_tables=tables)


def _usage(server: Server, subject: Subject, order: str, argument: Any) -> Usage:
    """Return what a message uses of an order for some."""
    size = argument if order == "handle" else len(argument[0]["Records"])
    with tempfile.NamedTemporaryFile(prefix="cube-sms-") as file, worker(subject, server, log=file.name) as function:
        for _ in range(2):
            function.do(order, argument)
        printed, calls = Path(file.name).stat().st_size, server.calls()
        cpu = median(function.do(order, argument)["cpu"] for _ in range(_ROUNDS))
        printed, calls = Path(file.name).stat().st_size - printed, server.calls() - calls
    return Usage(cpu / size, printed / size / _ROUNDS, (calls["UpdateItem"] + calls["PutItem"]) / size / _ROUNDS)


def _gate_writes(server: Server, batches: int) -> float:
    """Return how often an invocation writes the gate where two send as fast as the provider allows."""
    with ExitStack() as stack:
        count = range(_GATE_INVOCATIONS)
        workers = {n: stack.enter_context(worker(OURS, server, delay=CUBE_SECONDS, **_GATE)) for n in count}
        sending = {n: partial(each.message_cpu, BATCH, batches) for n, each in workers.items()}
        in_turns(sending, 1, skipped=0, at_once=True)
    return server.calls()["gate"] / batches / _GATE_INVOCATIONS


def _changes(size: int) -> dict[str, Any]:
    """Return the event of so many messages that were sent, for nobody who waits."""
    change = json.loads((ROOT / "events" / "stream-outcomes.json").read_text("utf-8"))["Records"][0]
    del change["dynamodb"]["NewImage"]["taskTokens"]
    return {"Records": [change] * size}


def _rows(contract: Contract, bills: Mapping[Subject, _Bill]) -> Iterable[Row]:
    """Return ours beside naive, and beside the peer that costs least."""
    totals = {subject: sum(bills[subject].values()) for subject in PEERS}
    least = min(totals, key=totals.__getitem__)
    for what, ours in (("sending", _sending(bills[OURS])), ("all", sum(bills[OURS].values()))):
        for peer, name in ((NAIVE, NAIVE.name), (least, f"the cheapest peer ({least.name})")):
            title = f"AWS's bill for a million messages at {contract.qps} a second / {name}, {what}"
            yield Row(title, f"${ours:.2f}", f"${totals[peer]:.2f}", f"{ours / totals[peer]:.2f}")


def _sending(bill: _Bill) -> float:
    return sum(dollars for name, dollars in bill.items() if name not in _OF_OUTCOMES)


def _price(unit: str, count: float) -> float:
    return count * PRICES[unit]


def _invocations(count: float, seconds: float) -> float:
    """Return the price of invocations that last so many seconds together."""
    return _price("an invocation", count) + _price("a GB-second, arm64", seconds * MEMORY_MB / 1024)


def _logs(usage: Usage, invocations: float) -> float:
    return _price("a GB of logs taken in", (MILLION * usage.log_bytes + invocations * PLATFORM_LOG_BYTES) / 1e9)


def _traces(invocations: float, seconds: float) -> float:
    """Return the price of the traces that X-Ray records: of the first invocation of a second, and 5 % of the others."""
    rate = invocations / seconds
    return _price("a trace recorded", (min(rate, 1) + 0.05 * max(0.0, rate - 1)) * seconds)


def _publisher(usage: Usage, batch: float) -> float:
    """Return the price of the publisher's invocations; it hands over ten events at a time."""
    seconds = batch * usage.cpu / CPU_SHARE + math.ceil(batch / BATCH) * AWS_SECONDS
    return _invocations(MILLION / batch, MILLION / batch * seconds)


def _bill(usage: Usage, seconds: float, qps: int, *, environments: float, gate_writes: float = 0.0) -> _Bill:
    """Return the bill of sending, where an invocation is paid for so many seconds of a message."""
    count, lasting = MILLION / BATCH, MILLION / qps
    queue = "SQS, one request to send each, two to receive and delete ten"
    return {
        "Lambda, duration": _invocations(0, MILLION * seconds),
        "Lambda, invocations": _invocations(count, 0),
        queue: _price("a request to a standard queue", MILLION * (1 + 2 / BATCH)),
        "DynamoDB, writes": _price("a write request unit, on demand", MILLION * usage.writes + count * gate_writes),
        "DynamoDB, a month of records": _price("a GB of table a month", MILLION * ITEM_BYTES / 1e9),
        "CloudWatch, logs": _logs(usage, count),
        "X-Ray, traces of invocations": _traces(count, lasting),
        "Secrets Manager, calls": _price("a call of Secrets Manager", environments * lasting / SECRET_SECONDS),
    }


def _our_bill(contract: Contract, usage: Usage, publishing: Usage, gate_writes: float) -> _Bill:
    # What is paid is a message's turn, or its work if that is longer.
    seconds = max(contract.turn_seconds, usage.work_seconds(contract.threads))
    batch = min(STREAM_BATCH, max(1.0, contract.qps / STREAM_POLLS))
    watching = _logs(publishing, MILLION / batch) + _traces(MILLION / batch, MILLION / contract.qps)
    outcomes = (_publisher(publishing, batch), watching, _price("a custom event", MILLION))
    sending = _bill(usage, seconds, contract.qps, environments=contract.invocations, gate_writes=gate_writes)
    return sending | dict(zip(_OF_OUTCOMES, outcomes, strict=True))


def _peer_bill(contract: Contract, usage: Usage, threads: int) -> _Bill:
    seconds = usage.work_seconds(threads)
    # As many environments as the rate needs; nothing holds them back.
    return _bill(usage, seconds, contract.qps, environments=max(1, round(contract.qps * seconds)))


def _bills(bills: Mapping[Contract, Mapping[Subject, _Bill]]) -> str:
    header = ["dollars for a million messages"]
    for contract in bills:
        header += [f"{contract.qps} QPS: {OURS.name}", *(subject.name for subject in PEERS)]
    columns = [bill for by_subject in bills.values() for bill in by_subject.values()]
    rows = [(name, *(f"{bill[name]:.2f}" if name in bill else "" for bill in columns)) for name in columns[0]]
    rows.insert(-len(_OF_OUTCOMES), ("**sending**", *(f"**{_sending(bill):.2f}**" for bill in columns)))
    return table(header, [*rows, ("**all**", *(f"**{sum(bill.values()):.2f}**" for bill in columns))])


def _durations(usages: Mapping[Subject, Usage]) -> str:
    header = ("", "invocations", "sending at a time", "a message's turn", "its work", *(each.name for each in PEERS))
    rows = []
    for contract in CONTRACTS:
        seconds = [contract.turn_seconds, usages[OURS].work_seconds(contract.threads)]
        seconds += [usages[subject].work_seconds(threads) for subject, threads in PEERS.items()]
        counts = (f"{contract.qps} a second", f"{contract.invocations}", f"{contract.threads}")
        rows.append((*counts, *(f"{each * 1000:.0f} ms" for each in seconds)))
    return table(header, rows)


def _measured(usages: Mapping[Subject, Usage], publishing: Usage, gate_writes: float) -> str:
    there = [f"{usage.cpu / CPU_SHARE * 1e3:.0f} ms" for usage in usages.values()]
    rows = [
        ["CPU", *(spread([usage.cpu * 1e6], "us") for usage in usages.values())],
        [f"that on the {CPU_SHARE:.0%} of a processor that {MEMORY_MB} MB have", *there],
        ["writes to DynamoDB", *(f"{usage.writes:g}" for usage in usages.values())],
        ["writes of the gate, an invocation", f"{gate_writes:.2f}"],
        ["bytes logged", *(f"{usage.log_bytes:,.0f}" for usage in usages.values())],
        ["CPU of publishing its outcome", spread([publishing.cpu * 1e6], "us")],
        ["bytes logged of that", f"{publishing.log_bytes:,.0f}"],
    ]
    header = ("of a message, in batches of ten", *(subject.name for subject in usages))
    return table(header, [row + [""] * (len(header) - len(row)) for row in rows])


def _month() -> str:
    resources = yaml_parse((BUILD / "Alarms" / "template.yaml").read_text("utf-8"))["Resources"]
    alarms = sum(each["Type"] == "AWS::CloudWatch::Alarm" for each in resources.values())
    polling = _price("a request to a standard queue", 30 * 86400 / POLL_SECONDS * POLLERS)
    return (
        f"{alarms} alarms ${_price('an alarm a month', alarms):.2f}, the secret ${_price('a secret a month', 1):.2f}, "
        f"and ${polling:.2f} for {POLLERS} requests to an empty queue that Lambda keeps waiting."
    )


def _event_costs(published: Mapping[int, Usage]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for size, usage in published.items():
        # EventBridge puts each message by itself; who consumes receives and deletes as many at a time as SQS allows.
        consumer = _price("a request to a standard queue", MILLION * (1 + 2 / min(size, BATCH)))
        bill = [_price("a custom event", MILLION), _publisher(usage, size), _logs(usage, MILLION / size), consumer]
        dollars = [f"${each:.2f}" for each in (*bill, sum(bill))]
        rows.append((f"{size}", spread([usage.cpu * 1e6], "us"), f"{usage.log_bytes:,.0f} B", *dollars))
    return rows
