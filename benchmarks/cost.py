"""AWS's bill for a million messages, from what this run measures, beside two peers'."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from samtranslator.yaml_helper import yaml_parse

from benchmarks import prices
from benchmarks.functions import ASYNC, BUILD, NAIVE, OURS, PUBLISHER
from benchmarks.processes import Worker
from benchmarks.report import Row, Section, Spread, table
from benchmarks.server import AWS_SECONDS, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.functions import Subject

TITLE = "Cost"

MILLION = 1_000_000
BATCH = 10
MONTH_SECONDS = 30 * 86400

# What the template deploys: MB, and of which share of a processor Lambda gives for it (1,769 MB are one).
MEMORY_MB = 512
CPU_SHARE = MEMORY_MB / 1769

# Assumed of Cube: how long it takes to answer.
CUBE_SECONDS = 0.1

# What Lambda prints of an invocation by itself: START, END and REPORT.
PLATFORM_LOG_BYTES = 400

# How often a second Lambda looks at a shard of a stream, and the most that it takes.
STREAM_POLLS = 4
STREAM_BATCH = 100

# Requests that look for messages and find none take so long; so many wait at a time.
EMPTY_RECEIVE_SECONDS = 20
POLLERS = 5

# A record with its attributes' names, and DynamoDB's own 100 bytes of an item.
ITEM_BYTES = 600

SECRET_SECONDS = 300

# How often an invocation writes the gate, as docs/pacing-benchmark.md counts it.
GATE_WRITES = 1.4

# What the peers send at the same time.
PEERS = {NAIVE: 1, ASYNC: BATCH}

_ROUNDS = 8


@dataclass(frozen=True)
class Contract:
    """What the provider allows, and how ours is deployed for it.

    Parameters
    ----------
    qps : int
        Queries a second.
    invocations : int
        Concurrent invocations of the queue function.
    threads : int
        Messages that each sends at the same time.
    """

    qps: int
    invocations: int
    threads: int


CONTRACTS = (Contract(10, 2, 1), Contract(200, 7, 4))


class Usage(NamedTuple):
    """What a message in a batch of ten uses.

    Parameters
    ----------
    cpu : float
        Seconds of CPU.
    log_bytes : float
        What it prints.
    writes : float
        Writes to DynamoDB.
    """

    cpu: float
    log_bytes: float
    writes: float


def measure(*, quick: bool = False) -> Section:
    """Work out the bills, and write them into docs/cost.md."""
    del quick
    with Server() as server:
        # Ours last: what it leaves in the table is published.
        peers = {subject: _usage(server, subject) for subject in PEERS}
        ours = _usage(server, OURS)
        published = _publishing_usage(server)
    bills = {
        contract: {
            OURS: _our_bill(contract, ours, published),
            **{subject: _peer_bill(contract, usage, PEERS[subject]) for subject, usage in peers.items()},
        }
        for contract in CONTRACTS
    }
    rows = [row for contract in CONTRACTS for row in _rows(contract, bills[contract])]
    page = _page(bills, {OURS: ours, **peers}, published)
    method = (
        "[cost.md](cost.md) has the bills, how they are worked out, and the prices. The peers publish nothing, so that "
        '"all" of theirs is the sending.'
    )
    return Section(TITLE, method, rows, pages={"cost.md": page})


def _rows(contract: Contract, bills: dict[Subject, _Bill]) -> Iterator[Row]:
    """Return ours beside naive, and beside the peer that costs least."""
    totals = {subject: sum(bills[subject].values()) for subject in PEERS}
    least = min(totals, key=totals.__getitem__)
    for what, bill in (("sending", _sending(bills[OURS])), ("all", bills[OURS])):
        total = sum(bill.values())
        for peer, name in ((NAIVE, NAIVE.name), (least, f"the cheapest peer ({least.name})")):
            yield Row(
                f"AWS's bill for a million messages at {contract.qps} a second / {name}, {what}",
                f"${total:.2f}",
                f"${totals[peer]:.2f}",
                f"{total / totals[peer]:.2f}",
            )


def _usage(server: Server, subject: Subject) -> Usage:
    before: Counter[str] = Counter()

    def warm_up(worker: Worker) -> None:
        worker.do("handle", BATCH, 2)
        before.update(server.calls())

    cpu, log_bytes = _measured(server, subject, ["handle", BATCH], warm_up)
    calls = Counter(server.calls()) - before
    writes = (calls["UpdateItem"] + calls["PutItem"]) / BATCH / _ROUNDS
    return Usage(cpu, log_bytes, writes)


def _publishing_usage(server: Server) -> Usage:
    """Return what publishing an outcome takes, in batches of ten of what the last message has left in the table."""
    item = server.item()
    record = {
        "eventName": "MODIFY",
        "dynamodb": {"Keys": {"messageId": item["messageId"]}, "NewImage": item, "SequenceNumber": "1"},
    }
    batches = [{"Records": [record] * BATCH}]
    order = ["handle_events", batches]
    cpu, log_bytes = _measured(server, PUBLISHER, order, lambda worker: worker.do("handle_events", batches))
    return Usage(cpu, log_bytes, 0)


def _measured(
    server: Server, subject: Subject, order: Sequence[Any], warm_up: Callable[[Worker], object]
) -> tuple[float, float]:
    """Return the seconds of CPU, and the bytes logged, that a message takes of an order for ten."""
    with (
        tempfile.NamedTemporaryFile(prefix="cube-sms-") as file,
        Worker(subject, server, log=Path(file.name)) as worker,
    ):
        warm_up(worker)
        size = Path(file.name).stat().st_size
        cpu = median(worker.do(*order)["cpu"] for _ in range(_ROUNDS))
        printed = Path(file.name).stat().st_size - size
    return cpu / BATCH, printed / BATCH / _ROUNDS


type _Bill = dict[str, float]

_INVOCATIONS, _DURATION = "Lambda, invocations", "Lambda, duration"
_EVENTS = "EventBridge, an event each"
_PUBLISHING = "Lambda, publishing outcomes"
_WATCHING = "CloudWatch and X-Ray, of publishing"
_OF_OUTCOMES = (_PUBLISHING, _WATCHING, _EVENTS)


def _sending(bill: _Bill) -> _Bill:
    return {name: dollars for name, dollars in bill.items() if name not in _OF_OUTCOMES}


def gb_seconds(seconds: float) -> float:
    """Return the dollars for so many seconds of a function."""
    return seconds * MEMORY_MB / 1024 * prices.LAMBDA_GB_SECOND.dollars


def work_seconds(usage: Usage, threads: int = 1) -> float:
    """Return how long an invocation is busy with a message, where nothing paces it."""
    waiting = (CUBE_SECONDS + usage.writes * AWS_SECONDS) / threads
    return max(waiting + usage.cpu / CPU_SHARE / threads, usage.cpu / CPU_SHARE)


def turn_seconds(contract: Contract) -> float:
    """Return how long an invocation has for a message where all of them share the provider's rate."""
    return contract.invocations / contract.qps


