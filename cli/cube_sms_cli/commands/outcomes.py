"""Outcomes that Lambda has given up publishing: they are listed, and published after all."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - Typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cube_sms_cli.errors import Exit
from cube_sms_cli.look import Look
from cube_sms_cli.options import Operator, command, ends
from cube_sms_cli.output import table
from cube_sms_cli.progress import progress
from cube_sms_cli.replay import (
    NotInStreamError,
    NotPublishedError,
    changes_in_stream,
    changes_in_table,
    publish,
    read_batch,
)
from cube_sms_cli.times import moment

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from cube_sms_cli.replay import Batch

_FUNCTION = "PublishOutcomesFunctionName"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(no_args_is_help=True)
    for body in (list_, replay, rebuild):
        group.command(body.__name__.rstrip("_"))(command(body))
    app.add_typer(group, name="outcomes", help="Outcome events that were given up.")


def list_(operator: Operator) -> None:
    """List the outcomes that were given up: why, how many, and until when the stream has them.

    Example: cube-sms outcomes list
    """
    _look(operator, is_to_be_published=False)


@ends(fault="an outcome could not be published")
def replay(operator: Operator) -> None:
    """Publish what the stream still has of them, and take it off the queue.

    Example: cube-sms outcomes replay
    """
    if not _look(operator, is_to_be_published=True):
        raise typer.Exit(Exit.FAULT)


@ends(fault="a record cannot be read")
def rebuild(
    operator: Operator,
    since: Annotated[datetime, typer.Option(parser=moment, metavar="TIME", help="Since when: 2027-01-31T12:00:00Z.")],
) -> None:
    """Publish the outcome of every message that has ended since a time. This reads the whole table.

    Example: cube-sms outcomes rebuild --since 2027-01-31T12:00:00Z
    """
    stack = operator.stack
    function, name = stack.output(_FUNCTION), stack.output("MessagesTableName")
    with progress(operator.out, "published") as tell:
        changes, spoiled = changes_in_table(stack.client("dynamodb"), name, since)
        publish(stack.client("lambda"), function, changes, lambda done: tell(done, len(changes), done))
    faults = [{"messageId": each.message_id, "fault": str(each)} for each in spoiled]
    operator.out.answer(
        {"published": len(changes), "notPublished": faults},
        f"{len(changes)} outcomes published from the table",
        *(table(["Message", "Cannot be read, and is not published"], [[*each.values()] for each in faults]),)
        * bool(faults),
    )
    if spoiled:
        raise typer.Exit(Exit.FAULT)


def _look(operator: Operator, *, is_to_be_published: bool) -> bool:
    """Go through the queue of the unpublished, and return whether nothing is left of it."""
    sqs, queue = operator.stack.client("sqs"), operator.stack.output("UnpublishedQueueUrl")
    function = operator.stack.output(_FUNCTION)
    results: list[dict[str, Any]] = []

    def take(message: MessageTypeDef) -> bool:
        batch = read_batch(message)
        if batch is None:
            results.append({"messageId": message["MessageId"], "result": "not Lambda's report of a batch"})
            return False
        fault = _publish(operator, function, batch) if is_to_be_published else "not published"
        results.append({**batch.data, "messageId": message["MessageId"], "result": fault or "published"})
        if fault:
            return False
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return True

    try:
        # One after the other: the function publishes what it is given in its order.
        with Look(sqs, queue, take, threads=1) as look:
            look.run()
    finally:
        # If it is interrupted, too.
        published = len([each for each in results if each["result"] == "published"])
        names = ("reason", "records", "from", "inStreamUntil", "result")
        columns = ["Why", "Records", "From", "In the stream until", "Result"]
        operator.out.answer(
            {"batches": results, "published": published},
            *[table(columns, [[each.get(name) for name in names] for each in results])] * bool(results),
            f"{len(results)} batches, {published} published",
        )
    return published == len(results)


def _publish(operator: Operator, function: str, batch: Batch) -> str | None:
    """Publish a batch, and return why it failed."""
    try:
        changes = changes_in_stream(operator.stack.client("dynamodbstreams"), batch)
        publish(operator.stack.client("lambda"), function, changes)
    except (NotPublishedError, NotInStreamError) as error:
        return str(error)
    return None
