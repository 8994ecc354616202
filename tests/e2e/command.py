"""The installed ``cube-sms``, run against a local stack as an operator runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pexpect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.stack import LocalStack

COMMAND = Path(sys.executable).with_name("cube-sms")

# Far above what any command takes on a busy machine.
PATIENCE = 180


class Ended(NamedTuple):
    """How a command ended.

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
        """Its answer, where it was asked for JSON."""
        return json.loads(self.out)


def environment(stack: LocalStack, **members: str) -> dict[str, str]:
    """Return the environment of a command: where the stack is, and these members."""
    return {**os.environ, **stack.aws.environment, **members}


def cube_sms(stack: LocalStack, *arguments: str, given: str | None = None, **members: str) -> Ended:
    """Run a command to its end, with this text on its standard input and these members in its environment."""
    return run(environment(stack, **members), *arguments, given=given)


def run(members: Mapping[str, str], *arguments: str, given: str | None = None) -> Ended:
    """Run a command to its end in an environment of these members."""
    ended = subprocess.run(
        [COMMAND, *arguments],
        env=members,
        input=given or "",
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def in_terminal(stack: LocalStack, *arguments: str, **members: str) -> pexpect.spawn[str]:
    """Start a command in a terminal of its own, for what asks or is redrawn."""
    return pexpect.spawn(
        str(COMMAND),
        list(arguments),
        env=environment(stack, TERM="xterm-256color", **members),
        encoding="utf-8",
        timeout=PATIENCE,
        dimensions=(40, 120),
    )