def paced_seconds(contract: Contract, usage: Usage) -> float:
    """Return the time of an invocation that a message of a backlog takes: its turn, or its work if that is longer."""
    return max(turn_seconds(contract), work_seconds(usage, contract.threads))


def _common(usage: Usage, qps: int, gate_writes: float, environments: int) -> _Bill:
    invocations = MILLION / BATCH
    seconds = MILLION / qps
    return {
        _INVOCATIONS: invocations * prices.LAMBDA_REQUEST.dollars,
        "SQS, one request to send each, two to receive and delete ten": MILLION
        * (1 + 2 / BATCH)
        * prices.SQS_REQUEST.dollars,
        "DynamoDB, writes": (MILLION * usage.writes + invocations * gate_writes) * prices.DYNAMODB_WRITE.dollars,
        "DynamoDB, a month of records": MILLION * ITEM_BYTES / 1e9 * prices.DYNAMODB_GB_MONTH.dollars,
        "CloudWatch, logs": _logs(usage, invocations),
        "X-Ray, traces of invocations": _traces(invocations, seconds),
        "Secrets Manager, calls": environments * seconds / SECRET_SECONDS * prices.SECRET_CALL.dollars,
    }


def _logs(usage: Usage, invocations: float) -> float:
    return (MILLION * usage.log_bytes + invocations * PLATFORM_LOG_BYTES) / 1e9 * prices.LOG_GB.dollars


