"""Each check of `make check`, as a test: it runs beside the others, and fails the run if it fails."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHECKS = re.findall(r"^(check-[a-z-]+):$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


def test_there_are_checks() -> None:
    assert "check-mypy" in CHECKS


@pytest.mark.parametrize("check", CHECKS)
def test_check_passes(check: str) -> None:
    # A make of its own, and none that a `make test` has the jobs of.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--silent", check]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
