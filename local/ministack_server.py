"""MiniStack, but that an invocation's output is in the log once it is answered, and that processes share their layers.

MiniStack itself takes what a thread has read within 50 ms. On a busy machine that is too early: the lines come with the
next invocation of the same process, or never. And it unpacks all layers again for each process of a function, which
takes longer than the process needs to start. Usage, in MiniStack's own environment: ``python -P FILE``.
"""

from __future__ import annotations

import hashlib
import os
import select
import tempfile
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack.app import main
from ministack.core import lambda_runtime


class Worker(lambda_runtime.Worker):  # type: ignore[misc] # nothing of MiniStack's environment is in ours
    """A process of a function, whose output is read to its end before an invocation is answered."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._reading = threading.Lock()
        self._pipe: Any = None
        self._rest = b""

    def _read_stderr(self) -> None:
        """Read while the function runs, so that it never waits for a full pipe."""
        self._pipe = pipe = self._proc.stderr
        while _is_readable(pipe, timeout=None):
            if not self._read(pipe):
                return

    def _drain_stderr(self) -> str:
        # A function writes its lines before its answer: all of them are in the pipe, or have been read from it.
        if self._pipe:
            self._read(self._pipe)
        return str(super()._drain_stderr())

    def _drain_stderr_bounded(self, **_: float) -> str:
        return self._drain_stderr()

    def _read(self, pipe: Any) -> bool:
        """Take the lines that are there, and return whether there can be more."""
        with self._reading:
            while _is_readable(pipe, timeout=0):
                if not (chunk := os.read(pipe.fileno(), 65536)):
                    return False
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                for line in lines:
                    self._stderr_queue.put(line.decode(errors="replace"))
        return True


class Archive(zipfile.ZipFile):
    """An archive of a function or a layer. A layer is unpacked once, and each process has links to it."""

    _one_at_a_time = threading.Lock()

    def extractall(self, path: Any = None, *arguments: Any) -> None:
        """Unpack it into a folder."""
        if not Path(path).name.startswith("layer_"):
            super().extractall(path, *arguments)
            return
        contents = repr([(entry.filename, entry.CRC) for entry in self.infolist()])
        unpacked = Path(tempfile.gettempdir(), f"layer-{hashlib.sha256(contents.encode()).hexdigest()}")
        with self._one_at_a_time:
            if not unpacked.exists():
                folder = tempfile.mkdtemp()
                super().extractall(folder)
                Path(folder).rename(unpacked)
        for entry in unpacked.iterdir():
            Path(path, entry.name).symlink_to(entry)


def _is_readable(pipe: Any, *, timeout: int | None) -> bool:
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(timeout))


if __name__ == "__main__":
    lambda_runtime.Worker = Worker
    lambda_runtime.zipfile = SimpleNamespace(**vars(zipfile) | {"ZipFile": Archive})
    main()
