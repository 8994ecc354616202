"""Processes of functions: workers that are told what to do, and commands whose cost is counted."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any, Self

from benchmarks.functions import PYTHON, ROOT, VALGRIND, environment, settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from benchmarks.functions import Subject
    from benchmarks.server import Server

_INSTRUCTIONS = re.compile(r"\bI\s+refs:\s+([0-9,]+)")
_COUNTER = ("--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")


class Worker:
    """A process that keeps a function warm (`benchmarks.inside.worker`), as long as this context runs.

    Parameters
    ----------
    subject : Subject
        The function.
    server : Server
        Its Cube and its AWS.
    delay : float
        Seconds until Cube answers.
    log : Path, optional
        Where it prints; nowhere by default.
    variables : Mapping[str, str], optional
        Further variables of its environment.
    """

    def __init__(
        self,
        subject: Subject,
        server: Server,
        *,
        delay: float = 0.0,
        log: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.subject = subject
        self._process = subprocess.Popen(
            worker_command(subject, log or os.devnull),
            env=worker_environment(subject, server, delay=delay, variables=variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=60)

    def do(self, order: str, *arguments: Any) -> Any:
        """Call a method of the worker's `Function`, and return what it returns."""
        self.begin(order, *arguments)
        return self.end()

    def begin(self, order: str, *arguments: Any) -> None:
        """Call a method, and do not wait."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps([order, *arguments]) + "\n")
        self._process.stdin.flush()

    def end(self) -> Any:
        """Return what the method that was begun returns."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.subject.name} has ended")
        return json.loads(line)


def instructions(command: Sequence[str], variables: dict[str, str]) -> int:
    """Return the user-mode instructions of a command, counted by valgrind."""
    assert VALGRIND
    done = subprocess.run(
        [VALGRIND, *_COUNTER, *command],
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    found = _INSTRUCTIONS.search(done.stderr)
    if done.returncode or not found:
        raise RuntimeError(f"valgrind counted nothing: {done.stderr[-2000:]}")
    return int(found[1].replace(",", ""))


def cpu_seconds(command: Sequence[str], variables: dict[str, str]) -> float:
    """Return the user and system time of a command."""
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_utime + usage.ru_stime


def call_inside(subject: Subject, server: Server, function: str, *arguments: Any) -> Any:
    """Call ``module.name`` of `benchmarks.inside` in a process of a function, and return what it returns."""
    command = [*PYTHON, "-m", "benchmarks.inside", function, json.dumps(arguments)]
    done = subprocess.run(command, env=worker_environment(subject, server), stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def worker_command(subject: Subject, log: str | Path = os.devnull, *orders: Sequence[Any]) -> list[str]:
    """Return the command of a worker, which does what is ordered here, or on its standard input."""
    return [*PYTHON, "-m", "benchmarks.inside.worker", subject.module, str(log), *map(json.dumps, orders)]


def worker_environment(
    subject: Subject, server: Server, *, delay: float = 0.0, variables: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment of a worker whose Cube and AWS are this server."""
    found = environment(subject, {**settings(server.aws_url, server.cube_url(delay)), **(variables or {})})
    # Last, so that it hides nothing of the layers.
    found["PYTHONPATH"] += os.pathsep + str(ROOT)
    return found
