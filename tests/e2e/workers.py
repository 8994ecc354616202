"""The processes that run a function: found by what they have open, and killed as a crash would."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.stack import LocalStack

_LOOPBACK = "0100007F"
_CONNECTING = "02"


class Workers:
    """The processes of one function, on Linux.

    Parameters
    ----------
    stack : LocalStack
        The stack of the function.
    function : str
        Its name.
    """

    def __init__(self, stack: LocalStack, function: str) -> None:
        # MiniStack keeps each process in a folder of its own, below its own scratch folder.
        self._folders = str(stack.aws.log_file.parent / f"ministack-lambda-{function}-")

    def pids(self) -> list[int]:
        """Return the processes that are alive."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str((process / "cwd").readlink()).startswith(self._folders):
                    found.append(int(process.name))
        return found

    def with_port(self, port: int) -> int | None:
        """Return the process that has a socket with this local port."""
        return self._owner([inode for local, _, _, inode in _sockets() if local == port])

    def connecting_to(self, port: int) -> list[int]:
        """Return the processes that wait for a connection to this port to be made."""
        inodes = [inode for _, remote, state, inode in _sockets() if (remote, state) == (port, _CONNECTING)]
        return [pid for inode in inodes if (pid := self._owner([inode]))]

    def _owner(self, inodes: list[str]) -> int | None:
        wanted = {f"socket:[{inode}]" for inode in inodes}
        return next((pid for pid in self.pids() if wanted & _open_files(pid)), None)


def kill(pid: int) -> None:
    """Kill a process, and return when it is dead."""
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.001)


def _sockets() -> list[tuple[int, int, str, str]]:
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *rest = line.split()
        if local.startswith(_LOOPBACK):
            found.append((int(local[-4:], 16), int(remote[-4:], 16), state, rest[5]))
    return found


def _open_files(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(file.readlink()))
    return found
