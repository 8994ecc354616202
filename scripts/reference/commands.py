"""The commands of ``cube-sms``, as the command itself describes them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import typer.main

from cube_sms_cli.errors import Exit
from cube_sms_cli.main import app
from cube_sms_cli.options import common

from .docstrings import attribute_docs
from .markdown import code, prose, section, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "cube-sms"
_EXAMPLE = "Example: "
_EXIT = "Exit status: "


def commands() -> str:
    """Return every command: help, arguments, options, example and exit statuses."""
    root = typer.main.get_command(app)
    shared = inspect.signature(common).parameters.keys() - {"context"}
    options = [each for each in _parameters(root) if each.name in shared]
    statuses = attribute_docs(Exit)
    return (
        section("Options of every command", table(["option", "default", ""], map(_row, options)))
        + section("Exit statuses", table(["status", ""], [[code(int(each)), statuses[each.name]] for each in Exit]))
        + "".join(_command(" ".join(path), each, shared) for path, each in _leaves(root))
    )


def _leaves(group: Any, path: tuple[str, ...] = (_NAME,)) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, (*path, name))
        else:
            yield (*path, name), command


def _command(name: str, command: Any, shared: set[str]) -> str:
    paragraphs = [" ".join(each.split()) for each in command.help.split("\n\n")]
    example = next(each.removeprefix(_EXAMPLE) for each in paragraphs if each.startswith(_EXAMPLE))
    exits = next((each.removeprefix(_EXIT) for each in paragraphs if each.startswith(_EXIT)), "")
    about = [prose(each) for each in paragraphs if not each.startswith((_EXAMPLE, _EXIT))]
    own = [each for each in _parameters(command) if each.name not in shared]
    arguments = [each for each in own if each.param_type_name == "argument"]
    options = [each for each in own if each.param_type_name == "option"]
    usage = " ".join([name, *(_placeholder(each) for each in arguments), *(["[OPTIONS]"] if options else [])])
    return section(
        name,
        *about,
        f"```text\n{usage}\n```",
        _table("argument", arguments),
        _table("option", options),
        f"Example: `{example}`",
        table(["exit status", "if"], map(_exit, exits.rstrip(".").split("; "))) if exits else "",
    )


def _exit(text: str) -> list[str]:
    status, _, condition = text.partition(" if ")
    return [code(status), condition]


def _parameters(command: Any) -> list[Any]:
    return [each for each in command.params if not each.hidden]


def _table(kind: str, parameters: list[Any]) -> str:
    return table([kind, "default", ""], map(_row, parameters)) if parameters else ""


def _placeholder(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _row(parameter: Any) -> list[str]:
    """Return an argument or an option: its name, its default, and what it is for."""
    if parameter.param_type_name == "argument":
        return [code(_placeholder(parameter)), "required" if parameter.required else "", prose(parameter.help)]
    is_number = parameter.type_descriptor.annotation in (int, float)
    value = "" if parameter.is_flag else f" {parameter.metavar or ('NUMBER' if is_number else 'TEXT')}"
    named = code(*(f"{name}{value}" for name in parameter.opts))
    default = "required" if parameter.required else "" if parameter.is_flag else code(_number(parameter.default))
    envvar = f" Else `{parameter.envvar}` of the environment." if parameter.envvar else ""
    return [named, default, prose(parameter.help) + _range(parameter) + envvar]


def _range(option: Any) -> str:
    least, most = getattr(option, "min", None), getattr(option, "max", None)
    if most is not None:
        return f" {_number(least or 0)} to {_number(most)}."
    return "" if least is None else f" At least {_number(least)}."


def _number(value: Any) -> Any:
    return f"{value:g}" if isinstance(value, float) else value
