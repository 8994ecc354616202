"""A live view of a deployment."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Annotated

import typer
from rich.live import Live

from cube_sms_cli.options import Operator, command
from cube_sms_cli.overview import Overview
from cube_sms_cli.panel import panel


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(command(top))


def top(
    operator: Operator,
    *,
    once: Annotated[bool, typer.Option("--once", help="Look once, as without a terminal and with --json.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=1, metavar="SECONDS")] = 2.0,
) -> None:
    """Watch rate, queue, gate, quota, outcomes and dead letters.

    Example: cube-sms top
    """
    overview, out = Overview(operator.stack), operator.out
    found = overview.look()
    if once or out.is_json or not out.console.is_terminal:
        out.answer(found, panel(found))
        return
    with suppress(KeyboardInterrupt), Live(panel(found), console=out.console, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            live.update(panel(overview.look()), refresh=True)
