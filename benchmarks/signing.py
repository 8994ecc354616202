"""Signing against a bare HMAC of the same bytes."""

from __future__ import annotations

from benchmarks.functions import OURS
from benchmarks.processes import call_inside
from benchmarks.report import Row, Section, Spread, compare, verdict
from benchmarks.server import Server

TITLE = "Signing"
MOST_MICROSECONDS = 6.0
MOST_RATIO = 4.0

_ROUNDS = 80
_COUNT = 500

_METHOD = """
CPU of `sign(parameters, secret)` with the provider's own example, against `hmac.digest` of the bytes it signs, with
SHA-1. Beside the median stands the round with the least: the median moves with what else the machine does.
"""


def measure(*, quick: bool = False) -> Section:
    """Return what a signature costs."""
    with Server() as server:
        samples = call_inside(OURS, server, "signing.samples", 10 if quick else _ROUNDS, _COUNT)
    spread = Spread.of(samples["sign"])
    rows = [
        Row(
            "sign, CPU",
            f"{spread.text('us')}, least {min(samples['sign']):.2f}",
            target=f"<= {MOST_MICROSECONDS:g} us",
            verdict=verdict(spread.median, MOST_MICROSECONDS),
        ),
        compare("sign / hmac.digest, CPU", "us", samples["sign"], samples["digest"], most=MOST_RATIO),
    ]
    return Section(TITLE, _METHOD, rows)
