"""Processes beside a test's own that do what several workers do at the same moment."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Forked from a server that has no threads, and has imported what takes longest: a fork of the test's own process may
# inherit a lock that nobody releases.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["boto3", "cube_sms_cli.main", "typer.rich_utils"])


class Ended(NamedTuple):
    """How a program ended.

    Parameters
    ----------
    status : int
        Its exit status.
    out, err : str
        What it wrote.
    """

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its answer, if it was asked for JSON."""
        return json.loads(self.out)


def run_program(
    main: Callable[[], object],
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    given: str = "",
    patience: float | None = None,
) -> Ended:
    """Run a program to its end in a process that has imported what takes longest.

    Parameters
    ----------
    main : Callable[[], object]
        What it does. It can be pickled.
    arguments : sequence of str
        Its command line, with its name.
    environment : Mapping[str, str]
        All of its environment.
    given : str
        What it can read from standard input.
    patience : float, optional
        Seconds to wait for it.
    """
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
        streams[0].write_text(given, "utf-8")
        process = CONTEXT.Process(target=_run, args=(main, list(arguments), dict(environment), streams))
        process.start()
        process.join(patience)
        assert process.exitcode is not None, f"{arguments}: not after {patience} s"
        return Ended(process.exitcode, *(stream.read_text("utf-8") for stream in streams[1:]))


def _run(
    main: Callable[[], object], arguments: list[str], environment: Mapping[str, str], streams: Sequence[Path]
) -> None:
    for descriptor, path in enumerate(streams):
        with path.open("rb" if descriptor == 0 else "wb") as file:
            os.dup2(file.fileno(), descriptor)
    # A process of this kind has none of its own.
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - a descriptor, and for good
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = arguments
    main()
