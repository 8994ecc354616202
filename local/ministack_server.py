"""MiniStack, with what the stack needs of it beyond what it does itself.

An invocation's output is in the log once it is answered, and processes share their layers. A map of Step Functions
takes `MaxConcurrencyPath`, its children have a history, and they end with their execution. Who may put one message
onto a queue may put ten, as on AWS.

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
from ministack.core import iam_actions, lambda_runtime
from ministack.services import stepfunctions


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


class States(dict[str, Any]):
    """The states of a child of a map: each that it enters is in its history, and it enters none once it is aborted.

    Parameters
    ----------
    states : dict
        The states.
    execution : dict
        The execution that enters them.
    """

    def __init__(self, states: dict[str, Any], execution: dict[str, Any]) -> None:
        super().__init__(states)
        self._execution = execution

    def get(self, name: str, default: Any = None) -> Any:
        """Return the state that is entered."""
        run = stepfunctions._map_runs.get(self._execution.get("mapRunArn"))
        parent = stepfunctions._executions[run["executionArn"]] if run else self._execution
        if parent["status"] != "RUNNING":
            raise stepfunctions._ExecutionError("States.Aborted", "The execution was stopped")
        state = super().get(name, default)
        if run and state:
            details = {"stateEnteredEventDetails": {"name": name}}
            stepfunctions._add_event(self._execution, f"{state['Type']}StateEntered", details)
        return state


_extract_iam_action = iam_actions.extract_iam_action
_run_sub_machine = stepfunctions._run_sub_machine
_run_distributed_map = stepfunctions._run_distributed_map


def extract_iam_action(*arguments: Any, **options: Any) -> Any:
    """Return which permission a call needs."""
    action = _extract_iam_action(*arguments, **options)
    return "sqs:SendMessage" if action == "sqs:SendMessageBatch" else action


def run_sub_machine(states: Any, start_at: Any, data: Any, execution: Any, context: Any) -> Any:
    """Run the states of a branch, or of a child of a map."""
    return _run_sub_machine(States(states, execution), start_at, data, execution, context)


def run_distributed_map(state: Any, raw: Any, effective: Any, iterator: Any, execution: Any, context: Any) -> Any:
    """Run a map with as many children at a time as its input says."""
    if path := state.get("MaxConcurrencyPath"):
        state = {**state, "MaxConcurrency": stepfunctions._resolve_path(path, effective)}
    return _run_distributed_map(state, raw, effective, iterator, execution, context)


def _is_readable(pipe: Any, *, timeout: int | None) -> bool:
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(timeout))


if __name__ == "__main__":
    lambda_runtime.Worker = Worker
    lambda_runtime.zipfile = SimpleNamespace(**vars(zipfile) | {"ZipFile": Archive})
    iam_actions.extract_iam_action = extract_iam_action
    stepfunctions._run_sub_machine = run_sub_machine
    stepfunctions._run_distributed_map = run_distributed_map
    main()
