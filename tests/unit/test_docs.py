"""What the documents say: commands that undo nothing of samconfig.toml, steps, and modules that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# Stacks of its own, with the parameters that each step names.
FIRST_DEPLOYMENT = ROOT / "docs" / "first-deployment.md"


@pytest.mark.parametrize("page", [page for page in PAGES if page != FIRST_DEPLOYMENT], ids=lambda page: page.name)
def test_no_command_takes_the_place_of_an_environments_parameters(page: Path) -> None:
    # On the command line they replace the whole list of samconfig.toml, and with it the production address
    commands = re.findall(r"^ *```(?:bash|console)\n(.*?)^ *```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert [command for command in commands if "--parameter-overrides" in command] == []


def test_steps_of_the_first_deployment_are_numbered_and_say_what_is_expected() -> None:
    rows = re.findall(r"^\| (\d+)\. (.*) \|$", FIRST_DEPLOYMENT.read_text("utf-8"), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    assert all(len(re.split(r" \| ", row)) == 3 for _, row in rows)
    assert len(rows) >= 30


def test_each_part_of_a_message_that_is_explained_is_there() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    explained = page.partition("What each does for a message")[2].partition("<!--")[0]
    modules = re.findall(r"^\| `(.+?)` \|", explained, re.MULTILINE)
    folders = (ROOT / "layers" / "cube", ROOT / "functions" / "send_from_queue")
    assert modules
    assert [module for module in modules if not any((folder / module).is_file() for folder in folders)] == []
