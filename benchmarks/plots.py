"""The plots of the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.report import Series

DPI = 110
COLORS = {
    "cube-sms": "#1f5fa8",
    "cube-sms publisher": "#3f9a6b",
    "naive": "#d9662b",
    "async": "#8f63b8",
    "bare": "#6b7a86",
    "floor": "#a9b4bc",
    "ideal": "#000000",
}
_FAMILIES = {"cube_sms": "#1f5fa8", "botocore": "#d9662b", "urllib3": "#3f9a6b", "aws_lambda_powertools": "#8f63b8"}
_OTHER = "#9aa5ad"

# Of the whole; narrower bars of the picture of stacks are not drawn, and not named.
_LEAST_BAR, _LEAST_NAME = 0.002, 0.03
_MOST_DEPTH = 26

type _Stacks = Iterable[tuple[list[str], float]]


def draw(series: Mapping[str, Series], folder: Path) -> None:
    """Draw what has been measured, each plot for which there is all that it shows."""
    if {"warm", "concurrency"} <= series.keys():
        figure, axes = panels(2, (10, 3.6))
        _lines(axes[0], series["warm"], "CPU of a message, us", "messages in a batch")
        _lines(axes[1], series["concurrency"], "a batch of 100, ms", "messages sent at the same time")
        for panel in axes:
            panel.set_yscale("log")
            panel.yaxis.set_major_formatter("{x:,.0f}")
            panel.yaxis.set_minor_formatter("")
            panel.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        figure.savefig(folder / "benchmarks-warm.png", dpi=DPI)
    if starts := series.get("cold"):
        figure, (panel,) = panels(1, (8, 0.5 * len(starts) + 0.8))
        for offset, index, color, label in ((-0.2, 0, "#1f5fa8", "cached"), (0.2, 1, "#a9c4e4", "evicted")):
            positions = [number + offset for number in range(len(starts))]
            panel.barh(positions, [values[index] for values in starts.values()], 0.38, color=color, label=label)
        panel.set_yticks(range(len(starts)), list(starts))
        panel.invert_yaxis()
        panel.set_xlabel("ms to the first answer")
        panel.legend(fontsize=8, frameon=False)
        figure.savefig(folder / "benchmarks-cold.png", dpi=DPI)
    grown = [name for name in series if name.endswith((" batch", " batch of 100", " at first"))]
    if grown and "leak" in series:
        figure, axes = panels(len(grown) + 1, (3.2 * (len(grown) + 1), 3))
        for panel, name in zip(axes, grown, strict=False):
            _lines(panel, series[name], "CPU of a message, us", name)
        _lines(axes[-1], series["leak"], "resident memory, MB", "messages handled", scale="linear")
        for panel in axes:
            panel.set_ylim(0, 1.3 * panel.get_ylim()[1])
        figure.savefig(folder / "benchmarks-growth.png", dpi=DPI)
    if "stacks" in series:
        figure, (panel,) = panels(1, (12, 7))
        stacks = [(name.split("\n"), count[0]) for name, count in series["stacks"].items()]
        _bars(panel, stacks, 0, 0.0, sum(count for _, count in stacks))
        panel.set(xlim=(0, 1), ylim=(_MOST_DEPTH, 0), xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
        figure.savefig(folder / "benchmarks-hotspots.png", dpi=DPI)


def panels(count: int, size: tuple[float, float], *, is_column: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a picture of so many panels, side by side or one below the other."""
    figure = Figure(figsize=size, layout="constrained")
    shape = (count, 1) if is_column else (1, count)
    axes = list(figure.subplots(*shape, squeeze=False).flat)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _lines(axes: Axes, series: Series, ylabel: str, xlabel: str, scale: str = "log") -> None:
    for name, values in series.items():
        if name != "x":
            style = "--" if name == "ideal" else "-"
            axes.plot(series["x"], values, style, marker="o", markersize=3, color=COLORS[name], label=name)
    axes.set_xscale(scale)
    if scale == "log":
        axes.set_xticks(series["x"], [f"{value:,g}" for value in series["x"]])
        axes.xaxis.minorticks_off()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)


def _bars(axes: Axes, stacks: _Stacks, depth: int, left: float, total: float) -> None:
    if depth == _MOST_DEPTH:
        return
    callees: dict[str, list[tuple[list[str], float]]] = {}
    for stack, count in stacks:
        if len(stack) > depth:
            callees.setdefault(stack[depth], []).append((stack, count))
    for name, below in sorted(callees.items(), key=lambda item: -sum(count for _, count in item[1])):
        width = sum(count for _, count in below) / total
        if width < _LEAST_BAR:
            continue
        family = name.partition(":")[0].partition("/")[0]
        color = tuple(0.45 + 0.55 * part for part in to_rgb(_FAMILIES.get(family, _OTHER)))
        axes.barh(depth + 0.5, width, 0.92, left=left, color=color, edgecolor="white", linewidth=0.4)
        if width >= _LEAST_NAME:
            label = f"{family.removesuffix('.py')}: {name.rpartition(':')[2].rpartition('.')[2]}"
            axes.text(left + 0.002, depth + 0.5, label[: int(width * 190)], fontsize=6, va="center", clip_on=True)
        _bars(axes, below, depth + 1, left, total)
        left += width
