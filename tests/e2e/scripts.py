"""Run a script of the repository against a local stack, as an operator runs it against a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.stack import LocalStack

ROOT = Path(__file__).parents[2]


def run_script(stack: LocalStack, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `scripts/<script>.py` and return how it ended and what it printed."""
    return run_with(stack.aws.environment, script, *arguments)


def run_with(environment: Mapping[str, str], script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with these members in its environment; those that are empty are left out of it."""
    members = {name: value for name, value in (os.environ | environment).items() if value}
    command = [sys.executable, "-m", f"scripts.{script}", *arguments]
    return subprocess.run(command, cwd=ROOT, env=members, capture_output=True, text=True, check=False)
