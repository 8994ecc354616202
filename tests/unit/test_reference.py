"""The reference is as the code and the templates have it."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from typing import TYPE_CHECKING

import pytest

import scripts.reference
from cube_sms.delivery import State
from cube_sms.platform import UnexpectedError
from cube_sms.platform.errors import POLICY
from scripts.reference.docstrings import attribute_docs, meaning
from scripts.reference.errors import obstacles
from scripts.reference.markdown import REFERENCE, page
from tests.cloudformation import written
from tests.support import obstacles as all_obstacles

if TYPE_CHECKING:
    from pathlib import Path

MODULES = [each.name for each in pkgutil.iter_modules(scripts.reference.__path__, "scripts.reference.")]


@pytest.mark.parametrize("path", scripts.reference.PATHS, ids=lambda path: path.name)
def test_page_is_as_the_code_has_it(path: Path) -> None:
    # To write it: make schemas
    assert path.read_text("utf-8") == scripts.reference.text_of(path)


def test_every_page_is_in_the_index() -> None:
    index = (REFERENCE / "README.md").read_text("utf-8")
    assert [path.name for path in REFERENCE.glob("[!R]*.md") if f"({path.name})" not in index] == []


def test_every_parameter_is_in_a_group() -> None:
    template = written("template.yaml")
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert {name for group in groups for name in group["Parameters"]} == template["Parameters"].keys()


def test_every_error_of_a_message_is_in_the_reference() -> None:
    assert {*obstacles()} == {kind for kind in all_obstacles() if all(hasattr(kind, name) for name in POLICY)}


def test_every_state_has_a_description() -> None:
    assert [state for state in State if state not in attribute_docs(State)] == []


def test_error_without_a_docstring_is_named() -> None:
    undocumented = type("CubeMaintenance", (UnexpectedError,), {})
    with pytest.raises(ValueError, match="CubeMaintenance needs a docstring"):
        meaning(undocumented)


def test_page_without_its_mark_is_named(tmp_path: Path) -> None:
    path = tmp_path / "limits.md"
    path.write_text("# Limits\n", "utf-8")
    with pytest.raises(
        ValueError, match=r"limits\.md needs this line: <!-- Below: written by `make schemas`, from code"
    ):
        page(path, str, "code")


@pytest.mark.parametrize("module", [name for name in MODULES if not name.endswith("__main__")])
def test_examples_in_the_documentation_are_true(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0
