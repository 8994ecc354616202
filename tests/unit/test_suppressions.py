"""What is suppressed of the security checks: each with a reason beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.transform import template_as_deployed
from tests.cloudformation import application, written

PROJECT = Path(__file__).parents[2]
CHECKOV = PROJECT / ".checkov.yaml"
# What bandit looks at.
FOLDERS = ("layers", "functions", "local", "scripts", "benchmarks")

# A reason says something about the case; fewer words than this do not.
FEWEST_WORDS = 8


def suppressed(resources: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """Return what is suppressed for each resource."""
    return {
        name: resource["Metadata"]["checkov"]["skip"]
        for name, resource in resources.items()
        if "checkov" in resource.get("Metadata", {})
    }


SUPPRESSED = {path: suppressed(template["Resources"]) for path, template in application(written).items()}


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, found in SUPPRESSED.items() for name in found])
def test_check_of_a_resource_is_suppressed_for_a_reason(path: str, name: str) -> None:
    for skip in SUPPRESSED[path][name]:
        assert re.fullmatch(r"CKV2?_AWS_\d+", skip["id"])
        assert len(skip["comment"].split()) >= FEWEST_WORDS, skip


@pytest.mark.parametrize("path", SUPPRESSED)
def test_suppressions_are_there_where_checkov_looks(path: str) -> None:
    found = suppressed(template_as_deployed(path)["Resources"])
    assert {name: found.get(name) for name in SUPPRESSED[path]} == SUPPRESSED[path]
    # SAM gives what it makes of a function the function's metadata too.
    assert all(skips in SUPPRESSED[path].values() for skips in found.values())


def test_check_of_all_is_suppressed_for_a_reason() -> None:
    # Given the lines of the list, and the comment above each
    lines = CHECKOV.read_text("utf-8").partition("skip-check:\n")[2].splitlines()
    reason: list[str] = []
    reasons: dict[str, list[str]] = {}
    for line in lines:
        if line.lstrip().startswith("#"):
            reason += line.split()[1:]
        else:
            reasons[line.removeprefix("  - ")], reason = reason, []

    # Then they are all that checkov reads, and each says why
    assert list(reasons) == yaml.safe_load(CHECKOV.read_text("utf-8"))["skip-check"]
    assert [check for check, words in reasons.items() if len(words) < FEWEST_WORDS] == []


def test_line_is_kept_from_bandit_for_a_reason() -> None:
    paths = [path for folder in FOLDERS for path in (PROJECT / folder).rglob("*.py")]
    lines = [line for path in paths for line in path.read_text("utf-8").splitlines() if "nosec" in line]

    # The numbers of the checks, so that all others still look at it, and why.
    assert [line for line in lines if not re.search(r"# nosec B\d{3}( B\d{3})* # \w+ \w+", line)] == []
