"""docs/guides: their commands run on a local stack, and answer as the pages say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from local.deploy import deploy
from local.keys import KeyPair
from local.stack import ACCESS_CODE, CALLBACK_TOKEN, SAMPLE_DEVICES, SECRET, STACK_NAME, LocalStack
from tests.documents import pages, section

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
INDEX = "docs/guides/README.md"
GUIDES = [page for page in pages() if page.startswith("docs/guides/") and page != INDEX]
# They change the stack, or delete it: it is no other guide's.
WITH_A_STACK_OF_THEIR_OWN = {"change-a-limit", "ordered-delivery", "remove-everything"}

# What only reads is repeated until its answer fits.
READS = (
    "aws sqs receive-message",
    "aws stepfunctions describe-execution",
    "cube-sms account list",
    "cube-sms dlq list",
    "cube-sms messages",
    "cube-sms rejected list",
    "cube-sms show",
    "cube-sms top",
)
# Columns stand below each other by spaces.
GAP = r"[ \t]*"
# A receipt takes a minute or two, and a busy machine longer.
PATIENCE = 300

# What the guides name as files of the reader's own.
CREDENTIALS = {"access_code": ACCESS_CODE, "secret": SECRET}
FILES = {
    "credentials.json": json.dumps(CREDENTIALS),
    "depot.json": json.dumps({**CREDENTIALS, "callback_token": f"{CALLBACK_TOKEN}-of-the-depot"}),
    "key-id.json": json.dumps({"key_id": "LF123"}),
}


class Step(NamedTuple):
    """A block of a page.

    Parameters
    ----------
    kind : str
        Its language: bash, or toml for what is added to samconfig.toml.
    text : str
        What it holds.
    answer : str
        What the page shows as the answer, empty if nothing.
    """

    kind: str
    text: str
    answer: str


def steps(page: str) -> list[Step]:
    """Return the blocks of a page that a reader executes, each with the answer that follows it.

    Those that only AWS can run are marked as `aws-only`, and left out.
    """
    blocks = re.findall(r"^```(\w+(?: aws-only)?)\n(.*?)^```$", pages()[page], re.DOTALL | re.MULTILINE)
    answers = [*blocks[1:], ("", "")]
    return [
        Step(kind, text, answer if other == "text" else "")
        for (kind, text), (other, answer) in zip(blocks, answers, strict=True)
        if kind in ("bash", "toml")
    ]


def pattern(answer: str) -> re.Pattern[str]:
    """Return what an answer has to match: … is anything in a line, and on a line of its own any lines."""
    lines = (
        r"(?:.*\n)*?" if line == "…" else rf"[ \t]*{GAP.join(map(_word, line.split()))}[ \t]*\n"
        for line in answer.splitlines()
    )
    return re.compile("".join(lines))


def _word(word: str) -> str:
    return ".*".join(map(re.escape, word.split("…")))


class Reader:
    """The reader of a guide, with one shell, in a folder that has what the guide names.

    Parameters
    ----------
    stack : LocalStack
        The stack.
    folder : Path
        The folder of the shell.
    """

    def __init__(self, stack: LocalStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._overrides: list[str] = []
        path = f"{folder}:{BIN}:{os.environ['PATH']}"
        self._environment = {**os.environ, **stack.aws.environment, "PATH": path}
        for name in ("docs", "events", "statemachine"):
            (folder / name).symlink_to(ROOT / name)
        for name, text in {**FILES, "private-key.pem": KeyPair.new().private, ".shell": ""}.items():
            (folder / name).write_text(text, "utf-8")
        # Version 1 of the AWS CLI, which PyPI has, does not look for SQS where the environment says. Version 2 does.
        (folder / "aws").write_text(f'#!/bin/sh\nexec {BIN}/aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"\n', "utf-8")
        (folder / "aws").chmod(0o755)

    def follow(self, step: Step) -> None:
        """Do what a block says, and compare the answer."""
        if step.kind == "toml":
            self._overrides = overrides(step.text)
        elif step.text.strip() == "sam deploy":
            deploy(self._stack.aws, STACK_NAME, dict(each.split("=", 1) for each in self._overrides))
        else:
            self._run(step)

    def _run(self, step: Step) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            ended = self._shell(step.text)
            is_as_told = ended.returncode == 0 and bool(
                not step.answer or pattern(step.answer).fullmatch(ended.stdout.strip("\n") + "\n")
            )
            if is_as_told or not is_reading(step.text) or time.monotonic() > deadline:
                break
            time.sleep(2)
        assert is_as_told, f"{step.text}ends with {ended.returncode}:\n{ended.stdout}{ended.stderr}"

    def _shell(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Run commands in a shell that has the variables and functions of the one before it."""
        script = f"source .shell; set -a -e -o pipefail\n{commands}\n{{ export -p; declare -f; }} >.shell\n"
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )


