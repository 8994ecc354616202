"""What was sent to a device, and what it has answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cube_sms.delivery import MOST_PER_PAGE, device_history, entry_members
from cube_sms_cli.options import Operator, command
from cube_sms_cli.output import printable, table
from cube_sms_cli.records import aws_faults

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.delivery import Entry

MOST = 1000

# Members of a message, of a reply, or of both: the first that an entry has.
_COLUMNS = {
    "At": ("createdAt", "receivedAt"),
    "What": ("kind",),
    "Id": ("requestId", "eventId", "key"),
    "Account": ("account",),
    "State": ("state",),
    "Attempts": ("attempts",),
    "Code": ("code",),
    "Reason": ("reason",),
    "Updated": ("updatedAt",),
    "Content": ("content",),
}


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(command(messages))


def messages(
    operator: Operator,
    device: Annotated[str, typer.Option(help="Which device.", metavar="ID")],
    limit: Annotated[int, typer.Option(help="The most entries to show.", min=1, max=MOST)] = 20,
) -> None:
    """Show what was sent to a device and what it has answered, newest first.

    Example: cube-sms messages --device 89314404000939952201
    """
    index = operator.stack.output(
        "DeviceIndexName",
        wanted_for="Deploy it with DeviceHistory=true: that adds $0.63 to a million messages (docs/cost.md).",
    )
    records = operator.stack.output("MessagesTableName")
    with aws_faults():
        newest = _newest(operator.stack.client("dynamodb"), records, index, device, limit)
        found = [entry_members(entry) for entry in newest]
    shown = {name: members for name, members in _COLUMNS.items() if name != "Content" or _has_content(found)}
    rows = [
        [next((each[name] for name in members if name in each), None) for members in shown.values()] for each in found
    ]
    nothing = f"Nothing is known of {printable(device)}: neither a message to it nor a reply."
    operator.out.answer(found, table(list(shown), rows) if rows else nothing)


def _newest(client: DynamoDBClient, records: str, index: str, device: str, limit: int) -> Iterator[Entry]:
    after, left = None, limit
    while left:
        page = device_history(client, records, index, device, limit=min(left, MOST_PER_PAGE), after=after)
        yield from page.entries
        left, after = left - len(page.entries), page.next
        if not after:
            return


def _has_content(found: Iterable[Mapping[str, Any]]) -> bool:
    return any(each.get("content") is not None for each in found)


def _first(entry: Mapping[str, Any], members: Iterable[str]) -> Any:
    return next((entry[name] for name in members if name in entry), None)
