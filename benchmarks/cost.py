"""AWS's bill for a million messages, and for their events, from what this run measures, beside two peers'."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from samtranslator.yaml_helper import yaml_parse

from benchmarks.bills import (
    BATCH,
    CUBE_SECONDS,
    MEMORY_SIZES,
    MILLION,
    OF_OUTCOMES,
    Bill,
    Contract,
    Usage,
    cheapest,
    logs,
    our_bill,
    peer_bill,
    price,
    publisher,
    sending,
    share,
)
from benchmarks.processes import ASYNC, BUILD, NAIVE, OURS, PUBLISHER, in_turns, outcomes_event, worker
from benchmarks.report import Row, Section, spread, table, verdict
from benchmarks.server import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from benchmarks.processes import Subject
    from benchmarks.server import Server

CONTRACTS = (Contract(10, 2, 1), Contract(200, 7, 4))

# What the peers send at the same time, and which of them trace: naive's Tracer is for nothing else.
PEERS = {NAIVE: 1, ASYNC: BATCH}
TRACED = {NAIVE}

# The most of naive's bill that sending may cost, by the queries a second, and sending with its events.
MOST_OF_NAIVE = {10: 1.0, 200: 0.8}
MOST_WITH_EVENTS = 1.35
MOST_LOG_BYTES = 500

EVENT_BATCHES = (1, 10, 100)
EVENT_HEADER = (
    "batch", "CPU of an event", "its log", "EventBridge", "publisher", "logs", "SQS consumer", "together",
)  # fmt: skip
EVENT_PAGE_HEADER = tuple(name for name in EVENT_HEADER if name not in {"CPU of an event", "its log"})

# How many requests of Lambda wait at an empty queue, and how long.
_POLLERS, _POLL_SECONDS = 5, 20

# The limits, and the invocations that keep to them, under which the gate's writes are counted.
_GATE = {"CUBE_MAX_QPS": "10", "CUBE_MAX_CONNECTIONS": "3", "QUEUE_SEND_CONCURRENCY": "1"}
_GATE_INVOCATIONS = 2

_ROUNDS = 8


class _Found(NamedTuple):
    """What was measured: of a message by who sends it, of publishing its outcome, and the gate's writes."""

    usages: dict[Subject, Usage]
    published: dict[int, Usage]
    gate_writes: float

    def bill(self, contract: Contract, subject: Subject) -> Callable[[int], Bill]:
        """Return what bills a subject by its memory."""
        if subject is OURS:
            return partial(our_bill, contract, self.usages[OURS], self.published[BATCH], self.gate_writes)
        is_traced = subject in TRACED
        return partial(peer_bill, contract, self.usages[subject], PEERS[subject], is_traced=is_traced)

    def cheapest(self, contract: Contract, subject: Subject) -> tuple[int, Bill]:
        """Return the memory that is cheapest for a subject, and its bill."""
        # All functions of ours have one size.
        usages = [self.usages[subject], *(self.published.values() if subject is OURS else ())]
        return cheapest(self.bill(contract, subject), usages)


def measure(quick: bool) -> Section:
    """Work out the bills."""
    with serving() as server:
        usages = {subject: _usage(server, subject, "handle", BATCH) for subject in (OURS, *PEERS)}
        published = {size: _usage(server, PUBLISHER, "handle_events", [outcomes_event(size)]) for size in EVENT_BATCHES}
        found = _Found(usages, published, _gate_writes(server, 2 if quick else 6))
    bytes_row = _log_bytes(usages)
    blocks = {
        "cost": _bills(found),
        "cost-memory": _memory(found),
        "cost-month": _month(),
        "cost-events": _event_costs(found),
    }
    rows = [*(row for contract in CONTRACTS for row in _rows(contract, found)), bytes_row]
    tables = {
        "What Lambda bills for a message: its part of the rate, or its work if that is longer": _durations(found),
        "What the bill is made of": _measured(found),
    }
    return Section(blocks=blocks, more_rows=rows, more_tables=tables)


