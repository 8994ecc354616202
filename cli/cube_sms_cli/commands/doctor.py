"""Whether everything is as it should be: `doctor`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from cube_sms_cli.checks import Status, examine
from cube_sms_cli.errors import Exit
from cube_sms_cli.options import Operator, command, ends
from cube_sms_cli.output import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cube_sms_cli.checks import Finding

_STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.FAULT: "bold red", Status.NOT_CHECKED: "dim"}


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(command(doctor))


@ends(fault="a check has found a fault")
def doctor(operator: Operator) -> None:
    """Check everything from the outside in: credentials, stack, secret, clock, Cube's address, queues, gate, alarms.

    It changes nothing. It says what it could not check.

    Example: cube-sms doctor --stack cube-sms-uat
    """
    findings = list(examine(operator.stack))
    rows = [(Text(each.status, _STYLES[each.status]), each.check, each.detail, each.advice or "") for each in findings]
    operator.out.answer(
        [each._asdict() for each in findings], table(["", "Check", "Found", "What to do"], rows), _sum(findings)
    )
    if any(each.status is Status.FAULT for each in findings):
        raise typer.Exit(Exit.FAULT)


def _sum(findings: Sequence[Finding]) -> str:
    counts = Counter(each.status for each in findings)
    countable = (Status.WARNING, Status.FAULT)
    return ", ".join(
        f"{counts[status]} {status}{'s' * (counts[status] > 1 and status in countable)}"
        for status in Status
        if counts[status]
    )
