"""Campaigns: check a file, send to each of its devices, and see how far that is."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.text import Text

from cube_sms.delivery import State
from cube_sms_cli.asking import confirm
from cube_sms_cli.campaigns import UNDER_WAY, Campaigns
from cube_sms_cli.errors import TOLD, Exit, OperatorError
from cube_sms_cli.findings import findings
from cube_sms_cli.options import Operator, command, ends
from cube_sms_cli.output import table
from cube_sms_cli.watching import ended, watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

File = Annotated[str, typer.Argument(help="A local file, or s3://bucket/key.", metavar="FILE")]
Name = Annotated[str, typer.Argument(help="The campaign's name.", metavar="NAME")]
NameOption = Annotated[
    str | None, typer.Option(help="The campaign's name, which ids of its messages begin with. By default the file's.")
]
Content = Annotated[str, typer.Option("--text", help="The text of rows that have none of their own.")]
NoWatch = Annotated[bool, typer.Option("--no-watch", help="Do not wait for its end.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(no_args_is_help=True)
    for each in (check, start, follow, pause, resume, stop, result):
        group.command("watch" if each is follow else None)(command(each))
    group.command("list")(command(list_campaigns))
    app.add_typer(group, name="campaign", help="Send a message to each device of a CSV file.")


@ends(done="all rows are valid", fault="a row would be refused, or the file is invalid")
def check(operator: Operator, file: File, name: NameOption = None, text: Content = "") -> None:
    """Check every row of a file, and send nothing.

    Example: cube-sms campaign check spring.csv --text "Report your position"
    """
    operator.out.note(f"{file} is being checked.")
    found = Campaigns(operator.stack).check(file, name or Path(file).stem, text)
    operator.out.answer(found, *findings(found, file))
    if found["refused"]["count"]:
        raise typer.Exit(Exit.FAULT)


@ends(
    done="the campaign has ended, or with --no-watch, is under way",
    fault="it was stopped or has failed",
    waiting="it continues after Ctrl-C",
)
def start(
    operator: Operator, file: File, name: NameOption = None, text: Content = "", no_watch: NoWatch = False
) -> None:
    """Send a message for each row of a file, and watch it. The same name again sends nothing twice.

    Example: cube-sms campaign start spring.csv --text "Report your position"
    """
    campaigns, name = Campaigns(operator.stack), name or Path(file).stem
    operator.out.note(f"{file} is being read.")
    execution = campaigns.start(file, name, text)
    with _left_running(operator, name):
        told = campaigns.read(name, execution=execution)
    _go_on(operator, campaigns, told, no_watch=no_watch)


@ends(
    done="the campaign has ended",
    fault="it was stopped or has failed",
    waiting="it continues: with --once, or after Ctrl-C",
)
def follow(
    operator: Operator,
    name: Name,
    once: Annotated[bool, typer.Option("--once", help="Show how far it is, and end with 3 if it goes on.")] = False,
) -> None:
    """Watch a campaign until its end. Ctrl-C leaves it running.

    Example: cube-sms campaign watch spring
    """
    campaigns = Campaigns(operator.stack)
    _go_on(operator, campaigns, campaigns.show(name), no_watch=once, undecided=Exit.WAITING)


def pause(operator: Operator, name: Name) -> None:
    """Send nothing more of a campaign until it is resumed.

    Example: cube-sms campaign pause spring
    """
    told = Campaigns(operator.stack).stop(name)
    again = operator.command_line("campaign", "resume", name)
    operator.out.answer(told, _summary(told), f"It goes on with: {again}")
    _raise_if_over(told)


@ends(
    done="the campaign has ended, or with --no-watch, is under way",
    fault="it was stopped or has failed",
    waiting="it continues after Ctrl-C",
)
def resume(operator: Operator, name: Name, no_watch: NoWatch = False) -> None:
    """Resume a campaign that was paused or stopped, or that failed, and watch it. Nothing is sent twice.

    Example: cube-sms campaign resume spring
    """
    campaigns = Campaigns(operator.stack)
    former = campaigns.resume(name)
    with _left_running(operator, name):
        told = campaigns.read(name, after=former)
    _go_on(operator, campaigns, told, no_watch=no_watch)


@ends(done="the campaign is stopped", fault="it has ended before", waiting="it continues after Ctrl-C")
def stop(
    operator: Operator,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
    no_watch: NoWatch = False,
) -> None:
    """End a campaign: rows that are not being sent are cancelled, and its result is written.

    Example: cube-sms campaign stop spring --yes
    """
    campaigns = Campaigns(operator.stack)
    told = campaigns.show(name)
    _raise_if_over(told)
    left = told["rows"] - ended(told["states"])
    confirm(f"Cancel the {left} rows of {name} that have not ended?", is_sure=yes)
    _go_on(operator, campaigns, campaigns.stop(name), no_watch=no_watch, wanted="STOPPED")


@ends(fault="the campaign has no result, since it has failed", waiting="it has no result yet")
def result(
    operator: Operator,
    name: Name,
    output: Annotated[str | None, typer.Option(help="The file to write, - for standard output.")] = None,
) -> None:
    """Download the outcome of each row, after a campaign has ended. The file has the texts of the rows.

    If the stack asks for receipts, the result is written again first, with the receipts that are known by now.

    Example: cube-sms campaign result spring --output spring.outcomes.csv
    """
    campaigns = Campaigns(operator.stack)
    told = campaigns.show(name)
    if told["status"] in UNDER_WAY:
        again = operator.command_line("campaign", "watch", name)
        operator.out.note(f"The campaign {name} is {told['status']}, and has no result yet. Watch it with: {again}")
        raise typer.Exit(Exit.WAITING)
    if not told["result"]:
        raise OperatorError(f"The campaign {name} has no result: {campaigns.why_broken_off(told)}")
    if told["hasReceipts"]:
        told = _with_receipts(operator, campaigns, told)
    parts = campaigns.bucket.parts_of(told["result"])
    if output == "-":
        sys.stdout.buffer.writelines(parts)
        return
    path = Path(output or told["result"].rpartition("/")[2])
    size = _write(path, parts)
    operator.out.answer({**told, "output": str(path), "bytes": size}, _summary(told), f"{path}: {size} bytes")


def list_campaigns(
    operator: Operator,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many at the most.")] = 10,
) -> None:
    """List the campaigns that were started last, the newest first.

    Example: cube-sms campaign list
    """
    campaigns = Campaigns(operator.stack)
    found = [told for name in campaigns.bucket.campaigns(limit) if (told := campaigns.find(name))]
    rows = [
        [
            *(each["campaign"], each["status"], each["rows"], ended(each["states"])),
            *(each["states"].get(State.DELIVERED, 0) if each["hasReceipts"] else None,),
            *(each["startedAt"], each["endedAt"]),
        ]
        for each in found
    ]
    columns = ["Campaign", "Status", "Rows", "Ended", "Delivered", "Started", "Ended at"]
    operator.out.answer(found, table(columns, rows))


def _go_on(
    operator: Operator,
    campaigns: Campaigns,
    told: dict[str, Any],
    *,
    no_watch: bool,
    wanted: str = "ENDED",
    undecided: Exit = Exit.DONE,
) -> None:
    """Watch a campaign if that is wanted, show how far it is, and end with the status of that."""
    out, name = operator.out, told["campaign"]
    again = operator.command_line("campaign", "watch", name)
    if not no_watch:
        with _left_running(operator, name, TOLD):
            told = watch(out, told, lambda: campaigns.show(name), "Ctrl-C leaves it running.")
    if told["status"] in UNDER_WAY:
        out.answer(told, _summary(told), f"Look again with: {again}")
        raise typer.Exit(undecided)
    resumed = operator.command_line("campaign", "resume", name)
    if told["status"] == "BROKEN_OFF":
        out.answer(told, _summary(told))
        raise OperatorError(f"{campaigns.why_broken_off(told)} Resume it with: {resumed}")
    fetched = f"The outcome of each row: {operator.command_line('campaign', 'result', name)}"
    out.answer(told, _summary(told), *([f"It goes on with: {resumed}"] if told["status"] == "STOPPED" else []), fetched)
    if told["status"] != wanted:
        raise typer.Exit(Exit.FAULT)


def _with_receipts(operator: Operator, campaigns: Campaigns, told: dict[str, Any]) -> dict[str, Any]:
    """Have a result written with the receipts that are known by now, and return how far the campaign is by it."""
    operator.out.note(f"The result of {told['campaign']} is being written with the receipts known by now.")
    try:
        return campaigns.write_result(told)
    except OperatorError as error:
        operator.out.note(f"{error} The result stays as it is.")
        return told


@contextmanager
def _left_running(operator: Operator, name: str, faults: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Say how to look again if Ctrl-C or one of these faults ends what waits for a campaign."""
    kinds: tuple[type[BaseException], ...] = (KeyboardInterrupt, *faults)
    try:
        yield
    except kinds as error:
        again = operator.command_line("campaign", "watch", name)
        operator.out.note(f"The campaign {name} goes on. Look again with: {again}")
        if not isinstance(error, KeyboardInterrupt):
            raise
        raise typer.Exit(Exit.WAITING) from None


def _raise_if_over(told: dict[str, Any]) -> None:
    if told["status"] == "ENDED":
        raise OperatorError(f"The campaign {told['campaign']} has ended already, at {told['endedAt']}.")


def _summary(told: dict[str, Any]) -> RenderableType:
    since = f"since {told['startedAt']}" + (f" until {told['endedAt']}" if told["endedAt"] else "")
    states = table(["State", "Rows"], sorted(told["states"].items()))
    return Group(Text(f"{told['campaign']}: {told['status']}, {told['rows']} rows, {since}"), states)


def _write(path: Path, parts: Iterator[bytes]) -> int:
    try:
        with path.open("xb") as file:
            return sum(map(file.write, parts))
    except FileExistsError:
        raise OperatorError(f"There is a file {path} already. Give another one with --output.") from None
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror}. Give another one with --output.") from None
