"""Signing against a bare HMAC of the same bytes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from benchmarks.functions import VALGRIND, call_inside, instructions_inside
from benchmarks.report import Row, Section, Spread, compare, verdict

TITLE = "Signing"
MOST_MICROSECONDS = 6.0
MOST_RATIO = 4.0

_ROUNDS = 80
_COUNT = 500
_COUNTED = 2000

_METHOD = """
`sign(parameters, secret)` of the provider's own example against `hmac.digest` of the bytes it signs, with SHA-1. Beside
the median of its time stands the fastest round: the median moves with what else the machine does.
"""


def measure() -> Section:
    """Return what a signature costs."""
    samples = call_inside("signing.samples", _ROUNDS, _COUNT)
    spread = Spread.of(samples["sign"])
    rows = [
        Row(
            "sign, time",
            f"{spread.text('us')}, fastest {min(samples['sign']):.2f}",
            target=f"<= {MOST_MICROSECONDS:g} us",
            verdict=verdict(spread.median, MOST_MICROSECONDS),
        ),
        compare("sign / hmac.digest, CPU", "us", samples["sign"], samples["digest"], most=MOST_RATIO),
    ]
    if VALGRIND:
        with ThreadPoolExecutor(2) as pool:
            runs = [("sign", 0), ("sign", _COUNTED), ("digest", _COUNTED)]
            base, *totals = pool.map(lambda run: instructions_inside("signing.repeat", *run), runs)
        ours, peer = ((total - base) / _COUNTED / 1e3 for total in totals)
        rows.append(compare("sign / hmac.digest, instructions", "k", [ours], [peer], most=MOST_RATIO))
    return Section(TITLE, _METHOD, rows)
