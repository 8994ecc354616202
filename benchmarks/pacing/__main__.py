"""Run the cases, print the table, write docs/pacing-benchmark.md and docs/pacing.png."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.functions import ROOT, require_build
from benchmarks.pacing.cases import CASES, split_parameters
from benchmarks.pacing.gate import count_gate_calls
from benchmarks.pacing.plot import plot
from benchmarks.pacing.report import gate_sentence, page, rows, text
from benchmarks.pacing.results import Result, measure_ceiling, measure_ours, measure_peer

_GATE_MESSAGES = 100

# Long enough for a message of the peer to be received five times, 60 s apart, and to be found a dead letter.
_PEER_SECONDS = 330.0


def main() -> None:
    """Run the cases that are asked for."""
    options = _options()
    require_build()
    cases = [case for case in CASES if case.name in (options.case or [case.name])]
    if missing := split_parameters(cases[0])[1]:
        print(f"the built template has no {', '.join(missing)}: left out", flush=True)
    results = []
    for case in cases:
        messages = options.messages or case.messages
        print(f"{case.name}: {messages} messages, at best {messages / case.optimum():.0f} s", flush=True)
        ours = measure_ours(case, messages)
        ceiling = measure_ceiling(case, messages) if case.has_ceiling else None
        peer = None
        if case.has_peer and not options.no_naive:
            peer = measure_peer(case, messages, max(ours.seconds, options.naive_limit))
        results.append(Result(case, messages, ours, peer, ceiling))
        print(text(rows(results)), flush=True)
    calls = "" if options.no_gate else gate_sentence(count_gate_calls(cases[0], _GATE_MESSAGES), cases[0])
    print(f"\n{calls}")
    is_whole = not (options.case or options.messages or options.no_naive or options.no_gate)
    if folder := options.output or (ROOT / "docs" if is_whole else None):
        folder.mkdir(parents=True, exist_ok=True)
        plot(results, folder / "pacing.png")
        (folder / "pacing-benchmark.md").write_text(page(results, calls, options.naive_limit), "utf-8")
        print(f"\nHow it was measured, and the plot: {folder / 'pacing-benchmark.md'}")
    else:
        print("\nNot the whole benchmark, so docs/ is left alone; --output writes page and plot elsewhere.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pacing", description=__doc__)
    option = parser.add_argument
    option("--case", action="append", choices=[case.name for case in CASES], help="this case alone; can be repeated")
    option("--messages", type=int, metavar="N", help="size of every burst (600; 1,000 and 2,000 in the fast cases)")
    option("--no-naive", action="store_true", help="without the naive peer")
    option("--no-gate", action="store_true", help="without the run that counts the calls of the gate")
    option(
        "--naive-limit",
        type=float,
        default=_PEER_SECONDS,
        metavar="SECONDS",
        help=f"when the peer is cut off, if the time of ours is not longer ({_PEER_SECONDS:g})",
    )
    option("--output", type=Path, metavar="DIRECTORY", help="where page and plot go (docs/, for the whole benchmark)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
