"""The examples that no test runs are at least what they say: parsed by the grammar of their language."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hcl2
import pytest
import tree_sitter_java
from samtranslator.yaml_helper import yaml_parse
from tree_sitter import Language, Parser

from cube_sms.delivery.states import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

EXAMPLES = Path(__file__).parents[2] / "examples"
JAVA = sorted((EXAMPLES / "java").glob("*.java"))
TERRAFORM = EXAMPLES / "terraform" / "main.tf"
FOLDERS = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())

# The most lines of a file that somebody reads and copies
MOST_LINES = 59

NOT_DELIVERED = {
    f"SMS {state.title()}" for state in State if state.is_final and state not in (State.SENT, State.DELIVERED)
}


def faults(node: Node) -> Iterator[str]:
    """Return where a parser did not understand a text, or missed something in it."""
    if node.is_error or node.is_missing:
        yield f"line {node.start_point.row + 1}: {node.type}"
    for child in node.children:
        yield from faults(child)


@pytest.mark.parametrize("path", JAVA, ids=lambda path: path.stem)
def test_java_is_java(path: Path) -> None:
    tree = Parser(Language(tree_sitter_java.language())).parse(path.read_bytes())
    assert list(faults(tree.root_node)) == []


def test_java_that_is_none_is_noticed() -> None:
    tree = Parser(Language(tree_sitter_java.language())).parse(b"final class Half { void send( }")
    assert list(faults(tree.root_node)) != []


def terraform() -> dict[str, Any]:
    with TERRAFORM.open(encoding="utf-8") as file:
        parsed: dict[str, Any] = hcl2.load(file)
    return parsed


def test_what_terraform_refers_to_is_there() -> None:
    # Given what the file declares
    parsed = terraform()
    resources = [
        (f"{prefix}{kind}".replace('"', ""), name.replace('"', ""))
        for block, prefix in (("resource", ""), ("data", "data."))
        for each in parsed[block]
        for kind, names in each.items()
        for name in names
    ]
    declared = {f"{kind}.{name}" for kind, name in resources}
    declared |= {f"var.{name}".replace('"', "") for each in parsed["variable"] for name in each}

    # When it refers to something, then that is among it
    text = TERRAFORM.read_text("utf-8")
    named = set(re.findall(r"\b(?:data\.)?(?:aws_\w+|var)\.\w+", text))
    assert named - declared == set()
    assert {"var.event_bus_name", "aws_sqs_queue.not_sent", "data.aws_iam_policy_document.from_rule"} <= named


def test_consumers_get_the_same_events() -> None:
    # Given the patterns of both consumers
    template = yaml_parse((EXAMPLES / "sam" / "template.yaml").read_text("utf-8"))
    of_sam = template["Resources"]["ConsumeOutcomes"]["Properties"]["Events"]["NotSent"]["Properties"]["Pattern"]
    (rule,) = [each for each in terraform()["resource"] if '"aws_cloudwatch_event_rule"' in each]
    encoded = rule['"aws_cloudwatch_event_rule"']['"not_sent"']["event_pattern"]
    of_terraform = dict(re.findall(r"([\w-]+) = (\[.*?\])", encoded))

    # Then each is of all outcomes without delivery
    assert {key: json.loads(value) for key, value in of_terraform.items()} == of_sam
    assert of_sam["source"] == ["cube-sms"]
    assert set(of_sam["detail-type"]) == NOT_DELIVERED


def test_each_folder_has_a_row_of_the_table() -> None:
    page = (EXAMPLES / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| \[`([\w-]+)/?`\]", page, re.MULTILINE)
    assert sorted(rows) == FOLDERS


def test_no_example_is_long() -> None:
    sources = [
        path
        for path in EXAMPLES.rglob("*")
        if path.suffix in {".py", ".js", ".go", ".java", ".yaml", ".tf"} and "node_modules" not in path.parts
    ]
    assert len(sources) > 10
    assert {path.name for path in sources if len(path.read_text("utf-8").splitlines()) > MOST_LINES} == set()
