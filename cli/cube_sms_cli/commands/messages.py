"""One message: send it, see what is known of it, cancel it."""

from __future__ import annotations

import sys
import uuid
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cube_sms.delivery import State
from cube_sms.request import DEFAULT_ACCOUNT
from cube_sms_cli.dossier import gather
from cube_sms_cli.errors import TOLD, Exit, OperatorError
from cube_sms_cli.following import Timeline, follow, path_of, record_of
from cube_sms_cli.options import Operator, command, ends
from cube_sms_cli.output import printable, table
from cube_sms_cli.problems import problem
from cube_sms_cli.requests import enqueue, post
from cube_sms_cli.sheet import sheet

if TYPE_CHECKING:
    from rich.console import RenderableType

Account = Annotated[str, typer.Option(help="The account.")]

_OK = 200

# There is no such message, and it is too late. What else the API answers is about the call.
_ABOUT_THE_MESSAGE = (404, 409)

# A message under way ends by itself.
_UNDER_WAY = frozenset({State.QUEUED, State.SENDING})


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for each in (send, show, cancel):
        app.command()(command(each))


@ends(
    done="Cube has accepted the message, or with --queue alone, it is on the queue",
    fault="it has another end, or is invalid",
    waiting="it is still under way: at --timeout, after Ctrl-C, or since another caller sends it",
)
def send(
    operator: Operator,
    device: Annotated[str, typer.Argument(help="The SIM's ICCID.", metavar="DEVICE")],
    text: Annotated[str, typer.Argument(help="The message, - for standard input.", metavar="TEXT")],
    account: Account = DEFAULT_ACCOUNT,
    binary: Annotated[bool, typer.Option("--binary", help="TEXT is hexadecimal digits.")] = False,
    queue: Annotated[bool, typer.Option("--queue", help="Put it onto the send queue, past the API.")] = False,
    request_id: Annotated[
        str | None, typer.Option("--id", help="Its id: the same id again is sent once. A new one by default.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="When to send it no more, such as 2027-01-31T12:00:00Z.")] = None,
    delivery: Annotated[str | None, typer.Option(help="at-least-once (the default) or at-most-once.")] = None,
    priority: Annotated[str | None, typer.Option(help="normal (the default) or bulk.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Have it queued, and follow it to its end.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="How many seconds to follow it at the most.")] = 300.0,
) -> None:
    """Send a message.

    Example: cube-sms send 89314404000939952215 "Report your position" --wait
    """
    is_repeated = bool(wait and request_id and record_of(operator.stack, request_id, account))
    request_id = request_id or str(uuid.uuid4())
    members = {
        "requestId": request_id,
        "deviceId": device,
        "content": sys.stdin.read().removesuffix("\n") if text == "-" else text,
        "account": account,
        "messageType": "Binary" if binary else "Text",
        "expiresAt": expires,
        "delivery": delivery,
        "priority": priority,
    }
    known = {name: value for name, value in members.items() if value is not None}
    hint = operator.command_line("show", request_id, *_of(account))
    if is_repeated:
        operator.out.note(
            f"There is a message {request_id} already. The same request is not sent again, and another one ends as a "
            f"conflict. The states of that message follow."
        )
    if queue:
        sqs_id = enqueue(operator.stack, known)
        told: dict[str, Any] = {"requestId": request_id, "account": account, "sqsMessageId": sqs_id}
    else:
        told = _post(operator, known, hint, is_queued=wait)
    if wait:
        _follow(operator, request_id, account, timeout, hint)
    else:
        rows = [[request_id, told.get("state", "on the queue"), told.get("code")]]
        operator.out.answer(told, table(["Message", "State", "Code"], rows), f"Look at it with: {hint}")


@ends(fault="nothing is known of the message")
def show(
    operator: Operator,
    request_id: Annotated[str, typer.Argument(help="Which message.", metavar="REQUEST_ID")],
    account: Account = DEFAULT_ACCOUNT,
    lines: Annotated[int, typer.Option(min=1, help="How many lines of each function's log at the most.")] = 200,
    hours: Annotated[float, typer.Option(min=0, help="How far back logs are searched if there is no record.")] = 24.0,
    content: Annotated[bool, typer.Option("--content", help="Show its dead letters whole, with the text.")] = False,
) -> None:
    """Show everything that is known of a message: record, attempts, log, event, dead letters.

    Example: cube-sms show order-4711
    """
    found = gather(operator.stack, account, request_id, hours=hours, most_lines=lines, has_content=content)
    if found.is_empty:
        unseen = f" About {found.unseen} dead letters could not be looked at." if found.unseen else ""
        raise OperatorError(
            f"Nothing is known of the message {request_id} of the account {account}. Is the account right (--account)? "
            f"Records are kept for {operator.stack.parameters['RecordRetentionDays']} days, and the logs of {hours:g} "
            f"hours were searched (--hours).{unseen}"
        )
    operator.out.answer(found.members, *sheet(found))


@ends(done="all messages are cancelled", fault="it is too late for one of them")
def cancel(
    operator: Operator,
    request_ids: Annotated[list[str], typer.Argument(help="Which messages.", metavar="REQUEST_ID…")],
    account: Account = DEFAULT_ACCOUNT,
) -> None:
    """Cancel messages that wait.

    Example: cube-sms cancel order-4711 order-4712
    """
    results = []
    for request_id in request_ids:
        answer = operator.stack.call_api("DELETE", path_of(request_id, account))
        state, is_cancelled = answer.body.get("state"), answer.status == _OK
        if not is_cancelled and answer.status not in _ABOUT_THE_MESSAGE:
            raise OperatorError(problem(answer))
        detail = answer.body.get("reason") if is_cancelled else problem(answer)
        results.append({"requestId": request_id, "isCancelled": is_cancelled, "state": state, "detail": detail})
    rows = [[each["requestId"], each["state"], each["detail"]] for each in results]
    operator.out.answer(results, table(["Message", "State", "Detail"], rows))
    if not all(each["isCancelled"] for each in results):
        raise typer.Exit(Exit.FAULT)


def _of(account: str) -> list[str]:
    return [] if account == DEFAULT_ACCOUNT else ["--account", account]


def _post(operator: Operator, members: dict[str, Any], hint: str, *, is_queued: bool) -> dict[str, Any]:
    answer = post(operator.stack, members, is_queued=is_queued, hint=hint)
    if answer.status < 300:
        return answer.body
    if operator.out.is_json:
        operator.out.answer(answer.body)
    if answer.body.get("state") in _UNDER_WAY:
        operator.out.note(f"{problem(answer)} Look at it: {hint}")
        raise typer.Exit(Exit.WAITING)
    raise OperatorError(problem(answer))


def _follow(operator: Operator, request_id: str, account: str, timeout: float, hint: str) -> None:
    """Follow a message to its end, and end with the status of that."""
    out, timeline = operator.out, Timeline()
    try:
        follow(timeline, lambda: record_of(operator.stack, request_id, account), out.note, seconds=timeout)
    except (KeyboardInterrupt, *TOLD) as error:
        out.note(f"{request_id} goes on. Look again with: {hint}")
        if not isinstance(error, KeyboardInterrupt):
            raise
        raise typer.Exit(Exit.WAITING) from None
    shown: list[RenderableType] = [printable(request_id), timeline.table()]
    shown += [] if timeline.has_ended else [f"It goes on. Look again with: {hint}"]
    record = timeline.record or {"requestId": request_id, "account": account, "state": None}
    out.answer({**record, "timeline": timeline.entries}, *shown)
    if not timeline.has_ended:
        raise typer.Exit(Exit.WAITING)
    if not State[record["state"]].is_sent:
        raise typer.Exit(Exit.FAULT)
