"""The options that choose dead letters, and which ones they choose."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, fields
from datetime import datetime  # noqa: TC003 - Typer reads it
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cube_sms.queue.dead_letters import ACCOUNT, LAST_CODE, REQUEST_ID

from .letters import put_at, reason_of, value_of
from .output import NONE
from .times import moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_sqs.type_defs import MessageTypeDef

_TIME = "TIME"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which dead letters. A chosen one meets all options that are given. The fields are the command's options.

    Parameters
    ----------
    reason : str, optional
        Those with this reason.
    request_id, code, account : list of str, optional
        Those with one of these ids, last codes and accounts.
    since, until : datetime, optional
        Those that were put there since then, and until then.
    """

    reason: Annotated[
        str | None, typer.Option(help=f"Those with this reason, such as AttemptsUsedUp; {NONE} for those without.")
    ] = None
    request_id: Annotated[list[str] | None, typer.Option(help="The one with this id; may be repeated.")] = None
    code: Annotated[
        list[str] | None, typer.Option(help=f"Those with this last code, {NONE} for none; may be repeated.")
    ] = None
    account: Annotated[list[str] | None, typer.Option(help="Those of this account; may be repeated.")] = None
    since: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar=_TIME, help="Those put there at this time or later: 2027-01-31T12:00:00Z."),
    ] = None
    until: Annotated[
        datetime | None, typer.Option(parser=moment, metavar=_TIME, help="Those put there before this time.")
    ] = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is given."""
        return not any(getattr(self, each.name) for each in fields(self))

    def __call__(self, letter: MessageTypeDef) -> bool:
        """Return whether a dead letter is chosen."""
        wanted = {REQUEST_ID: self.request_id, LAST_CODE: self.code, ACCOUNT: self.account}
        since = self.since.timestamp() if self.since else -math.inf
        until = self.until.timestamp() if self.until else math.inf
        return (
            all(not values or value_of(letter, name) in values for name, values in wanted.items())
            and self.reason in (None, reason_of(letter))
            and since <= put_at(letter) < until
        )


def choosing(body: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that choose dead letters, in the place of its parameter ``choice``.

    Parameters
    ----------
    body : Callable
        The command.

    Returns
    -------
    Callable
        What `cube_sms_cli.options.command` takes.
    """
    own = inspect.signature(body, eval_str=True).parameters
    options = inspect.signature(Choice, eval_str=True).parameters

    @wraps(body)
    def run(*arguments: Any, **members: Any) -> None:
        body(*arguments, choice=Choice(**{name: members.pop(name) for name in options}), **members)

    taken = [each for name, each in own.items() if name != "choice"]
    run.__signature__ = inspect.Signature([*taken, *options.values()])  # type: ignore[attr-defined]
    return run