def _usage(server: Server, subject: Subject, order: str, argument: Any) -> Usage:
    """Return what a message uses of an order for some."""
    size = argument if order == "handle" else len(argument[0]["Records"])
    with tempfile.NamedTemporaryFile(prefix="cube-sms-") as file, worker(subject, server, log=file.name) as function:
        init = function.do("init")
        for _ in range(2):
            function.do(order, argument)
        printed, calls = Path(file.name).stat().st_size, server.calls()
        cpu = median(function.do(order, argument)["cpu"] for _ in range(_ROUNDS))
        printed, calls = Path(file.name).stat().st_size - printed, server.calls() - calls
        peak = function.do("memory")["peak"]
    writes = calls["UpdateItem"] + calls["PutItem"]
    return Usage(cpu / size, printed / size / _ROUNDS, writes / size / _ROUNDS, init, peak)


def _gate_writes(server: Server, batches: int) -> float:
    """Return how often an invocation writes the gate where two send as fast as the provider allows."""
    with ExitStack() as stack:
        count = range(_GATE_INVOCATIONS)
        workers = {n: stack.enter_context(worker(OURS, server, delay=CUBE_SECONDS, **_GATE)) for n in count}
        sent = {n: partial(each.message_cpu, BATCH, batches) for n, each in workers.items()}
        in_turns(sent, 1, skipped=0, at_once=True)
    return server.calls()["gate"] / batches / _GATE_INVOCATIONS


def _log_bytes(usages: Mapping[Subject, Usage]) -> Row:
    ours, naive = usages[OURS].log_bytes, usages[NAIVE].log_bytes
    target = f"<= {MOST_LOG_BYTES}"
    ratio, met = f"{ours / naive:.2f}", verdict(ours, MOST_LOG_BYTES)
    return Row("bytes logged of a message, batch of ten", f"{ours:.0f}", f"{naive:.0f}", ratio, target, met)


def _rows(contract: Contract, found: _Found) -> Iterable[Row]:
    """Return ours beside naive, and beside the peer that costs least."""
    _, bill = found.cheapest(contract, OURS)
    totals = {subject: sum(found.cheapest(contract, subject)[1].values()) for subject in PEERS}
    least = min(totals, key=totals.__getitem__)
    kinds = {
        "sending": (sending(bill), MOST_OF_NAIVE[contract.qps]),
        "with events": (sum(bill.values()), MOST_WITH_EVENTS),
    }
    for what, (ours, most) in kinds.items():
        title = f"AWS's bill for a million messages at {contract.qps} a second / {{}}, {what}"
        ratio = ours / totals[NAIVE]
        target = (f"<= {most:g}", verdict(ratio, most))
        yield Row(title.format(NAIVE.name), f"${ours:.2f}", f"${totals[NAIVE]:.2f}", f"{ratio:.2f}", *target)
        name = f"the cheapest peer ({least.name})"
        yield Row(title.format(name), f"${ours:.2f}", f"${totals[least]:.2f}", f"{ours / totals[least]:.2f}")


def _bills(found: _Found) -> str:
    header, columns = ["dollars for a million messages"], []
    for contract in CONTRACTS:
        for subject in (OURS, *PEERS):
            size, bill = found.cheapest(contract, subject)
            rate = f"{contract.qps} QPS: " if subject is OURS else ""
            header.append(f"{rate}{subject.name}, {size} MB")
            columns.append(bill)
    rows = [(name, *(f"{bill[name]:.2f}" if name in bill else "" for bill in columns)) for name in columns[0]]
    rows.insert(-len(OF_OUTCOMES), ("**sending**", *(f"**{sending(bill):.2f}**" for bill in columns)))
    return table(header, [*rows, ("**all**", *(f"**{sum(bill.values()):.2f}**" for bill in columns))])


