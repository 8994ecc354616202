"""What an operator may do: `policy`."""

from __future__ import annotations

from typing import Annotated

import typer

from cube_sms_cli.options import Operator, command
from cube_sms_cli.output import Output, table
from cube_sms_cli.policies import GROUPS, policy_for


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(command(policy))


def policy(
    operator: Operator,
    groups: Annotated[
        list[str] | None, typer.Argument(help="Groups of commands. Without any: which there are.", metavar="[GROUP…]")
    ] = None,
) -> None:
    """Write the IAM policy of somebody who is to use some groups of commands on the stack.

    Example: cube-sms policy look campaigns
    """
    if not groups:
        rows = {name: ", ".join(commands) for name, commands in GROUPS.items()}
        operator.out.answer(rows, table(["Group", "Commands"], rows.items()))
        return
    if unknown := [each for each in groups if each not in GROUPS]:
        raise typer.BadParameter(f"There is no group {unknown[0]}. There are {', '.join(GROUPS)}.")
    # A policy is JSON, also on a terminal.
    Output(is_json=True).answer(policy_for(operator.stack, dict.fromkeys(groups)))
