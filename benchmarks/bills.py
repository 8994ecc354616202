"""AWS's bill for a million messages. Its inputs are what one message uses, and the memory of a function."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.report import ROOT
from benchmarks.server import AWS_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# AWS's prices in dollars by their unit, as the page lists them with their sources.
_PAGE = (ROOT / "docs" / "cost.md").read_text("utf-8")
PRICES = {unit: float(dollars) for dollars, unit in re.findall(r"^\| \$([\d.]+) for (.+?) \|", _PAGE, re.MULTILINE)}

MILLION = 1_000_000
BATCH = 10

# The sizes that are tried, and the one that has a whole processor: Lambda gives it in proportion.
MEMORY_SIZES = (128, 192, 256, 384, 512, 768, 1024)
_PROCESSOR_MB = 1769

# Assumptions: Cube answers after 0.1 s. A record has 600 bytes, with attributes' names and DynamoDB's own 100. Lambda's
# runtime takes 40 MB. An execution environment lives for two hours.
CUBE_SECONDS = 0.1
ITEM_BYTES = 600
_RUNTIME_MB = 40
_ENVIRONMENT_SECONDS = 7200

# Lambda prints START, END and REPORT for each invocation. It reads a stream four times a second, up to 100 records.
_PLATFORM_LOG_BYTES = 400
_STREAM_POLLS, _STREAM_BATCH = 4, 100

# How long a function keeps a secret.
_SECRET_SECONDS = 300

OF_OUTCOMES = ("Lambda, publishing outcomes", "CloudWatch, logs of publishing", "EventBridge, an event each")

type Bill = dict[str, float]


class Contract(NamedTuple):
    """Queries a second that the provider allows, and how ours is deployed for it."""

    qps: int
    invocations: int
    threads: int

    @property
    def turn_seconds(self) -> float:
        """How long an invocation has for a message where all of them share the provider's rate."""
        return self.invocations / self.qps


class Usage(NamedTuple):
    """What each of some messages uses: seconds of CPU, bytes that it prints, and writes to DynamoDB.

    An execution environment uses `init` seconds of CPU before the first one, and at most so many megabytes.
    """

    cpu: float
    log_bytes: float
    writes: float
    init: float
    memory: float

    def work_seconds(self, threads: int, size: int) -> float:
        """Return how long an invocation is busy with a message; threads share the waiting, and not the processor."""
        computing = self.cpu / share(size)
        return max((CUBE_SECONDS + self.writes * AWS_SECONDS + computing) / threads, computing)


def share(size: int) -> float:
    """Return the share of a processor that a function of so many megabytes has."""
    return min(1.0, size / _PROCESSOR_MB)


def price(unit: str, count: float) -> float:
    """Return what so many of a unit cost."""
    return count * PRICES[unit]


def cheapest(bill: Callable[[int], Bill], usages: Iterable[Usage]) -> tuple[int, Bill]:
    """Return the size whose bill is the least, with it, of those that functions with these usages fit into."""
    most = max(usage.memory for usage in usages) + _RUNTIME_MB
    bills = {size: bill(size) for size in MEMORY_SIZES if size >= most}
    size = min(bills, key=lambda each: sum(bills[each].values()))
    return size, bills[size]


def sending(bill: Bill) -> float:
    """Return what sending costs, without events."""
    return sum(dollars for name, dollars in bill.items() if name not in OF_OUTCOMES)


def our_bill(contract: Contract, usage: Usage, publishing: Usage, gate_writes: float, size: int) -> Bill:
    """Return ours. A message is billed for its slot, or for its work if that is longer."""
    seconds = max(contract.turn_seconds, usage.work_seconds(contract.threads, size))
    batch = min(_STREAM_BATCH, max(1.0, contract.qps / _STREAM_POLLS))
    outcomes = (publisher(publishing, batch, size), logs(publishing, MILLION / batch), price("a custom event", MILLION))
    bill = _bill(usage, seconds, contract.qps, size, environments=contract.invocations, gate_writes=gate_writes)
    return bill | dict(zip(OF_OUTCOMES, outcomes, strict=True))


def peer_bill(contract: Contract, usage: Usage, threads: int, size: int, *, is_traced: bool) -> Bill:
    """Return a peer's. It has as many environments as the rate needs; nothing holds them back."""
    seconds = usage.work_seconds(threads, size)
    environments = max(1, round(contract.qps * seconds))
    return _bill(usage, seconds, contract.qps, size, environments=environments, is_traced=is_traced)


def publisher(usage: Usage, batch: float, size: int) -> float:
    """Return the price of the publisher's invocations; it hands over ten events at a time."""
    seconds = batch * usage.cpu / share(size) + math.ceil(batch / BATCH) * AWS_SECONDS
    return _invocations(MILLION / batch, MILLION / batch * seconds, size)


def logs(usage: Usage, invocations: float) -> float:
    """Return the price of what a million messages, and so many invocations of them, print."""
    return price("a GB of logs taken in", (MILLION * usage.log_bytes + invocations * _PLATFORM_LOG_BYTES) / 1e9)


def _bill(
    usage: Usage,
    seconds: float,
    qps: int,
    size: int,
    *,
    environments: float,
    gate_writes: float = 0.0,
    is_traced: bool = False,
) -> Bill:
    """Return the bill of sending, where an invocation is paid for so many seconds of a message."""
    count, lasting = MILLION / BATCH, MILLION / qps
    # In its init a function has a whole processor, whatever its size.
    inits = environments * max(1.0, lasting / _ENVIRONMENT_SECONDS)
    queue = "SQS, one request to send each, two to receive and delete ten"
    return {
        "Lambda, duration": _invocations(0, MILLION * seconds, size),
        "Lambda, init": _invocations(0, inits * usage.init, size),
        "Lambda, invocations": _invocations(count, 0, size),
        queue: price("a request to a standard queue", MILLION * (1 + 2 / BATCH)),
        "DynamoDB, writes": price("a write request unit, on demand", MILLION * usage.writes + count * gate_writes),
        "DynamoDB, a month of records": price("a GB of table a month", MILLION * ITEM_BYTES / 1e9),
        "CloudWatch, logs": logs(usage, count),
        "X-Ray, traces of invocations": _traces(count, lasting) if is_traced else 0.0,
        "Secrets Manager, calls": price("a call of Secrets Manager", environments * lasting / _SECRET_SECONDS),
    }


def _invocations(count: float, seconds: float, size: int) -> float:
    """Return the price of invocations that last so many seconds together."""
    return price("an invocation", count) + price("a GB-second, arm64", seconds * size / 1024)


def _traces(invocations: float, seconds: float) -> float:
    """Return the price of the traces that X-Ray records: of the first invocation of a second, and 5 % of the others."""
    rate = invocations / seconds
    return price("a trace recorded", (min(rate, 1) + 0.05 * max(0.0, rate - 1)) * seconds)
