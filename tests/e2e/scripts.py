"""Run a script of the repository against a local stack, as an operator runs it against a real one."""

from __future__ import annotations

import os
import runpy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.processes import Ended, run_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.stack import LocalStack

ROOT = Path(__file__).parents[2]


def run_script(stack: LocalStack, script: str, *arguments: str) -> Ended:
    """Run `scripts/<script>.py` and return how it ended and what it printed."""
    return run_with(stack.aws.environment, script, *arguments)


def run_with(environment: Mapping[str, str], script: str, *arguments: str) -> Ended:
    """Run it with these members in its environment; those that are empty are left out of it."""
    members = {name: value for name, value in (os.environ | environment).items() if value}
    return run_program(partial(_run, script), [script, *arguments], members)


def _run(script: str) -> None:
    """Do what `python -m scripts.<script>` does."""
    os.chdir(ROOT)
    runpy.run_module(f"scripts.{script}", run_name="__main__", alter_sys=True)
