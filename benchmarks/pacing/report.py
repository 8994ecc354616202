"""The table, for a terminal and as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.pacing.results import PEER_INVOCATIONS
from benchmarks.report import MISSED, machine, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.pacing.cases import Case
    from benchmarks.pacing.figures import Figures
    from benchmarks.pacing.gate import GateCalls
    from benchmarks.pacing.results import Result

HEADER = (
    "case", "who", "optimum /s", "rate /s", "÷ optimum", "target", "", "whole drain ÷ optimum", "drained in",
    "429", "lost", "doubled", "API median / max", "API failed",
)  # fmt: skip

_INTRODUCTION = """\
# Pacing benchmark

`make bench-pacing` drains a burst of messages through the built application on the local stack, against the strict
simulator of the provider, and then through a naive peer under the same limits, and writes this page. A missed target
says MISSED; nothing fails on a time.

![What was accepted and refused in each second](pacing.png)
"""

_METHOD = """\
## Method

Every worker has been started and has sent a batch before, under no limit of the provider's. The whole burst is on the
queue before the first message of it is taken, each message for a device of its own. While it drains, a client calls
`POST /messages` synchronously, one call every {every} (1 s in the fast cases). Every number but the API's latency comes
from the provider's books: when each request arrived, and whether it was accepted. The simulator counts a sliding second
and open connections, idle ones too; the day's quota is off. Each run has a local AWS and a simulator of its own; the
two systems run one after the other.

- **Optimum**: min(QPS, connections of the queue function ÷ latency + accepted API calls a second). API calls come on
  top of what the queue's connections can carry, over a connection of their own. The peer divides nothing between
  queue and API: min(QPS, all connections ÷ latency).
- **Rate**: messages accepted for the first time, a second, while there was a backlog: from the first one accepted until
  no more of the burst was left than the concurrent invocations hold (ten each). Where a run never came so far, until
  its last message was accepted or it was cut off.
- **Whole drain**: the same from the moment the queue was opened until the last message of the burst was accepted, the
  tail included.
- **429**: requests refused for a limit, in brackets for which. **Lost**: messages of the burst that were never accepted
  and are no longer on the queue; where a run was cut off with messages left, those of the dead-letter queue.
  **Doubled**: acceptances beyond the first of a message. **API failed**: calls that were not answered with 200.

Ours is deployed with {deployed}.

**Limits off** is ours once more where neither it nor the provider limits the queries a second: what this machine can do
with the local AWS, the functions and the provider on it. Where that is below the optimum, it bounds the rate, and not
the pacing: the two lines beside each other say what the pacing costs.

The naive peer (`benchmarks/pacing/naive/`) is the handler as it is often written first: `requests.post` for each
record, `raise_for_status`, a failed batch left to SQS; batches of ten, a visibility timeout of 60 s, five receives
until the dead-letter queue, no maximum of concurrency (the local AWS then takes {peer} batches at once; Lambda begins
with five and adds more every minute, so that a real one is refused more often). Its function for the API does the same.
It is cut off after {limit:g} s, or the time of ours where that is longer.
"""


def rows(results: Iterable[Result]) -> list[tuple[str, ...]]:
    """Return the lines of the table."""
    lines = []
    for result in results:
        case = result.case
        name = f"{case.latency * 1000:g} ms, {case.qps} QPS, {result.messages:,} messages"
        lines.append(_row(name, "cube-sms", result.ours, case))
        if result.ceiling:
            lines.append(_row("", "limits off", result.ceiling))
        if result.peer:
            lines.append(_row("", "naive", result.peer))
    return lines


def text(lines: Sequence[tuple[str, ...]]) -> str:
    """Return the table for a terminal."""
    every = [HEADER, *lines]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in every)


def gate_sentence(calls: GateCalls, case: Case) -> str:
    """Return in words how often the gate was called on."""
    return (
        f"In a run of {calls.messages} messages of the {case.latency * 1000:g} ms case through a counting proxy, "
        f"{calls.invocations} invocations of the queue function made {calls.gate} `UpdateItem` calls to the gate "
        f"({calls.gate / max(calls.invocations, 1):.2f} an invocation) of {calls.updates} in all "
        f"({calls.updates / calls.messages:.2f} a message)."
    )


def page(results: Sequence[Result], calls: str, limit: float) -> str:
    """Return the page."""
    method = _METHOD.format(
        every="5 s",
        deployed="; ".join(_deployed(result.case) for result in results),
        peer=PEER_INVOCATIONS,
        limit=limit,
    )
    found = [table(HEADER, rows(results)), *_faster_peers(results), f"Machine: {machine()}."]
    parts = [_INTRODUCTION, *found, "## The gate", calls, method]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _faster_peers(results: Iterable[Result]) -> list[str]:
    """Return a sentence for each case in which the peer is faster, which the shares of two optima do not tell."""
    return [
        f"At {result.case.latency * 1000:g} ms and {result.case.qps} QPS the peer is faster, since ours keeps "
        f"{result.case.api_invocations} of the {result.case.connections} connections for the API; each share is of an "
        "optimum of its own."
        for result in results
        if result.peer and result.peer.backlog.rate > result.ours.backlog.rate
    ]


def _row(name: str, who: str, run: Figures, case: Case | None = None) -> tuple[str, ...]:
    kinds = ", ".join(f"{count:,} {reason}" for reason, count in sorted(run.refused.items()))
    refused = f"{run.refused.total():,}" + (f" ({kinds})" if kinds else "")
    return (
        name,
        who,
        f"{run.backlog.optimum:.2f}",
        f"{run.backlog.rate:.2f}",
        f"{run.backlog.share:.3f}",
        f">= {case.target:g}, no 429, none lost" if case else "",
        _verdict(run, case) if case else "",
        f"{run.whole.share:.3f}",
        f"{run.seconds:.0f} s" if run.is_drained else f"cut off at {run.seconds:.0f} s, {run.left:,} left",
        refused,
        f"{run.lost:,}",
        f"{run.doubled:,}",
        f"{run.api.median * 1000:,.0f} / {run.api.longest * 1000:,.0f} ms",
        f"{run.api.refused} of {run.api.calls}",
    )


def _verdict(run: Figures, case: Case) -> str:
    is_clean = not (run.refused or run.lost or run.doubled) and run.is_drained
    return "ok" if is_clean and run.backlog.share >= case.target else MISSED


def _deployed(case: Case) -> str:
    return (
        f"{case.invocations} x {case.threads} connections of the queue function and {case.api_invocations} of the API "
        f"at {case.latency * 1000:g} ms and {case.qps} QPS"
    )
