"""Measure, print the table, write docs/benchmarks.md."""

from __future__ import annotations

from benchmarks.functions import ROOT, VALGRIND, require_build
from benchmarks.imports import measure as measure_imports
from benchmarks.record import measure as measure_record
from benchmarks.report import markdown, text
from benchmarks.signing import measure as measure_signing
from benchmarks.sizes import measure as measure_sizes


def main() -> None:
    """Run every measurement."""
    require_build()
    sections = []
    for measure in (measure_signing, measure_record, measure_imports, measure_sizes):
        sections.append(measure())
        print(f"measured: {sections[-1].title}", flush=True)
    print()
    print(text([row for section in sections for row in section.rows]))
    if not VALGRIND:
        print("\nvalgrind was not found: no instructions counted, CPU time alone decides")
    path = ROOT / "docs" / "benchmarks.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(markdown(sections), "utf-8")
    print(f"\nHow it was measured, and breakdowns: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
