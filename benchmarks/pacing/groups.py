"""Messages of one text that share queries, on the local stack. Its peer sends one message a query."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.pacing import campaign
from benchmarks.pacing.drain import CASES, Case, Run, drain
from benchmarks.parts import AWS, parts, stat
from benchmarks.report import Section, columns, table, verdict
from local.stack import V4_ACCOUNT, LocalStack

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER = (
    "an account of", "messages", "QueueBatchSize", "messages a second", "drained in", "queries", "messages a query",
    "queries a second ÷ 10", "429", "lost", "doubled",
)  # fmt: skip

_NOT_ON_THE_PAGE = {"QueueBatchSize", "drained in", "queries", "429", "lost", "doubled"}
PAGE_HEADER = tuple(name for name in HEADER if name not in _NOT_ON_THE_PAGE)

# How many times as many messages a second there are to be as with one message a query.
TARGET = 20

_CSSS = replace(CASES[0], name="csss", messages=300, api_every=0)
_V4 = replace(_CSSS, name="v4", messages=5000, account=V4_ACCOUNT, batch=1000)

_TICKS = os.sysconf("SC_CLK_TCK")


class _Drained(NamedTuple):
    """A burst that was drained, and the seconds of processor time that each part of the local stack took for it."""

    run: Run
    cpu: Mapping[str, float]
    queries: int

    def row(self) -> tuple[str, ...]:
        run, case = self.run, self.run.case
        rate, _ = run.backlog
        lost = len({*(run.dead if run.left else run.devices)} - run.first.keys())
        return (
            case.name,
            f"{case.messages:,}",
            f"{case.batch:,}",
            f"{rate:,.1f}",
            f"cut off at {run.seconds:.0f} s" if run.left else f"{run.seconds:.0f} s",
            f"{self.queries:,}",
            f"{len(run.first) / max(1, self.queries):.1f}",
            f"{self.queries / run.seconds / case.qps:.2f}",
            f"{len(run.refused):,}",
            f"{lost:,}",
            f"{len(run.accepted) - len(run.first):,}",
        )


def measure(quick: bool) -> Section:
    """Drain messages of one text with an account of each dialect, and show what bounds the faster one."""
    csss, v4 = (_drained(case.messages // (10 if quick else 1), case) for case in (_CSSS, _V4))
    ratio = v4.run.backlog[0] / csss.run.backlog[0]
    of_message = {name: seconds / v4.run.case.messages for name, seconds in v4.cpu.items()}
    by_size = sorted(of_message, key=of_message.__getitem__, reverse=True)
    block = (
        f"{columns(HEADER, [v4.row(), csss.row()], PAGE_HEADER)}\n\n"
        f"v4 sends {ratio:.1f} times as many messages a second (target: {TARGET}, {verdict(TARGET, ratio)}). The local "
        f"AWS bounds the rate: its one process handles {1 / of_message[AWS]:.0f} messages a second at most."
    )
    print(block, flush=True)
    modelled, rows = campaign.measure(of_message["SendFromQueueFunction"], quick=quick)
    print(modelled, flush=True)
    tables = {
        "Messages that share queries": table(HEADER, [v4.row(), csss.row()]),
        "Milliseconds of a processor for a message": table(
            ("part", "ms"), [(name, f"{of_message[name] * 1000:.2f}") for name in by_size]
        ),
        "A campaign in simulated time": table(campaign.HEADER, rows),
    }
    return Section(blocks={"groups": block, "groups-campaign": modelled}, more_tables=tables)


def _drained(messages: int, case: Case) -> _Drained:
    case = replace(case, messages=messages)
    with LocalStack(case.parameters, **case.simulator) as stack:
        before: dict[str, float] = {}
        run = drain(stack, case, limit=600, opened=lambda: before.update(_processor_seconds()))
        cpu = {name: seconds - before.get(name, 0.0) for name, seconds in _processor_seconds().items()}
        return _Drained(run, cpu, stack.cube.stats()["received"])


def _processor_seconds() -> dict[str, float]:
    """Return how long processors have been busy with each part of the local stack: all processes below this one."""
    found: dict[str, float] = defaultdict(float)
    for process, part in parts().items():
        # It may have ended meanwhile.
        with suppress(OSError):
            user, system = stat(process)[11:13]
            found[part] += (int(user) + int(system)) / _TICKS
    return found
