"""Run a script of the repository against a local stack, as an operator runs it against a real one."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.processes import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.stack import LocalStack

ROOT = Path(__file__).parents[2]


def run_script(stack: LocalStack, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `scripts/<script>.py` and return how it ended and what it printed."""
    return run_with(stack.aws.environment, script, *arguments)


def run_with(environment: Mapping[str, str], script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with these members in its environment; those that are empty are left out of it."""
    members = {name: value for name, value in (os.environ | environment).items() if value}
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "stdout"), Path(folder, "stderr")
        process = CONTEXT.Process(target=_run, args=(members, script, arguments, out, err))
        process.start()
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess((script, *arguments), process.exitcode, out.read_text(), err.read_text())


def _run(members: Mapping[str, str], script: str, arguments: Sequence[str], out: Path, err: Path) -> None:
    """Do what `python -m scripts.<script>` does, in a process that has boto3 already."""
    for descriptor, path in ((1, out), (2, err)):
        with path.open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    os.environ.clear()
    os.environ.update(members)
    os.chdir(ROOT)
    sys.argv[1:] = arguments
    runpy.run_module(f"scripts.{script}", run_name="__main__", alter_sys=True)
