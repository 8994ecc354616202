"""One message: cancel it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from cube_sms_cli.errors import Exit
from cube_sms_cli.options import Operator, command
from cube_sms_cli.output import table

_CANCELLED = 200


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(command(cancel))


def cancel(
    operator: Operator, request_ids: Annotated[list[str], typer.Argument(help="Which messages.", metavar="REQUEST_ID…")]
) -> None:
    """Cancel messages that wait.

    Example: cube-sms cancel order-4711
    """
    answers = [operator.stack.call_api("DELETE", f"/messages/{quote(each, safe='')}") for each in request_ids]
    results = [
        {"requestId": each, "state": answer.body.get("state"), "detail": answer.body.get("detail")}
        for each, answer in zip(request_ids, answers, strict=True)
    ]
    operator.out.answer(results, table(["Message", "State", "Detail"], [list(each.values()) for each in results]))
    if any(answer.status != _CANCELLED for answer in answers):
        raise typer.Exit(Exit.FAULT)
