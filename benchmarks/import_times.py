"""Reader of what ``python -X importtime`` prints."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \| ( *)(\S+)")


class Module(NamedTuple):
    """An imported module.

    Parameters
    ----------
    name : str
        Its full name.
    own : float
        Milliseconds of its own, without those of what it imports.
    importer : str
        The module that imported it first, "" for the interpreter's start and the command.
    """

    name: str
    own: float
    importer: str


def parse(printed: str) -> list[Module]:
    """Return the modules: each line stands after those of what it imports, which are indented deeper."""
    modules: list[Module] = []
    # Going backwards, the importer of a line is the last one that was indented less.
    importers: list[tuple[int, str]] = []
    for line in reversed(printed.splitlines()):
        if found := _LINE.match(line):
            depth, name = len(found[2]), found[3]
            while importers and importers[-1][0] >= depth:
                importers.pop()
            modules.append(Module(name, int(found[1]) / 1000, importers[-1][1] if importers else ""))
            importers.append((depth, name))
    return modules[::-1]


def fastest(runs: Sequence[Iterable[Module]]) -> list[Module]:
    """Return each module with the least time that it took."""
    best: dict[str, Module] = {}
    for modules in runs:
        for module in modules:
            best[module.name] = min(module, best.get(module.name, module), key=lambda each: each.own)
    return list(best.values())


def by_importer(modules: Iterable[Module]) -> list[tuple[str, int, float]]:
    """Return the packages outside the standard library with the number and the milliseconds of what they asked for."""
    modules = list(modules)
    importers = {module.name: module.importer for module in modules}
    packages: defaultdict[str, list[float]] = defaultdict(list)
    for module in modules:
        name = module.name
        while (package := name.partition(".")[0]) in sys.stdlib_module_names and importers.get(name):
            name = importers[name]
        packages[package].append(module.own)
    return sorted(((name, len(times), sum(times)) for name, times in packages.items()), key=lambda each: -each[2])
