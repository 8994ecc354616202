"""What was measured, as lines of tables, and the pages in docs/ that publish them.

The pages say how it was measured. A measurement fills in its blocks, from ``<!-- its name -->`` to ``<!-- end -->``.
A file beside the pages has all lines, with quartiles, and longer tables.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ROOT = Path(__file__).parents[1]
HEADER = ("what", "ours", "peer", "ratio", "target", "")
PAGE_HEADER = HEADER[:-1]
RESULTS = "benchmarks-results.txt"

_BLOCK = re.compile(r"(<!-- ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

# Values by their names, which a plot draws.
type Series = Mapping[str, Sequence[float]]


class Row(NamedTuple):
    """One line of the table of ratios."""

    what: str
    ours: str
    peer: str = ""
    ratio: str = ""
    target: str = ""
    verdict: str = ""


class Section(NamedTuple):
    """What one measurement has found: lines of the table of ratios, blocks of pages, and what is plotted.

    The file of results also has `more_rows`, which a block sums up, and `more_tables` by their titles.
    """

    rows: Sequence[Row] = ()
    blocks: Mapping[str, str] = {}
    series: Mapping[str, Series] = {}
    more_rows: Sequence[Row] = ()
    more_tables: Mapping[str, str] = {}


def spread(samples: Sequence[float], unit: str = "") -> str:
    """Return a median as text, with its quartiles where they differ."""
    low, middle, high = quantiles(samples, method="inclusive") if len(samples) > 1 else [samples[0]] * 3
    text = _digits(middle) + (unit and f" {unit}")
    return text if low == high else f"{text} ({_digits(low)}-{_digits(high)})"


def middle(samples: Sequence[float]) -> str:
    """Return a median as text."""
    return _digits(median(samples))


def brief(row: Row) -> tuple[str, ...]:
    """Return a line for a page: without quartiles, and with the verdict beside the target."""
    values = (re.sub(r" \([^)]*\)", "", value) for value in (row.ours, row.peer, row.ratio))
    return (row.what, *values, f"{row.target} {row.verdict}".strip())


def medians(samples: Mapping[int, Sequence[float]]) -> list[float]:
    """Return the medians to plot."""
    return [median(found) for found in samples.values()]


def compare(
    what: str, unit: str, ours: Sequence[float], peer: Sequence[float], most: float | None = None, digits: int = 0
) -> Row:
    """Return the line of a comparison, whose ratio is the median of the rounds' ratios, not the ratio of the medians.

    Samples of one round have the same index. The target is the most that the ratio may be. `digits`
    is how many stand behind the point if three in all are too few.
    """
    ratios = [mine / other for mine, other in zip(ours, peer, strict=True)]
    ratio = f"{median(ratios):.{digits}f}" if digits else spread(ratios)
    target = () if most is None else (f"<= {most:g}", verdict(median(ratios), most))
    return Row(what, spread(ours, unit), spread(peer, unit), ratio, *target)


def verdict(value: float, most: float) -> str:
    """Return whether a target is met."""
    return "ok" if value <= most else "MISSED"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, whose columns stand below each other for who reads it as it is."""
    cells = [header, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    lines = [cells[0], ["-" * width for width in widths], *cells[1:]]
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)


def columns(header: Sequence[str], rows: Iterable[Sequence[str]], kept: Sequence[str]) -> str:
    """Return a table of the columns that a page shows."""
    places = [header.index(name) for name in kept]
    return table(kept, ([row[place] for place in places] for row in rows))


def options(name: str, measurements: Iterable[str]) -> argparse.Namespace:
    """Return what the command line of a benchmark asks for: ``only``, ``quick`` and ``output``."""
    names = list(measurements)
    parser = argparse.ArgumentParser(prog=f"python -m {name}", epilog=f"What is measured: {', '.join(names)}")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="some measurements alone")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and sizes, for development")
    parser.add_argument("--output", type=Path, metavar="DIRECTORY", help="where pages and plots go (docs/)")
    found = parser.parse_args()
    # Part of a benchmark leaves docs/ alone.
    found.output = found.output or (None if found.only or found.quick else ROOT / "docs")
    found.only = found.only or names
    return found


def publish(blocks: Mapping[str, str], folder: Path | None) -> None:
    """Write the pages of docs/ with these blocks into a folder."""
    if not folder:
        print("\nNot the whole benchmark, so docs/ is left alone; --output writes pages and plots elsewhere.")
        return
    folder.mkdir(parents=True, exist_ok=True)
    missing = set(blocks)

    def fill(match: re.Match[str]) -> str:
        missing.discard(match[2])
        return f"{match[1]}\n{blocks[match[2]].strip()}\n\n{match[3]}" if match[2] in blocks else match[0]

    for page in sorted((ROOT / "docs").glob("*.md")):
        before = page.read_text("utf-8")
        if (after := _BLOCK.sub(fill, before)) != before:
            (folder / page.name).write_text(after, "utf-8")
            print(f"written: {folder / page.name}")
    if missing:
        raise SystemExit(f"no page has a place for {', '.join(sorted(missing))}")


def write_results(sections: Iterable[Section], folder: Path) -> None:
    """Write all lines and tables into the file of results."""
    sections = list(sections)
    rows = [row for section in sections for row in (*section.rows, *section.more_rows)]
    tables = {title: each for section in sections for title, each in section.more_tables.items()}
    write_tables({"All comparisons": table(HEADER, rows), **tables}, folder / RESULTS)


def write_tables(tables: Mapping[str, str], path: Path) -> None:
    """Write tables below their titles into a file."""
    parts = [f"{title}:\n\n{each}" for title, each in tables.items()]
    path.write_text("\n\n".join([machine(), *parts]) + "\n", "utf-8")


def machine() -> str:
    """Return what was measured on."""
    cpus = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    system = f"{platform.system()} {platform.machine()}"
    return f"Machine: {cpus[0]}, {os.cpu_count()} cores, {system}, CPython {platform.python_version()}."


def _digits(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
