"""How the processes of the functions grow during a soak."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.parts import AWS, CUBE, parts, stat
from benchmarks.report import table

_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6

# Of the last third of the looks, how much more than in the second one counts as growth: in the first, caches fill.
MOST_MEMORY = 1.03
MOST_MORE_MB = 1.0
# A pool begins a thread when all of it are busy for the first time.
MOST_MORE = 3

# A process that was looked at less often has only begun.
LEAST_LOOKS = 30


class Look(NamedTuple):
    """What a process holds at a moment."""

    megabytes: float
    threads: int
    descriptors: int


class Growth:
    """Looks at the processes of all functions."""

    def __init__(self) -> None:
        self._looks: dict[tuple[str, int], list[Look]] = defaultdict(list)

    def look(self) -> None:
        """Look at each process."""
        for process, part in parts().items():
            # It may have ended meanwhile.
            if part not in (AWS, CUBE):
                with suppress(OSError):
                    self._looks[part, process].append(_look(process))

    def faults(self) -> list[str]:
        """Return which processes grew, in words."""
        found = []
        for (part, process), looks in self._looks.items():
            before, after = _thirds(looks)
            if len(looks) < LEAST_LOOKS:
                continue
            megabytes = [median(look.megabytes for look in some) for some in (before, after)]
            if megabytes[1] > max(megabytes[0] * MOST_MEMORY, megabytes[0] + MOST_MORE_MB):
                found.append(f"{part} ({process}): memory grew from {megabytes[0]:.1f} to {megabytes[1]:.1f} MB")
            for what in ("threads", "descriptors"):
                counts = [max(getattr(look, what) for look in some) for some in (before, after)]
                if counts[1] > counts[0] + MOST_MORE:
                    found.append(f"{part} ({process}): {what} grew from {counts[0]} to {counts[1]}")
        return found

    def table(self) -> str:
        """Return what was seen, a process a line."""
        header = ("function", "looks", "memory, second third", "memory, last third", "threads", "descriptors")
        rows = []
        for (part, _), looks in sorted(self._looks.items()):
            before, after = _thirds(looks)
            if before:
                megabytes = (f"{median(look.megabytes for look in some):.1f} MB" for some in (before, after))
                most = (f"{max(look.threads for look in after)}", f"{max(look.descriptors for look in after)}")
                rows.append((part, f"{len(looks)}", *megabytes, *most))
        return table(header, rows)


def _thirds(looks: list[Look]) -> tuple[list[Look], list[Look]]:
    third = len(looks) // 3
    return looks[third : 2 * third], looks[2 * third :]


def _look(process: int) -> Look:
    threads, pages = int(stat(process)[17]), int(stat(process)[21])
    return Look(pages * _PAGE_MB, threads, len(list(Path("/proc", str(process), "fd").iterdir())))
