"""The command ``cube-sms``: its groups of commands, put together."""

from __future__ import annotations

import typer

from cube_sms import __version__

from .commands import accounts, campaigns, doctor, history, letters, messages, outcomes, pausing, policy, probe, top
from .options import Operator, command, common

app = typer.Typer(
    name="cube-sms",
    help="Operate a deployed stack of cube-sms.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.callback()(common)
for each in (doctor, probe, messages, history, campaigns, letters, outcomes, accounts, pausing, top, policy):
    each.add_to(app)


@app.command()
@command
def version(operator: Operator) -> None:
    """Show the version of this command.

    Example: cube-sms version
    """
    operator.out.answer({"version": __version__}, __version__)


def main() -> None:
    """Run the command line."""
    app()
