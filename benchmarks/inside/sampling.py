"""Where a message's CPU time goes: the stack, looked at whenever a little more of it has been used."""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
from collections import Counter
from typing import TYPE_CHECKING, Any

from benchmarks.inside.worker import Function

if TYPE_CHECKING:
    from types import FrameType

# Of the process's CPU time. The kernel looks as often as its clock ticks, which may be less often.
_SECONDS = 0.001


def stacks(module: str, messages: int) -> dict[str, Any]:
    """Return the stacks of single messages, handled in the main thread.

    Parameters
    ----------
    module : str
        Where the handler is.
    messages : int
        How many, after some that do not count.

    Returns
    -------
    dict[str, Any]
        ``seconds`` of CPU, and ``stacks``: each with its frames from the handler on, and how often it was seen.
    """
    function = Function(module)
    function.handle(1, 50)
    seen: Counter[tuple[str, ...]] = Counter()
    labels: dict[Any, str] = {}

    def look(_signal: int, frame: FrameType | None) -> None:
        stack = []
        while frame:
            code = frame.f_code
            if code not in labels:
                labels[code] = f"{_relative(code.co_filename)}:{code.co_qualname}"
            stack.append(labels[code])
            frame = frame.f_back
        seen[tuple(reversed(stack))] += 1

    signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, _SECONDS, _SECONDS)
    spent = function.handle(1, messages)
    signal.setitimer(signal.ITIMER_PROF, 0)
    return {"seconds": spent["cpu"], "stacks": [[list(stack), count] for stack, count in seen.items()]}


def _relative(path: str) -> str:
    for folder in ("/opt/python", *sys.path, sysconfig.get_path("stdlib")):
        path = path.removeprefix(folder + os.sep)
    return path
