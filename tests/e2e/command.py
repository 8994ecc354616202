"""``cube-sms``, run against a local stack as an operator runs it.

In a terminal, and in tests/unit/test_command_package.py, it is the installed command. Here it is what that command
runs, in a process that has imported it already: hundreds of starts would take minutes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect

from cube_sms_cli.main import main
from tests.processes import Ended, run_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.stack import LocalStack

COMMAND = Path(sys.executable).with_name("cube-sms")

# Far above what any command takes on a busy machine.
PATIENCE = 180


def environment(stack: LocalStack, **members: str) -> dict[str, str]:
    """Return the environment of a command: where the stack is, and these members."""
    return {**os.environ, **stack.aws.environment, **members}


def cube_sms(stack: LocalStack, *arguments: str, given: str | None = None, **members: str) -> Ended:
    """Run a command to its end, with this text on its standard input and these members in its environment."""
    return run(environment(stack, **members), *arguments, given=given)


def run(members: Mapping[str, str], *arguments: str, given: str | None = None) -> Ended:
    """Run a command to its end in an environment of these members."""
    return run_program(main, ["cube-sms", *arguments], members, given=given or "", patience=PATIENCE)


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
