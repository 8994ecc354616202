"""The reference: whatever the code and the template declare is in it, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from cube_sms.delivery import State
from cube_sms.platform.metrics import METRICS
from cube_sms.request import SendRequest
from scripts.reference import PAGE, parameters_page
from tests.cloudformation import written

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def rows(page: str, heading: str) -> dict[str, tuple[str, ...]]:
    """Return the table below a heading, by what its first cells name."""
    text = (REFERENCE / page).read_text("utf-8")
    (section,) = re.findall(rf"^##? {heading}$(.*?)(?=^##? |\Z)", text, re.DOTALL | re.MULTILINE)
    lines = re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
    return {name: tuple(cell.strip("`") for cell in cells.split(" | ")) for name, cells in lines}


def test_every_parameter_is_in_the_reference_as_the_template_has_it() -> None:
    template = written("template.yaml")
    page = PAGE.read_text("utf-8")
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert set(grouped) == template["Parameters"].keys()
    assert [name for name in grouped if f"\n| `{name}` |" not in page] == []
    # To write it: make schemas
    assert page == parameters_page(template)


def test_every_metric_is_in_the_reference_with_its_unit_and_account() -> None:
    found = {name: (unit, of) for name, (unit, of, *_) in rows("metrics.md", "Metrics").items()}
    assert found == {metric.name: (metric.unit, metric.of) for metric in METRICS.values()}


def test_every_field_of_a_request_is_in_the_reference() -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(SendRequest)}
    assert rows("send-request.md", "Send request").keys() == fields


def test_every_state_is_in_the_reference() -> None:
    found = {name: "final" in cells[-1] for name, cells in rows("send-request.md", "States").items()}
    assert found == {state.value: state.is_final for state in State}
    # And in the picture of how one follows from another
    picture = (REFERENCE.parent / "delivery.md").read_text("utf-8").partition("stateDiagram-v2")[2].partition("```")[0]
    assert set(re.findall(r"--> ([A-Z]+)", picture)) == {*State}
