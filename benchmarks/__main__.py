"""Measure, print the table of ratios, and publish it in docs/benchmarks.md, docs/cost.md and docs/events.md."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks import cold, cost, growth, plots, warm
from benchmarks.processes import VALGRIND, require_build
from benchmarks.report import HEADER, PAGE_HEADER, Section, brief, machine, options, publish, table, write_results

if TYPE_CHECKING:
    from collections.abc import Callable

# In the order of the page.
_MEASUREMENTS: dict[str, Callable[[bool], Section]] = {
    "warm": warm.measure,
    "instructions": warm.measure_instructions,
    "concurrency": warm.measure_concurrency,
    "cold": cold.measure,
    "cold-instructions": cold.measure_instructions,
    "memory": growth.measure_memory,
    "leaks": growth.measure_leak,
    "growth": growth.measure,
    "hotspots": warm.measure_hotspots,
    "signing": warm.measure_signing,
    "cost": cost.measure,
    "sizes": growth.measure_sizes,
}

# Other work does not change these results, so they come last, and two at a time.
_COUNTS = ("leaks", "memory", "sizes", "instructions", "cold-instructions")


def main() -> None:
    """Run the measurements that are asked for."""
    asked = options("benchmarks", _MEASUREMENTS)
    require_build()
    if not VALGRIND:
        print("valgrind was not found: no instructions are counted, and CPU time alone decides")
    names = [name for name in asked.only if VALGRIND or "instructions" not in name]

    def measured(name: str) -> tuple[str, Section]:
        start = time.monotonic()
        section = _MEASUREMENTS[name](asked.quick)
        print(f"measured: {name} ({time.monotonic() - start:.0f} s)", flush=True)
        return name, section

    sections = dict(measured(name) for name in names if name not in _COUNTS)
    with ThreadPoolExecutor(2) as pool:
        sections |= pool.map(measured, [name for name in _COUNTS if name in names])
    sections = {name: sections[name] for name in _MEASUREMENTS if name in sections}
    rows = [row for section in sections.values() for row in section.rows]
    more = [row for section in sections.values() for row in section.more_rows]
    print(f"\n{table(HEADER, [*rows, *more])}\n\n{machine()}")
    blocks = {"benchmarks": f"{table(PAGE_HEADER, map(brief, rows))}\n\n{machine()}"}
    for section in sections.values():
        blocks |= section.blocks
    publish(blocks, asked.output)
    if asked.output:
        write_results(sections.values(), asked.output)
        plots.draw({name: each for section in sections.values() for name, each in section.series.items()}, asked.output)


if __name__ == "__main__":
    main()
