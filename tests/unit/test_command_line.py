"""What every command of ``cube-sms`` has, and how it ends without a stack."""

from __future__ import annotations

import doctest
import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer.main

import cube_sms_cli
from cube_sms_cli.main import app, main
from tests.processes import Ended, run_program

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = typer.main.get_command(app)

MODULES = sorted(
    f"cube_sms_cli.{'.'.join(path.relative_to(folder).with_suffix('').parts)}"
    for folder in map(Path, cube_sms_cli.__path__)
    for path in folder.rglob("[!_]*.py")
)

# Where nothing listens.
NOWHERE = "http://127.0.0.1:9"


def paths(group: object = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command."""
    commands = getattr(group, "commands", None)
    if commands is None:
        yield path
        return
    for name, command in commands.items():
        yield from paths(command, (*path, name))


each_command = pytest.mark.parametrize("path", list(paths()), ids=" ".join)


def run(*arguments: str, **members: str) -> Ended:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHONPATH"))}
    # Wide enough that no line of a help text is folded.
    environment |= {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "COLUMNS": "200"}
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "TERMINAL_WIDTH": "200", **members}
    return run_program(main, ["cube-sms", *arguments], environment)


@each_command
def test_every_command_tells_its_options_and_an_example(path: tuple[str, ...]) -> None:
    command = ROOT
    for word in path:
        command = command.commands[word]  # type: ignore[attr-defined]
    assert f"Example: cube-sms {' '.join(path)}" in " ".join((command.help or "").split())
    assert {"stack", "region", "profile", "local", "json", "debug"} <= {each.name for each in command.params}


def test_help_names_every_group() -> None:
    told = run("--help")
    assert (told.status, told.err) == (0, "")
    assert all(path[0] in told.out for path in paths())


@pytest.mark.parametrize("arguments", [("no-such-command",), ("cancel",), ("cancel", "--no-such-option", "x")])
def test_wrong_use_ends_with_2(arguments: tuple[str, ...]) -> None:
    told = run(*arguments)
    assert (told.status, told.out) == (2, "")
    assert "Error" in told.err


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({}, "There is no AWS region: give --region, or set AWS_REGION."),
        ({"AWS_REGION": "eu-central-1"}, "There are no AWS credentials: give --profile, set AWS_PROFILE, or log in."),
        ({"AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found: give --profile another name"),
    ],
)
def test_fault_is_a_sentence(members: dict[str, str], sentence: str) -> None:
    told = run("cancel", "x", **members)
    assert (told.status, told.out) == (1, "")
    assert told.err.startswith(f"cube-sms: {sentence}")
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize("order", [("--local", "cancel", "x"), ("cancel", "x", "--local")])
def test_options_stand_before_the_command_or_after_it(order: tuple[str, ...]) -> None:
    told = run(*order, AWS_ENDPOINT_URL=NOWHERE)
    assert (told.status, told.out) == (1, "")
    assert told.err.startswith("cube-sms: AWS cannot be reached")


def test_debug_shows_the_traceback() -> None:
    told = run("cancel", "x", "--debug")
    assert told.status == 1
    assert "NoRegionError" in told.err
    assert "Traceback" in told.err


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_the_documentation_are_true(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0