def is_reading(commands: str) -> bool:
    """Whether commands change nothing, so that they can be repeated."""
    return all(line.startswith((*READS, " ")) for line in commands.splitlines())


def overrides(samconfig: str) -> list[str]:
    """Return the parameters of a part of samconfig.toml, whose environment is one that there is."""
    (environment,) = (added := tomllib.loads(samconfig))
    assert environment in tomllib.loads((ROOT / "samconfig.toml").read_text("utf-8"))
    return list(added[environment]["deploy"]["parameters"]["parameter_overrides"])


def local_parameters() -> dict[str, str]:
    """Return the parameters that the index gives to `make local`."""
    (given,) = re.findall(r'make local PARAMS="(.*)"', pages()[INDEX])
    return dict(each.split("=", 1) for each in given.split())


def started(parameters: dict[str, str]) -> LocalStack:
    """Start a stack as `make local` does."""
    return LocalStack(parameters, cube=SAMPLE_DEVICES)


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalStack]:
    """Return the stack of the guides that leave it as it is."""
    with started(local_parameters()) as stack:
        yield stack


@pytest.mark.parametrize("page", [page for page in GUIDES if steps(page)], ids=lambda page: Path(page).stem)
def test_commands_of_a_guide_work(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    # Given a stack, and a reader who has done what the index says first
    own = Path(page).stem in WITH_A_STACK_OF_THEIR_OWN
    with started(local_parameters()) if own else nullcontext(request.getfixturevalue("shared")) as stack:
        reader = Reader(stack, tmp_path)
        for step in steps(INDEX):
            reader.follow(step)

        # When the reader follows the guide, then each command works, and answers as the page says
        for step in steps(page):
            reader.follow(step)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: Path(page).stem)
def test_guide_has_a_task_a_command_and_an_answer(page: str) -> None:
    text = pages()[page]
    assert re.match(r"# [A-Z].*\n\n(?:Use this .*)", text)
    assert "```text" in text
    # A block in another language would be left out
    languages = set(re.findall(r"^ *```(\w.*)$", text, re.MULTILINE))
    assert languages <= {"bash", "bash aws-only", "toml", "text"}
    assert ("bash aws-only" in languages) == ("*Only on AWS:*" in text)


def test_readme_has_every_guide() -> None:
    assert sorted(set(re.findall(r"\((docs/guides/[\w-]+\.md)\)", section("README.md", "Where to go next")))) == GUIDES


@pytest.mark.parametrize(
    ("answer", "fits"),
    [
        ("State  Rows\nSENT  2\n", True),
        ("State    …\nSENT  …\n", True),
        ("…\nSENT  2\n", True),
        ("SENT  2\n", False),
        ("State  Rows\n", False),
        ("…\nSENT  3\n", False),
    ],
)
def test_answer_is_compared_as_a_whole(answer: str, *, fits: bool) -> None:
    assert bool(pattern(answer).fullmatch("State    Rows\nSENT     2   \n")) == fits
