"""CPU time of statements, taken in turns."""

from __future__ import annotations

import time
from timeit import Timer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def interleaved(
    statements: Mapping[str, tuple[str, int]], names: dict[str, Any], rounds: int
) -> dict[str, list[float]]:
    """Time statements in turns, so that what disturbs the machine disturbs all of them.

    Parameters
    ----------
    statements : Mapping[str, tuple[str, int]]
        Each statement, and how often it is run in a round.
    names : dict[str, Any]
        What the statements refer to.
    rounds : int
        How many times each has its turn, after one that does not count.

    Returns
    -------
    dict[str, list[float]]
        Microseconds of this process's CPU for one run of the statement, one value for each round.
    """
    # timeit switches the garbage collector off; it is part of what the functions pay.
    timers = {
        key: Timer(statement, "import gc; gc.enable()", time.process_time, names)
        for key, (statement, _) in statements.items()
    }
    samples: dict[str, list[float]] = {key: [] for key in statements}
    order = list(statements)
    for number in range(rounds + 1):
        for key in order:
            count = statements[key][1]
            seconds = timers[key].timeit(count)
            if number:
                samples[key].append(seconds / count * 1e6)
        # Nobody always comes after the same neighbour.
        order = [*order[1:], order[0]] if number % 2 else order[::-1]
    return samples
