"""Run the cases, print the table, and publish it with the results of gate and events."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from shutil import copy, copytree, ignore_patterns
from typing import TYPE_CHECKING

from benchmarks.pacing import events, groups, reach, receipts
from benchmarks.pacing.drain import CASES, Case, Run, drain
from benchmarks.plots import COLORS, DPI, panels
from benchmarks.processes import OURS, PEERS_PACKAGES, copy_peers, require_build
from benchmarks.report import machine, options, publish, table, write_tables
from local.stack import LocalStack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

HEADER = (
    "case", "who", "optimum /s", "rate /s", "÷ optimum", "target", "whole drain ÷ optimum", "drained in",
    "429", "lost", "doubled", "API median / max", "API failed",
)  # fmt: skip

# What the page shows of ours, and of what is beside it
_OURS = ("case", "rate /s", "÷ optimum", "target", "API median / max")
_OTHER = ("who", "rate /s", "429", "lost", "doubled")
RESULTS = "pacing-results.txt"

_OTHERS = {
    "groups": groups.measure,
    "reach": reach.measure,
    "events": events.measure,
    "receipts": receipts.measure,
}

# How many batches MiniStack, and Lambda at first, takes from a queue at once where no maximum is given.
_PEER_INVOCATIONS = 5

# Long enough for a message of the peer to be received five times, 60 s apart, and to be found a dead letter.
_PEER_SECONDS = 330.0


# The results of one case: ours, and beside it the naive peer, ours without limits, or nothing.
type _Result = tuple[Run, Run | None]


def main() -> None:
    """Run what is asked for."""
    asked = options("benchmarks.pacing", [*(case.name for case in CASES), *_OTHERS])
    require_build()
    results = []
    for case in CASES:
        if case.name in asked.only:
            results.append(_measure(case, asked.quick))
            print(_page(results[-1:]), flush=True)
    blocks: dict[str, str] = {}
    tables = {"Bursts": table(HEADER, [row for result in results for row in _rows(result)])}
    for name in _OTHERS:
        if name in asked.only:
            section = _OTHERS[name](asked.quick)
            blocks |= section.blocks
            tables |= section.more_tables
    if results:
        blocks["pacing"] = _page(results)
    publish(blocks, asked.output)
    if asked.output:
        write_tables(tables, asked.output / RESULTS)
    if asked.output and results:
        figure, axes = panels(len(results), (10, 2.6 * len(results)), is_column=True)
        for panel, result in zip(axes, results, strict=True):
            _draw(panel, result)
        axes[-1].set_xlabel("seconds since the burst")
        figure.savefig(asked.output / "pacing.png", dpi=DPI)


def _measure(case: Case, quick: bool) -> _Result:
    case = replace(case, messages=case.messages // 10) if quick else case
    print(f"{case.name}: {case.messages} messages, at best {case.messages / case.optimum():.0f} s", flush=True)
    # What has not drained in three times the optimum, and a minute, is cut off.
    limit = 3 * case.messages / case.optimum() + 60
    with LocalStack(case.parameters, **case.simulator) as stack:
        ours = drain(stack, case, limit)
    if case.is_campaign:
        return ours, None
    if not case.has_peer:
        with LocalStack(case.parameters | {"CubeMaxQps": "0"}, **case.simulator | {"qps": 0}) as stack:
            return ours, drain(stack, case, limit)
    peer = replace(case, invocations=_PEER_INVOCATIONS, is_peer=True)
    limit = max(ours.seconds, 30 if quick else _PEER_SECONDS)
    with tempfile.TemporaryDirectory(prefix="naive-") as scratch:
        # Of the form that `sam build` leaves.
        folder = Path(scratch)
        copy(Path(__file__).with_name("naive.yaml"), folder / "template.yaml")
        # What is not in our layer, without what this peer has no use for.
        ignored = ignore_patterns("boto*", "aiohttp*", "aws*", "pip*", "*stubs*")
        copytree(PEERS_PACKAGES, folder / "layer" / "python", ignore=ignored)
        copytree(OURS.path[-1], folder / "layer" / "python", dirs_exist_ok=True)
        copy_peers(folder / "function")
        with LocalStack(build=folder, **case.simulator) as stack:
            return ours, drain(stack, peer, limit)


def _page(results: Sequence[_Result]) -> str:
    notes = []
    deployed: dict[str, list[str]] = {}
    for ours, other in results:
        case = ours.case
        connections = f"{case.invocations} x {case.threads} + {case.api_invocations}"
        deployed.setdefault(connections, []).append(f"{case.qps} QPS")
        notes += [ours.beside()] if case.is_campaign else []
        # The shares of two optima do not show which one is faster.
        if other and case.has_peer and other.backlog[0] > ours.backlog[0]:
            kept = f"since ours keeps {case.api_invocations} of the {case.connections} connections for the API"
            notes.append(f"At {case.title} the peer is faster, {kept}; each share is of an optimum of its own.")
    rows = []
    for result in results:
        mine, *others = (dict(zip(HEADER, row, strict=True)) for row in _rows(result))
        beside = [others[0][name] for name in _OTHER] if others else [""] * len(_OTHER)
        rows.append([*(mine[name] for name in _OURS), *beside])
    of_ours = "; ".join(f"{connections} ({', '.join(dict.fromkeys(qps))})" for connections, qps in deployed.items())
    last = f"Connections of our queue function and API: {of_ours}. {machine()}"
    return "\n\n".join([table((*_OURS, "beside it", *_OTHER[1:]), rows), *notes, last])


def _rows(result: _Result) -> list[tuple[str, ...]]:
    ours, other = result
    return [ours.row("cube-sms"), *([other.row("naive" if ours.case.has_peer else "limits off")] if other else [])]


def _draw(axes: Axes, result: _Result) -> None:
    """Draw what was accepted and what was refused in each second."""
    ours, other = result
    case = ours.case
    runs = {"naive": other} if case.has_peer and other else {}
    for name, run in {**runs, "cube-sms": ours}.items():
        accepted, refused = ([at for _, at in found] for found in (run.accepted, run.refused))
        edges = range(math.ceil(max([run.seconds, *accepted, *refused])) + 1)
        color = COLORS[name]
        axes.hist(accepted, edges, histtype="step", color=color, linewidth=1.4, label=f"{name}: accepted")
        if refused:
            label = f"{name}: refused (429)"
            axes.hist(refused, edges, histtype="stepfilled", color=color, alpha=0.35, label=label)
    optimum = case.optimum()
    axes.axhline(optimum, color="black", linewidth=0.8, linestyle="--", label="optimum of the queue")
    title = f"{case.title}, {case.connections} connections: {len(ours.devices):,} messages"
    axes.set_title(title, loc="left", fontsize=10)
    axes.set(ylabel="a second", xlim=(0, None), ylim=(0, None))
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


if __name__ == "__main__":
    main()
