"""The options that every command has, before its name or after it, and what a command gets for them."""

from __future__ import annotations

import inspect
import shlex
import traceback
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from .errors import Exit, told
from .output import Output
from .stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_STACK = "cube-sms"


@dataclass(frozen=True)
class Options:
    """The stack on which a command works, and how it answers.

    Parameters
    ----------
    stack, region, profile : str, optional
        The stack's name, and AWS's region and profile. boto3's own environment says what is not given.
    local : bool
        Whether it is the stack of ``make local``.
    json : bool
        Whether the answer is JSON.
    debug : bool
        Whether a fault shows its traceback.
    """

    stack: str | None = None
    region: str | None = None
    profile: str | None = None
    local: bool = False
    json: bool = False
    debug: bool = False

    def over(self, others: Options | None) -> Self:
        """Return these options, and of the others what these do not say."""
        merged: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        for name, value in merged.items():
            merged[name] = value or getattr(others, name, value)
        return type(self)(**merged)


@dataclass(frozen=True)
class Operator:
    """What a command works with.

    Parameters
    ----------
    stack : Stack
        The deployed stack, which is asked when it is first needed.
    out : Output
        Takes the answers.
    options : Options
        What the command line said of both.
    """

    stack: Stack
    out: Output
    options: Options

    def command_line(self, *words: str) -> str:
        """Return a command line that works on the same stack, for an operator to copy."""
        given = self.options
        own = {"--stack": given.stack, "--region": given.region, "--profile": given.profile}
        options = [word for name, value in own.items() if value for word in (name, value)]
        return shlex.join(["cube-sms", *words, *options, *(["--local"] if given.local else [])])


def common(
    context: typer.Context,
    *,
    stack: Annotated[
        str | None, typer.Option(help=f"CloudFormation stack ({DEFAULT_STACK}).", envvar="CUBE_SMS_STACK")
    ] = None,
    region: Annotated[str | None, typer.Option(help="AWS region.", envvar="AWS_REGION")] = None,
    profile: Annotated[str | None, typer.Option(help="AWS profile.")] = None,
    local: Annotated[bool, typer.Option("--local", help="Use the stack of `make local`.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a fault.")] = False,
) -> None:
    """Keep the options for the command that follows them."""
    context.obj = Options(stack, region, profile, local, json, debug).over(context.obj)


def command(body: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function: with the common options, and with its faults as sentences.

    Parameters
    ----------
    body : Callable
        Takes an `Operator` first, and then what Typer is to read for it.

    Returns
    -------
    Callable
        What Typer can register.

    Examples
    --------
    >>> @app.command()  # doctest: +SKIP
    ... @command
    ... def greet(operator: Operator, name: str) -> None:
    ...     operator.out.answer({"name": name}, f"Hello, {name}")
    """
    _, *own = inspect.signature(body, eval_str=True).parameters.values()
    shared = list(inspect.signature(common, eval_str=True).parameters.values())

    @wraps(body)
    def run(context: typer.Context, **arguments: Any) -> None:
        common(context, **{each.name: arguments.pop(each.name) for each in shared[1:]})
        options: Options = context.obj
        operator = Operator(
            Stack(options.stack or DEFAULT_STACK, options.region, options.profile, is_local=options.local),
            Output(is_json=options.json),
            options,
        )
        try:
            body(operator, **arguments)
        except (typer.Exit, typer.Abort, KeyboardInterrupt):
            raise
        except Exception as error:
            # Typer reports what is wrong with the command line.
            if isinstance(error, typer.TyperException) or options.debug:
                raise
            operator.out.fault(told(error) or _own_fault(error))
            raise typer.Exit(Exit.FAULT) from None

    keyword_only = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *shared[1:])]
    signature = inspect.Signature([shared[0], *keyword_only])
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    return run


def ends(*, done: str = "", fault: str = "", waiting: str = "") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add to the help of a command what its exit statuses mean, if that is more than for every command.

    Parameters
    ----------
    done, fault, waiting : str
        The conditions for `Exit.DONE`, `Exit.FAULT` and `Exit.WAITING`.

    Returns
    -------
    Callable
        A decorator, for a function that `command` takes.
    """
    conditions = {Exit.DONE: done, Exit.FAULT: fault, Exit.WAITING: waiting}
    text = "; ".join(f"{status:d} if {condition}" for status, condition in conditions.items() if condition)

    def decorate(body: Callable[..., None]) -> Callable[..., None]:
        body.__doc__ = f"{inspect.getdoc(body)}\n\nExit status: {text}."
        return body

    return decorate


def _own_fault(error: Exception) -> str:
    """Return what a fault of the command is, without its text: that may hold content or credentials."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"
    return f"This is a fault of cube-sms ({where}). Run it again with --debug, and report what it shows."