def _traces(invocations: float, seconds: float) -> float:
    """Return the price of the traces that X-Ray records: of the first invocation of a second, and 5 % of the others."""
    rate = invocations / seconds
    return (min(rate, 1) + 0.05 * max(0.0, rate - 1)) * seconds * prices.TRACE.dollars


def _our_bill(contract: Contract, usage: Usage, publishing: Usage) -> _Bill:
    seconds = MILLION / contract.qps
    published = min(STREAM_BATCH, max(1.0, contract.qps / STREAM_POLLS))
    invocations = MILLION / published
    duration = published * publishing.cpu / CPU_SHARE + math.ceil(published / BATCH) * AWS_SECONDS
    return {
        _DURATION: MILLION * gb_seconds(paced_seconds(contract, usage)),
        **_common(usage, contract.qps, gate_writes=GATE_WRITES, environments=contract.invocations),
        _PUBLISHING: invocations * (prices.LAMBDA_REQUEST.dollars + gb_seconds(duration)),
        _WATCHING: _logs(publishing, invocations) + _traces(invocations, seconds),
        _EVENTS: MILLION * prices.BUS_EVENT.dollars,
    }


def _peer_bill(contract: Contract, usage: Usage, at_once: int) -> _Bill:
    seconds = work_seconds(usage, at_once)
    # As many environments as the rate needs; nothing holds them back.
    environments = max(1, round(contract.qps * seconds))
    return {
        _DURATION: MILLION * gb_seconds(seconds),
        **_common(usage, contract.qps, gate_writes=0.0, environments=environments),
    }


