"""The table of what was measured, as text and as Markdown."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HEADER = ("what", "ours", "peer", "ratio", "target", "")
MISSED = "MISSED"

_INTRODUCTION = """\
# Benchmarks

`make bench` measures the built functions and layers and writes this page. What is compared was measured in the same
run and in turns, because a machine that does other things as well gives times that mean little and ratios that hold.
A number with two others behind it is a median with its quartiles. CPU time is that of the measured process alone,
in user and kernel mode. Instructions are counted by valgrind (cachegrind), in user mode alone; they hardly differ from
run to run, so where the CPU's verdict does, theirs holds. A missed target says MISSED; nothing fails on a time.

Everything ours runs from `.aws-sam/build`, in the interpreter below the virtual environment, with nothing on its import
path but the function, the layers and the standard library. The peers have the same interpreter and packages of their
own (group `bench` of the lock, in `.venv-bench`), those that they share with ours in the same versions.
"""


class Spread(NamedTuple):
    """A median with its quartiles.

    Parameters
    ----------
    low, median, high : float
        The quartiles.
    """

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Return the spread of some samples; one alone has none."""
        if len(samples) == 1:
            return cls(samples[0], samples[0], samples[0])
        low, median, high = quantiles(samples, method="inclusive")
        return cls(low, median, high)

    def text(self, unit: str = "") -> str:
        """Return it as text: three digits, and the quartiles where they differ."""
        unit = unit and f" {unit}"
        if self.low == self.high:
            return f"{_digits(self.median)}{unit}"
        return f"{_digits(self.median)}{unit} ({_digits(self.low)}-{_digits(self.high)})"


class Row(NamedTuple):
    """One line of the table.

    Parameters
    ----------
    what, ours, peer, ratio, target, verdict : str
        The columns.
    """

    what: str
    ours: str
    peer: str = ""
    ratio: str = ""
    target: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class Section:
    """What one measurement has found.

    Parameters
    ----------
    title : str
        What was measured.
    method : str
        How, in Markdown.
    rows : list of Row
        Its lines of the table.
    details : list of str
        Breakdowns, in Markdown.
    series : dict[str, dict[str, list of float]]
        What is plotted: values by their names, for each plot or panel.
    stacks : list of (tuple of str, int)
        Stacks that were seen, and how often, for the plot of them.
    pages : dict[str, str]
        Further pages, by the names of their files.
    """

    title: str
    method: str
    rows: list[Row]
    details: list[str] = field(default_factory=list)
    series: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    stacks: list[tuple[tuple[str, ...], int]] = field(default_factory=list)
    pages: dict[str, str] = field(default_factory=dict)


def compare(what: str, unit: str, ours: Sequence[float], peer: Sequence[float], *, most: float | None = None) -> Row:
    """Return the line of a comparison.

    Parameters
    ----------
    what, unit : str
        What is compared, in which unit.
    ours, peer : sequence of float
        The samples, those of one round at the same index.
    most : float, optional
        The target of the ratio.

    Returns
    -------
    Row
        The line. The ratio is the median of the rounds' ratios, not the ratio of the medians.
    """
    ratio = Spread.of([mine / other for mine, other in zip(ours, peer, strict=True)])
    target, judgement = ("", "") if most is None else (f"<= {most:g}", verdict(ratio.median, most))
    return Row(what, Spread.of(ours).text(unit), Spread.of(peer).text(unit), ratio.text(), target, judgement)


def verdict(value: float, most: float) -> str:
    """Return whether a target is met."""
    return "ok" if value <= most else MISSED


def text(rows: Iterable[Row]) -> str:
    """Return the table for a terminal."""
    lines = [HEADER, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([texts[0], "  ".join("-" * width for width in widths), *texts[1:]])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown(sections: Sequence[Section]) -> str:
    """Return the page: the table, the machine, and each measurement with its method and breakdowns."""
    rows = [row for section in sections for row in section.rows]
    parts = [_INTRODUCTION, table(HEADER, rows), f"Machine: {machine()}."]
    for section in sections:
        parts += [f"## {section.title}", section.method.strip(), *section.details]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _digits(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def machine() -> str:
    """Return what was measured on."""
    system = f"{platform.system()} {platform.machine()}"
    return f"{_processor()}, {os.cpu_count()} cores, {system}, CPython {platform.python_version()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown processor"
