"""The processes of the local stack, and which part of it each one is."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

AWS = "the local AWS"
CUBE = "the simulator"


def parts() -> dict[int, str]:
    """Return the processes below this one, by their ids: a function by its name in the template, and the rest."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # It may have ended meanwhile.
        with suppress(OSError):
            parents[int(folder.name)] = int(stat(int(folder.name))[1])
    found = {}
    for process in parents:
        with suppress(OSError):
            if _is_below(process, parents):
                found[process] = _part(process)
    return found


def stat(process: int) -> list[str]:
    """Return what the kernel says of a process behind its name, which may hold spaces: state, parent, ...

    Raises
    ------
    OSError
        If it has ended.
    """
    return Path("/proc", str(process), "stat").read_text("utf-8").rpartition(")")[2].split()


def _is_below(process: int, parents: Mapping[int, int]) -> bool:
    while process := parents.get(process, 0):
        if process == os.getpid():
            return True
    return False


def _part(process: int) -> str:
    folder = Path("/proc", str(process))
    if b"cube_simulator" in (folder / "cmdline").read_bytes():
        return CUBE
    for variable in (folder / "environ").read_bytes().split(b"\0"):
        if variable.startswith(b"AWS_LAMBDA_FUNCTION_NAME="):
            # The stack, its own name in the template, and what makes it unique. Of a nested stack it is cut off.
            found = re.search(r"-(\w+?)(F[unctio]*)?-?[0-9A-F]{13}$", variable.decode())
            return f"{found[1]}Function" if found else variable.decode()
    return AWS
