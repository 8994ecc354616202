"""What was sent to a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cube_sms.delivery import MOST_PER_PAGE, Record, device_messages
from cube_sms_cli.options import Operator, command
from cube_sms_cli.output import printable, table
from cube_sms_cli.records import aws_faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.delivery import SpoiledRecordError

MOST = 1000

_COLUMNS = {
    "createdAt": "Accepted",
    "requestId": "Message",
    "account": "Account",
    "state": "State",
    "attempts": "Attempts",
    "code": "Code",
    "reason": "Reason",
    "updatedAt": "Updated",
}


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(command(messages))


def messages(
    operator: Operator,
    device: Annotated[str, typer.Option(help="Which device.", metavar="ID")],
    limit: Annotated[int, typer.Option(help="The most messages to show.", min=1, max=MOST)] = 20,
) -> None:
    """Show what was sent to a device, newest first.

    Example: cube-sms messages --device 89314404000939952201
    """
    index = operator.stack.output(
        "DeviceIndexName",
        wanted_for="Deploy it with DeviceHistory=true: that adds $0.63 to a million messages (docs/cost.md).",
    )
    records = operator.stack.output("MessagesTableName")
    with aws_faults():
        found = [_told(each) for each in _newest(operator.stack.client("dynamodb"), records, index, device, limit)]
    rows = [[row.get(name) for name in _COLUMNS] for row in found]
    nothing = f"There is no record of a message to {printable(device)}."
    operator.out.answer(found, table(list(_COLUMNS.values()), rows) if rows else nothing)


def _newest(
    client: DynamoDBClient, records: str, index: str, device: str, limit: int
) -> Iterator[Record | SpoiledRecordError]:
    after, left = None, limit
    while left:
        page = device_messages(client, records, index, device, limit=min(left, MOST_PER_PAGE), after=after)
        yield from page.records
        left, after = left - len(page.records), page.next
        if not after:
            return


def _told(found: Record | SpoiledRecordError) -> dict[str, Any]:
    if isinstance(found, Record):
        return found.members
    return {"requestId": found.message_id.partition("#")[2], "reason": str(found)}
