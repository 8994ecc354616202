"""The gate: close it for everybody, and open it again."""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING, Annotated

import typer

from cube_sms.pacing import Pause, check_reason, end_pause, open_account, open_gate, order_pause
from cube_sms.platform import DAY
from cube_sms_cli.options import Operator, command
from cube_sms_cli.records import aws_faults
from cube_sms_cli.times import moment, seconds_of, shown

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# A message is on the queue for 14 days at most.
MOST_DAYS = 13


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(command(pause))
    app.command()(command(resume))


def pause(
    operator: Operator,
    reason: Annotated[str, typer.Option(help="Why: callers of the API get this text. No secrets.", metavar="TEXT")],
    until: Annotated[
        str | None, typer.Option(help="When it ends, such as 2027-01-15T08:00:00Z.", metavar="TIME")
    ] = None,
    lasting: Annotated[
        str | None, typer.Option("--for", help="How long it lasts, such as 1h30m.", metavar="DURATION")
    ] = None,
) -> None:
    """Pause all sending: messages wait, and callers of the API get the reason.

    Example: cube-sms pause --reason "Cube is being moved" --for 2h
    """
    try:
        check_reason(reason)
    except ValueError as error:
        raise typer.BadParameter(f"The reason {error}.") from None
    if until and lasting:
        raise typer.BadParameter("Give --until or --for, not both.")
    now = time.time()
    ends = moment(until).timestamp() if until else now + seconds_of(lasting) if lasting else inf
    if ends <= now:
        raise typer.BadParameter("The pause would be over already.")
    if now + MOST_DAYS * DAY < ends < inf:
        raise typer.BadParameter(f"It may last {MOST_DAYS} days: SQS keeps a message for 14.")
    table = operator.stack.output("MessagesTableName")
    client: DynamoDBClient = operator.stack.client("dynamodb")
    ordered = Pause(now, ends, reason)
    with aws_faults():
        order_pause(client, table, ordered)
    end = "until you say `cube-sms resume`" if ends == inf else f"until {shown(ends)}"
    operator.out.answer(_told(ordered), f"All sending is paused {end} ({reason}). Every worker knows within seconds.")


def resume(
    operator: Operator,
    gate: Annotated[
        bool, typer.Option("--gate", help="Open the gate as well, if Cube's answers have closed it.")
    ] = False,
    account: Annotated[
        str | None, typer.Option(help="Open the gate for this account as well, if it is closed.", metavar="NAME")
    ] = None,
) -> None:
    """End a pause, so that messages are sent again.

    Example: cube-sms resume
    """
    table = operator.stack.output("MessagesTableName")
    client: DynamoDBClient = operator.stack.client("dynamodb")
    with aws_faults():
        ended = end_pause(client, table)
        closed_for = open_gate(client, table) if gate else None
        is_opened = bool(account) and open_account(client, table, str(account))
    lines = [
        f"The pause is over ({ended.reason}). Waiting messages return within half an hour, sooner after a short pause."
        if ended
        else "Sending was not paused."
    ]
    if gate:
        lines.append(f"The gate is open: it was closed ({closed_for})." if closed_for else "The gate was not closed.")
    if account:
        lines.append(f"The account {account} is open." if is_opened else f"The account {account} was not closed.")
    data = {"ended": _told(ended) if ended else None, "gateWasClosedFor": closed_for, "accountWasClosed": is_opened}
    operator.out.answer(data, *lines)


def _told(pause: Pause) -> dict[str, str | None]:
    return {
        "since": shown(pause.since),
        "until": None if pause.until == inf else shown(pause.until),
        "reason": pause.reason,
    }
