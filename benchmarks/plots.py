"""The plots of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

type Series = Mapping[str, Sequence[float]]
type Stack = tuple[tuple[str, ...], int]

_COLORS = {
    "cube-sms": "#1f5fa8",
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


def plot_warm(warm: Series, concurrency: Series, path: Path) -> None:
    """Draw the CPU of a message by the size of its batch, and the time of a batch by what is sent at a time."""
    figure, (left, right) = _panels(2, width=10, height=3.6)
    _lines(left, warm, "CPU of a message, us", "messages in a batch")
    _lines(right, concurrency, "a batch of 100, ms", "messages sent at the same time")
    for panel in (left, right):
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter("{x:,.0f}")
        panel.yaxis.set_minor_formatter("")
        panel.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=110)


def plot_cold(starts: Series, path: Path) -> None:
    """Draw the times to the first answer, with the layers in the page cache and evicted from it."""
    figure, (axes,) = _panels(1, width=8, height=0.5 * len(starts) + 0.8)
    names = list(starts)
    for offset, index, color, label in ((-0.2, 0, "#1f5fa8", "cached"), (0.2, 1, "#a9c4e4", "evicted")):
        positions = [number + offset for number in range(len(names))]
        axes.barh(positions, [starts[name][index] for name in names], 0.38, color=color, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("ms to the first answer")
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)


def plot_growth(panels: Mapping[str, Series], leak: Series, path: Path) -> None:
    """Draw what a message costs as things grow, and the memory of a process over its messages."""
    figure, axes = _panels(len(panels) + 1, width=3.2 * (len(panels) + 1), height=3)
    for panel, (name, points) in zip(axes, panels.items(), strict=False):
        _lines(panel, {"x": points["x"], "cube-sms": points["us"]}, "CPU of a message, us", name)
        panel.set_ylim(0, 1.3 * max(points["us"]))
    axes[-1].plot(leak["messages"], leak["MB"], color=_COLORS["cube-sms"])
    axes[-1].set_ylim(0, 1.3 * max(leak["MB"]))
    axes[-1].set_xlabel("messages handled")
    axes[-1].set_ylabel("resident memory, MB")
    figure.savefig(path, dpi=110)


def plot_stacks(stacks: Sequence[Stack], path: Path) -> None:
    """Draw the stacks as bars, the handler on top, each callee below its caller."""
    figure, (axes,) = _panels(1, width=12, height=7)
    total = sum(count for _, count in stacks)
    _bars(axes, [stack for stack in stacks if stack[0]], 0, 0.0, total)
    axes.set_xlim(0, 1)
    axes.set_ylim(_MOST_DEPTH, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    figure.savefig(path, dpi=110)


def _panels(count: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _lines(axes: Axes, series: Series, ylabel: str, xlabel: str) -> None:
    for name, values in series.items():
        if name != "x":
            style = "--" if name == "ideal" else "-"
            axes.plot(series["x"], values, style, marker="o", markersize=3, color=_COLORS[name], label=name)
    axes.set_xscale("log")
    axes.set_xticks(series["x"], [f"{value:,g}" for value in series["x"]])
    axes.xaxis.minorticks_off()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)


def _bars(axes: Axes, stacks: Sequence[Stack], depth: int, left: float, total: int) -> None:
    if depth == _MOST_DEPTH:
        return
    callees: dict[str, list[Stack]] = {}
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