def _page(bills: dict[Contract, dict[Subject, _Bill]], usages: dict[Subject, Usage], publishing: Usage) -> str:
    ours = usages[OURS]
    header = ["dollars for a million messages"]
    for contract in bills:
        header += [f"{contract.qps} QPS: {OURS.name}", *(subject.name for subject in PEERS)]
    columns = [bill for by_subject in bills.values() for bill in by_subject.values()]
    names = list(columns[0])
    rows = [
        (name, *(f"{bill[name]:.2f}" if name in bill else "" for bill in columns))
        for name in names
        if name not in _OF_OUTCOMES
    ]
    rows.append(("**sending**", *(f"**{sum(_sending(bill).values()):.2f}**" for bill in columns)))
    rows += [(name, *(f"{bill[name]:.2f}" if name in bill else "" for bill in columns)) for name in _OF_OUTCOMES]
    rows.append(("**all**", *(f"**{sum(bill.values()):.2f}**" for bill in columns)))
    durations = "\n".join(_duration_sentence(contract, usages) for contract in bills)
    no_peers = [""] * len(PEERS)
    used = table(
        ("of a message, in batches of ten", *(subject.name for subject in usages)),
        [
            ("CPU", *(Spread.of([usage.cpu * 1e6]).text("us") for usage in usages.values())),
            ("writes to DynamoDB", *(f"{usage.writes:g}" for usage in usages.values())),
            ("bytes logged", *(f"{usage.log_bytes:,.0f}" for usage in usages.values())),
            ("CPU of publishing its outcome", Spread.of([publishing.cpu * 1e6]).text("us"), *no_peers),
            ("bytes logged of that", f"{publishing.log_bytes:,.0f}", *no_peers),
        ],
    )
    listed = table(
        ("price", "AWS's page", "seen in"),
        [(price.text, f"{price.page}/pricing", price.seen_in) for price in prices.ALL],
    )
    slowest, fastest = CONTRACTS
    slowest_turn = turn_seconds(slowest) * 1000
    alarms = _alarms()
    polling = MONTH_SECONDS / EMPTY_RECEIVE_SECONDS * POLLERS * prices.SQS_REQUEST.dollars
    share, here, there = f"{CPU_SHARE:.0%}", f"{ours.cpu * 1e3:.1f}", f"{ours.cpu / CPU_SHARE * 1e3:.0f}"
    month = (
        f"{alarms} alarms ${alarms * prices.ALARM_MONTH.dollars:.2f}, the secret ${prices.SECRET_MONTH.dollars:.2f}, "
        f"and ${polling:.2f} for {POLLERS} requests to an empty queue that Lambda keeps waiting."
    )
    return f"""\
# Cost

What AWS asks for a million messages, worked out by `make bench` (`benchmarks/cost.py`) from what it measures and from
the prices below, beside two peers of [benchmarks.md](benchmarks.md): naive sends one message after the other, async a
batch at the same time. The bill is that of a backlog that is sent at the rate the provider allows, in full batches of
{BATCH}. It is a model: nothing here was run on AWS.

{table(header, rows)}

All of them write twice for each message. Ours costs more where it logs more bytes, writes the gate, publishes outcomes,
and waits for its turn, which the provider's limit sets: at {slowest.qps} a second {slowest_turn:.0f} ms of an
invocation. At {fastest.qps} a second its {fastest.threads} threads share the turns, and it is paid for less time than
naive.

The peers publish nothing, and keep to no limit. Their columns take for granted that their messages come at just that
rate; a backlog they would send faster, and [pacing-benchmark.md](pacing-benchmark.md) tells what becomes of that, with
a simpler peer.

## Duration

{durations}

Where a message waits for its turn, neither a faster Cube nor less CPU makes it cheaper: an invocation is paid while it
sleeps. Fewer invocations with more threads do, as the template has them for more connections; AWS allows no less than 2
invocations.

Cube is taken to answer after {CUBE_SECONDS * 1000:g} ms and DynamoDB after {AWS_SECONDS * 1000:g} ms, and what is sent
at the same time to overlap as well as it can. A function of {MEMORY_MB} MB has {share} of a processor, which is taken
to be as fast as the one measured on: {here} ms of CPU last {there} ms there.

## Measured

{used}

An invocation of ours writes the gate {GATE_WRITES:g} times, as [pacing-benchmark.md](pacing-benchmark.md) counts it,
and Lambda logs about {PLATFORM_LOG_BYTES} bytes of any. A record takes about {ITEM_BYTES} bytes. Lambda reads the
table's stream for nothing, {STREAM_POLLS} times a second, and passes on the ends of messages alone: at 10 messages a
second two or three at a time, at 200 fifty.

## By the month, whatever is sent

{month}
A custom metric is ${prices.METRIC_MONTH.dollars:.2f}; [decisions.md](decisions.md) tells how many there can be.

Not counted: API Gateway (the queue needs none), cold starts (AWS has an init paid like any duration since August 2025,
but at a steady rate there are few), data to the Internet, a NAT gateway ([egress.md](egress.md)), keys of your own,
point-in-time recovery, free tiers, discounts, and the provider.

## Prices

us-east-1, in dollars, looked up in November 2026. Prices differ by region and change: look at AWS's own pages before
you believe a sum.

{listed}
"""


def _duration_sentence(contract: Contract, usages: dict[Subject, Usage]) -> str:
    turn, work = turn_seconds(contract), work_seconds(usages[OURS], contract.threads)
    naive, at_once = (work_seconds(usages[subject], threads) for subject, threads in PEERS.items())
    held = "the turn" if turn > work else "the work, which does not fit into the turn"
    return (
        f"- **{contract.qps} a second**, {contract.invocations} invocations that send {contract.threads} at a time: "
        f"each message has a turn of {turn * 1000:.0f} ms of an invocation, and its work takes {work * 1000:.0f} ms of "
        f"one. What is paid is {held}. A message of naive takes {naive * 1000:.0f} ms, "
        f"one of async {at_once * 1000:.0f} ms."
    )


def _alarms() -> int:
    resources = yaml_parse((BUILD / "Alarms" / "template.yaml").read_text("utf-8"))["Resources"]
    return sum(each["Type"] == "AWS::CloudWatch::Alarm" for each in resources.values())
