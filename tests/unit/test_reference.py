"""The reference, where tests/unit/test_facts.py does not look: what is written from the template, whose metrics are."""

from __future__ import annotations

from cube_sms.platform.metrics import METRICS
from scripts.reference import PAGE, parameters_page
from tests.cloudformation import written
from tests.documents import names_in, table


def test_every_parameter_is_in_the_reference_as_the_template_has_it() -> None:
    template = written("template.yaml")
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert {name for group in groups for name in group["Parameters"]} == template["Parameters"].keys()
    # To write it: make schemas
    assert PAGE.read_text("utf-8") == parameters_page(template)


def test_every_metric_is_in_the_reference_with_whose_it_is() -> None:
    told = {name: row[2] for row in table("metric", "unit", "`Account`") for name in names_in(row[0])}
    assert told == {metric.name: metric.of for metric in METRICS.values()}
