"""Measure, print the table, write docs/benchmarks.md with its plots, and docs/cost.md."""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import cold, concurrency, cost, growth, hotspots, instructions, memory, plots, signing, sizes, warm
from benchmarks.functions import ROOT, VALGRIND, require_build
from benchmarks.report import markdown, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.report import Section

_MEASUREMENTS: dict[str, Callable[..., Section]] = {
    "warm": warm.measure,
    "concurrency": concurrency.measure,
    "cold": cold.measure,
    "growth": growth.measure,
    "hotspots": hotspots.measure,
    "signing": signing.measure,
    "cost": cost.measure,
}

# These come to the same whatever else runs, so they come last, and two at a time.
_COUNTS: dict[str, Callable[..., Section]] = {
    "leaks": memory.measure_leak,
    "memory": memory.measure,
    "sizes": sizes.measure,
    "instructions": instructions.measure,
    "cold-instructions": cold.measure_instructions,
}


def main() -> None:
    """Run the measurements that are asked for."""
    options = _options()
    require_build()
    names = options.only or [*_MEASUREMENTS, *_COUNTS]
    sections = {name: _measured(_MEASUREMENTS[name], options.quick) for name in names if name in _MEASUREMENTS}
    with ThreadPoolExecutor(2) as pool:
        counts = [name for name in names if name in _COUNTS]
        found = pool.map(lambda name: _measured(_COUNTS[name], options.quick), counts)
        sections |= dict(zip(counts, found, strict=True))
    print()
    print(text([row for section in sections.values() for row in section.rows]))
    if not VALGRIND:
        print("\nvalgrind was not found: no instructions counted, CPU time alone decides")
    if (options.only or options.quick) and not options.output:
        print("\nNot the whole benchmark, so docs/ is left alone; --output writes what there is elsewhere.")
        return
    folder = options.output or ROOT / "docs"
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, sections)
    print(f"\nHow it was measured, and breakdowns: {folder / 'benchmarks.md'}")


def _measured(measure: Callable[..., Section], quick: bool) -> Section:
    start = time.monotonic()
    section = measure(quick=quick)
    print(f"measured: {section.title} ({time.monotonic() - start:.0f} s)", flush=True)
    return section


def _write(folder: Path, sections: dict[str, Section]) -> None:
    folder.joinpath("benchmarks.md").write_text(markdown(_in_order(sections)), "utf-8")
    for section in sections.values():
        for name, page in section.pages.items():
            folder.joinpath(name).write_text(page, "utf-8")
    if {"warm", "concurrency"} <= sections.keys():
        lines = sections["warm"].series["warm"], sections["concurrency"].series["concurrency"]
        plots.plot_warm(*lines, folder / "benchmarks-warm.png")
    if "cold" in sections:
        plots.plot_cold(sections["cold"].series["cold"], folder / "benchmarks-cold.png")
    if {"growth", "leaks"} <= sections.keys():
        panels, leak = sections["growth"].series, sections["leaks"].series["leak"]
        plots.plot_growth(panels, leak, folder / "benchmarks-growth.png")
    if "hotspots" in sections:
        plots.plot_stacks(sections["hotspots"].stacks, folder / "benchmarks-hotspots.png")


def _in_order(sections: dict[str, Section]) -> list[Section]:
    """Return the sections with the counted ones behind what they belong to."""
    order = ("warm", "instructions", "concurrency", "cold", "cold-instructions", "memory", "leaks")
    return [sections[name] for name in (*order, *(name for name in sections if name not in order)) if name in sections]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    option = parser.add_argument
    names = [*_MEASUREMENTS, *_COUNTS]
    option("--only", type=lambda text: _names(text, names), metavar="NAME,...", help=f"of {', '.join(names)}")
    option("--quick", action="store_true", help="fewer rounds and sizes, for development")
    option("--output", type=Path, metavar="DIRECTORY", help="where pages and plots go (docs/, for the whole benchmark)")
    return parser.parse_args()


def _names(text: str, known: Iterable[str]) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(known):
        raise argparse.ArgumentTypeError(f"no such measurement: {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    main()
