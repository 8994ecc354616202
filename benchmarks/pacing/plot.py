"""The plot: what was accepted and what was refused in each second, a panel for each case."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.pacing.figures import per_second

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.pacing.figures import Figures
    from benchmarks.pacing.results import Result

_OURS = "#1f5fa8"
_PEER = "#d9662b"


def plot(results: Sequence[Result], path: Path) -> None:
    """Draw the runs into a PNG."""
    figure = Figure(figsize=(10, 2.6 * len(results)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(results), squeeze=False)[:, 0]
    for axes, result in zip(panels, results, strict=True):
        _draw(axes, result)
    panels[-1].set_xlabel("seconds since the burst")
    figure.savefig(path, dpi=110)


def _draw(axes: Axes, result: Result) -> None:
    case = result.case
    if result.peer:
        _series(axes, result.peer, "naive", _PEER)
    _series(axes, result.ours, "cube-sms", _OURS)
    axes.axhline(case.optimum(), color="black", linewidth=0.8, linestyle="--", label="optimum of the queue")
    axes.set_title(
        f"{case.qps} QPS, {case.connections} connections, answers after {case.latency * 1000:g} ms: "
        f"{result.messages:,} messages",
        loc="left",
        fontsize=10,
    )
    axes.set_ylabel("a second")
    axes.set_xlim(0)
    axes.set_ylim(0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def _series(axes: Axes, run: Figures, name: str, color: str) -> None:
    seconds = math.ceil(max([run.seconds, *run.accepted_at, *run.refused_at]))
    edges = range(seconds + 1)
    accepted, refused = per_second(run.accepted_at, seconds), per_second(run.refused_at, seconds)
    axes.stairs(accepted, edges, color=color, linewidth=1.4, label=f"{name}: accepted")
    if any(refused):
        axes.stairs(refused, edges, color=color, alpha=0.35, fill=True, label=f"{name}: refused (429)")
