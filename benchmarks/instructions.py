"""A message of a warm function, in instructions, which hardly differ from run to run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.functions import BARE, NAIVE, OURS, UNTRACED, VALGRIND
from benchmarks.growth import MOST_GROWTH
from benchmarks.processes import instructions, worker_command, worker_environment
from benchmarks.report import Section, compare
from benchmarks.server import Server
from benchmarks.warm import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.functions import Subject

TITLE = "Instructions"

_SIZE = 10
_BATCHES = 5


class _Growth(NamedTuple):
    """A size of batch, and how many the two processes differ by."""

    messages: int
    batches: int


_GROWTH = (_Growth(100, 1), _Growth(1, 20))

_METHOD = f"""
User-mode instructions (valgrind, cachegrind) of a message in batches of {_SIZE}, under the conditions of "Warm" with a
Cube that answers at once: those of a process that handles {_BATCHES} batches more than another one, less those of the
other, so that the start cancels out.
"""


def measure(*, quick: bool = False) -> Section:
    """Return the instructions of a message."""
    if not VALGRIND:
        return Section(TITLE, "Not measured: valgrind was not found.", [])
    with Server() as server:
        counted = _of_messages(server, (OURS, NAIVE, UNTRACED, BARE), _SIZE, _BATCHES)
        samples = {name: [count / 1e3] for name, count in counted.items()}
        kind = f"instructions, batch of {_SIZE}"
        found = rows(kind, "k", samples)
        what = f"a message / {UNTRACED.name}, {kind}"
        found.append(compare(what, "k", samples[OURS.name], samples[UNTRACED.name]))
        if not quick:
            ours = [_of_messages(server, [OURS], *size)[OURS.name] / 1e3 for size in _GROWTH]
            what = f"a message in a batch of {_GROWTH[0].messages} / of {_GROWTH[1].messages}, instructions"
            found.append(compare(what, "k", [ours[0]], [ours[1]], most=MOST_GROWTH))
    return Section(TITLE, _METHOD, found)


def _of_messages(server: Server, subjects: Sequence[Subject], size: int, batches: int) -> dict[str, float]:
    """Return the instructions of a message, by subject."""

    def count(run: tuple[Subject, int]) -> int:
        subject, more = run
        command = worker_command(subject, os.devnull, ["handle", size], ["handle", size, more])
        return instructions(command, worker_environment(subject, server))

    runs = [(subject, more) for subject in subjects for more in (1, 1 + batches)]
    counts = dict(zip(runs, map(count, runs), strict=True))
    return {subject.name: (counts[subject, 1 + batches] - counts[subject, 1]) / size / batches for subject in subjects}
