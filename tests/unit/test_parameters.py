"""What `make local` says against parameters, as CloudFormation would."""

from __future__ import annotations

import pytest

from local.parameters import refusals
from local.transform import template_as_deployed

TEMPLATE = template_as_deployed()


def test_defaults_are_accepted_when_they_are_given() -> None:
    given = {name: str(parameter["Default"]) for name, parameter in TEMPLATE["Parameters"].items()}
    assert refusals(TEMPLATE, given) == []
    assert refusals(TEMPLATE, {}) == []


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("Campaign", "true", "The template has no parameter Campaign. Did you mean Campaigns?"),
        ("Zzz", "1", "The template has no parameter Zzz."),
        ("Campaigns", "maybe", "Campaigns must be one of true, false, not 'maybe'."),
        ("CubeMaxConnections", "7", "CubeMaxConnections must be one of 0, 3, 4, 5, 6, 8, 10, 12, 16, 32, not '7'."),
    ],
)
def test_refusal_is_a_sentence(name: str, text: str, sentence: str) -> None:
    assert refusals(TEMPLATE, {name: text}) == [sentence]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("CubeDailyQuota", text) for text in ("many", "2.5", "-1", "1e3", "100000001")),
        ("KmsKeyArn", "alias/mine"),
        ("ApiAllowedCidrs", "203.0.113.0/24, everywhere"),
        ("EventBusName", "a bus"),
    ],
)
def test_pattern_is_refused_in_the_templates_own_words(name: str, text: str) -> None:
    (sentence,) = refusals(TEMPLATE, {name: text})
    assert sentence == f"{name} {TEMPLATE['Parameters'][name]['ConstraintDescription']}, not {text!r}."


def test_each_member_of_a_list_is_looked_at() -> None:
    assert refusals(TEMPLATE, {"ApiAllowedCidrs": "203.0.113.0/24, 198.51.100.7/32"}) == []


def test_every_fault_is_told_and_then_the_rules() -> None:
    assert len(refusals(TEMPLATE, {"Campaigns": "maybe", "CubeDailyQuota": "many"})) == 2
    (sentence,) = refusals(TEMPLATE, {"VpcSubnetIds": "subnet-0a1b2c3d"})
    assert sentence.startswith("VpcSubnetIds and VpcSecurityGroupIds go together")
