"""Dead letters, and messages that Cube rejected: list, show, redrive and delete them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cube_sms_cli.asking import confirm
from cube_sms_cli.choosing import Choice, choosing
from cube_sms_cli.errors import Exit, OperatorError
from cube_sms_cli.letters import EXAMPLES, Summary, whole
from cube_sms_cli.look import Look
from cube_sms_cli.options import Operator, command, ends
from cube_sms_cli.output import NONE, escaped, printable
from cube_sms_cli.progress import progress
from cube_sms_cli.redrive import Deletion, Redrive

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

# Enough for 20,000 messages if a call takes 0.2 s. Then the command shows what it knows.
LOOK_SECONDS = 30.0

# How long to wait for messages that return at once, such as invalid requests.
WAIT_SECONDS = 10.0

Queue = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Another queue, such as one of an earlier QueueType.", show_default=False),
]
Seconds = Annotated[float, typer.Option(help="How long to look at the most, if there are very many.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    _Letters("dlq", "DeadLetterQueueUrl", "dead letters").add_to(app, "What could not be sent.")
    _Letters("rejected", "RejectedQueueUrl", "rejected messages").add_to(app, "What Cube rejected.")


class _Letters:
    """The commands for the messages of one queue.

    Parameters
    ----------
    name : str
        Of the group of commands.
    output : str
        The stack's output that says where the queue is.
    noun : str
        What is on it.
    """

    def __init__(self, name: str, output: str, noun: str) -> None:
        self._name = name
        self._output = output
        self._noun = noun

    def add_to(self, app: typer.Typer, what: str) -> None:
        """Add a group of commands, and what it is about."""
        group = typer.Typer(no_args_is_help=True)
        for body in (self.list_, self.show, self.redrive, self.delete):
            text = (inspect.getdoc(body) or "").format(name=self._name, noun=self._noun)
            group.command(body.__name__.rstrip("_"), help=text)(command(body))
        app.add_typer(group, name=self._name, help=what)

    @choosing
    def list_(
        self,
        operator: Operator,
        *,
        choice: Choice,
        examples: Annotated[int, typer.Option(min=0, help="How many of each reason are shown.")] = EXAMPLES,
        seconds: Seconds = LOOK_SECONDS,
        queue: Queue = None,
    ) -> None:
        """Count {noun} by reason, and show some of each.

        Example: cube-sms {name} list --since 2027-01-31T12:00:00Z
        """
        summary = Summary(examples)

        def take(letter: MessageTypeDef) -> bool:
            if choice(letter):
                summary.add(letter)
            return False

        url = self._url(operator, queue)
        with Look(operator.stack.client("sqs"), url, take) as look:
            look.run(seconds)
            # Before it returns to the queue those that it holds, which takes time too.
            data = {"count": summary.count, "lookedAt": look.seen, "notLookedAt": look.unseen, "reasons": summary.data}
            operator.out.answer(data, *summary.shown(), f"{summary.count} {self._noun}{look.and_unseen}")

    def show(
        self,
        operator: Operator,
        request_id: Annotated[str, typer.Argument(help="Which message.", metavar="REQUEST_ID")],
        *,
        content: Annotated[bool, typer.Option("--content", help="Show what it holds, too.")] = False,
        seconds: Seconds = LOOK_SECONDS,
        queue: Queue = None,
    ) -> None:
        """Show what is known of one of the {noun}.

        Example: cube-sms {name} show order-4711
        """
        found: list[dict[str, Any]] = []
        is_wanted = Choice(request_id=[request_id])

        def take(letter: MessageTypeDef) -> bool:
            if is_wanted(letter):
                found.append(whole(letter, has_content=content))
            return False

        with Look(operator.stack.client("sqs"), self._url(operator, queue), take) as look:
            look.run(seconds)
            if not found:
                raise OperatorError(f"None of the {self._noun} has the id {printable(request_id)}{look.and_unseen}.")
        operator.out.answer(found, *(_line(name, value) for each in found for name, value in each.items()))

    @ends(fault="a message with a requested id is not there, or only a part of a message is left")
    @choosing
    def redrive(
        self,
        operator: Operator,
        *,
        choice: Choice,
        every: All = False,
        wait: Annotated[
            float, typer.Option(metavar="SECONDS", help="How long to wait for those that return at once.")
        ] = WAIT_SECONDS,
        queue: Queue = None,
    ) -> None:
        """Redrive {noun} to the send queue, each once.

        A message keeps its identity: it starts over with new attempts, and one that was sent since is not sent again.
        If only a part of a message is left, it stays on its queue.

        Example: cube-sms {name} redrive --account fleet --since 2027-01-31T12:00:00Z
        """
        _check(choice, every=every)
        sqs, target = operator.stack.client("sqs"), operator.stack.output("SendQueueUrl")
        redrive = Redrive(sqs, self._url(operator, queue), target, choice)
        try:
            with progress(operator.out, "redriven") as tell:
                redrive.run(wait, tell)
        finally:
            # If it is interrupted, too.
            operator.out.answer(redrive.data, *redrive.shown())
        self._end(operator, redrive.missing, is_well=not redrive.refused.count)

    @ends(fault="a message with a requested id is not there")
    @choosing
    def delete(
        self,
        operator: Operator,
        *,
        choice: Choice,
        every: All = False,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
        queue: Queue = None,
    ) -> None:
        """Delete {noun}. They cannot be restored.

        Example: cube-sms {name} delete --request-id order-4711
        """
        _check(choice, every=every)
        url = self._url(operator, queue)
        confirm(f"Delete {'all' if every else 'the chosen'} {self._noun}? They cannot be restored.", is_sure=yes)
        deletion = Deletion(operator.stack.client("sqs"), url, choice)
        try:
            with progress(operator.out, "deleted") as tell:
                deletion.run(tell)
        finally:
            operator.out.answer(deletion.data, *deletion.shown())
        self._end(operator, deletion.missing)

    def _url(self, operator: Operator, queue: str | None) -> str:
        return queue or operator.stack.output(self._output)

    def _end(self, operator: Operator, missing: list[str], *, is_well: bool = True) -> None:
        """End with a fault if a message that was asked for is still there, or never was."""
        if missing and is_well:
            operator.out.fault(f"None of the {self._noun} has the id {', '.join(map(printable, missing))}.")
        if missing or not is_well:
            raise typer.Exit(Exit.FAULT)


def _line(name: str, value: object) -> str:
    if isinstance(value, dict):
        value = [f"{key}: {each}" for key, each in value.items()]
    return f"{name}: {escaped(', '.join(map(str, value)) if isinstance(value, list) else str(value or NONE))}"


def _check(choice: Choice, *, every: bool) -> None:
    if every is not choice.is_empty:
        raise typer.BadParameter("say which ones: --all, or one or more of the options that choose")
