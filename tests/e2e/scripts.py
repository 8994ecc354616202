"""Run a script of the repository against a local stack, as an operator runs it against a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.stack import LocalStack

ROOT = Path(__file__).parents[2]


def run_script(stack: LocalStack, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `scripts/<script>.py` and return how it ended and what it printed."""
    command = [sys.executable, f"scripts/{script}.py", *arguments]
    environment = os.environ | stack.aws.environment
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