def _memory(found: _Found) -> str:
    """Return what sending costs by memory, and how long a message of ours takes with it."""
    each = [(contract, subject) for contract in CONTRACTS for subject in (OURS, *PEERS)]
    header = ["MB", "a message's work", *(f"{contract.qps} QPS: {subject.name}" for contract, subject in each)]
    rows = []
    for size in MEMORY_SIZES:
        work = f"{found.usages[OURS].work_seconds(1, size) * 1e3:.0f} ms"
        rows.append((f"{size}", work, *(f"{sending(found.bill(*pair)(size)):.2f}" for pair in each)))
    return table(header, rows)


def _durations(found: _Found) -> str:
    header = ("", "invocations", "sending at a time", "a message's turn", "its work", *(each.name for each in PEERS))
    rows = []
    for contract in CONTRACTS:
        sizes = {subject: found.cheapest(contract, subject)[0] for subject in (OURS, *PEERS)}
        threads = {OURS: contract.threads, **PEERS}
        works = [found.usages[subject].work_seconds(threads[subject], sizes[subject]) for subject in sizes]
        counts = (f"{contract.qps} a second", f"{contract.invocations}", f"{contract.threads}")
        rows.append((*counts, *(f"{each * 1000:.0f} ms" for each in (contract.turn_seconds, *works))))
    return table(header, rows)


def _measured(found: _Found) -> str:
    usages, publishing = found.usages, found.published[BATCH]
    rows = [
        ["CPU", *(spread([usage.cpu * 1e6], "us") for usage in usages.values())],
        ["writes to DynamoDB", *(f"{usage.writes:g}" for usage in usages.values())],
        ["writes of the gate, an invocation", f"{found.gate_writes:.2f}"],
        ["bytes logged", *(f"{usage.log_bytes:,.0f}" for usage in usages.values())],
        ["CPU of an init", *(f"{usage.init * 1e3:.0f} ms" for usage in usages.values())],
        ["peak memory of the process", *(f"{usage.memory:.0f} MB" for usage in usages.values())],
        ["CPU of publishing its outcome", spread([publishing.cpu * 1e6], "us")],
        ["bytes logged of that", f"{publishing.log_bytes:,.0f}"],
    ]
    header = ("of a message, in batches of ten", *(subject.name for subject in usages))
    return table(header, [row + [""] * (len(header) - len(row)) for row in rows])


def _month() -> str:
    resources = yaml_parse((BUILD / "Alarms" / "template.yaml").read_text("utf-8"))["Resources"]
    alarms = sum(each["Type"] == "AWS::CloudWatch::Alarm" for each in resources.values())
    polling = price("a request to a standard queue", 30 * 86400 / _POLL_SECONDS * _POLLERS)
    return (
        f"{alarms} alarms ${price('an alarm a month', alarms):.2f}, the secret ${price('a secret a month', 1):.2f}, "
        f"and ${polling:.2f} for {_POLLERS} requests to an empty queue that Lambda keeps waiting."
    )


def _event_costs(found: _Found) -> str:
    size, _ = found.cheapest(CONTRACTS[0], OURS)
    header = ("batch", "CPU of an event", "its log", "EventBridge", "publisher", "logs", "SQS consumer", "together")
    rows = []
    for count, usage in found.published.items():
        # EventBridge puts each message by itself; who consumes receives and deletes as many at a time as SQS allows.
        consumer = price("a request to a standard queue", MILLION * (1 + 2 / min(count, BATCH)))
        bill = [price("a custom event", MILLION), publisher(usage, count, size), logs(usage, MILLION / count), consumer]
        dollars = [f"${each:.2f}" for each in (*bill, sum(bill))]
        rows.append((f"{count}", spread([usage.cpu * 1e6], "us"), f"{usage.log_bytes:,.0f} B", *dollars))
    return f"{share(size):.2f} of a processor for {size} MB:\n\n{table(header, rows)}"
