"""``cube-sms``, run against a local stack as an operator runs it.

In a terminal, and in tests/unit/test_command_package.py, it is the installed command. Here it is what that command
runs, in a process that has imported it already: hundreds of starts would take minutes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pexpect

from cube_sms_cli.main import main
from tests.e2e.processes import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
        streams[0].write_text(given or "", "utf-8")
        process = CONTEXT.Process(target=_run, args=(dict(members), arguments, streams))
        process.start()
        process.join(PATIENCE)
        assert process.exitcode is not None, f"cube-sms {arguments}: not after {PATIENCE} s"
        return Ended(process.exitcode, *(stream.read_text("utf-8") for stream in streams[1:]))


def _run(members: Mapping[str, str], arguments: Sequence[str], streams: Sequence[Path]) -> None:
    for descriptor, path in enumerate(streams):
        with path.open("rb" if descriptor == 0 else "wb") as file:
            os.dup2(file.fileno(), descriptor)
    # A process of this kind has none of its own.
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - a descriptor, and for good
    os.environ.clear()
    os.environ.update(members)
    sys.argv = ["cube-sms", *arguments]
    main()


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
