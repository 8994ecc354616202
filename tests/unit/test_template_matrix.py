"""The template under every pair of choices: whatever is chosen, nothing refers to what is not made."""

from __future__ import annotations

import json
from functools import cache
from itertools import combinations, product
from pathlib import Path
from random import Random
from typing import Any

import pytest

from local.transform import transform
from tests.cloudformation import dangling, references, resolve, written

ROOT = Path(__file__).parents[2]
SUBNETS = [f"subnet-0123456789abcdef{number}" for number in range(3)]
GROUPS = [f"sg-0123456789abcdef{number}" for number in range(2)]

# What a deployment chooses, as far as it decides what there is.
CHOICES: dict[str, list[dict[str, str]]] = {
    "VPC": [
        {},
        {"VpcSubnetIds": SUBNETS[0], "VpcSecurityGroupIds": GROUPS[0]},
        {"VpcSubnetIds": ",".join(SUBNETS), "VpcSecurityGroupIds": ",".join(GROUPS)},
    ]
} | {
    name: [{name: value} for value in values]
    for name, values in {
        "DeploymentType": ["AllAtOnce", "Canary10Percent5Minutes"],
        "Campaigns": ["false", "true"],
        "QueueType": ["standard", "fifo"],
        "KmsKeyArn": ["", "arn:aws:kms:eu-central-1:123456789012:key/1a2b"],
        "EventBusName": ["", "default"],
        "TakeRequestEvents": ["true", "false"],
        "CreateDashboard": ["true", "false"],
        "RegisterEventSchemas": ["false", "true"],
        "ApiAllowedCidrs": ["", "203.0.113.0/24,2001:db8::/32"],
        "ApiAccessLogs": ["false", "true"],
        "ApiSnapStart": ["None", "PublishedVersions"],
        "AlarmTopicArn": ["", "arn:aws:sns:eu-central-1:123456789012:on-call"],
        "TableDeletionProtection": ["false", "true"],
        "SendQueueSourceArns": ["", "arn:aws:sns:eu-central-1:123456789012:alerts"],
    }.items()
}


def pairwise() -> list[dict[str, str]]:
    """Return sets of parameters in which every two choices meet, and the defaults first."""
    pairs = {
        frozenset({(one, i), (other, j)})
        for one, other in combinations(CHOICES, 2)
        for i, j in product(range(len(CHOICES[one])), range(len(CHOICES[other])))
    }
    random = Random(0)
    rows = [dict.fromkeys(CHOICES, 0)]
    while True:
        pairs = {pair for pair in pairs if not pair <= rows[-1].items()}
        if not pairs:
            return [{k: v for name, i in row.items() for k, v in CHOICES[name][i].items()} for row in rows]
        # Of some that hold a pair that is missing, the one that holds the most.
        rows.append(
            max((_row_with(min(pairs, key=sorted), random) for _ in range(50)), key=lambda row: _count(pairs, row))
        )


def _row_with(pair: frozenset[tuple[str, int]], random: Random) -> dict[str, int]:
    return {name: random.randrange(len(values)) for name, values in CHOICES.items()} | dict(pair)


def _count(pairs: set[frozenset[tuple[str, int]]], row: dict[str, int]) -> int:
    return sum(pair <= row.items() for pair in pairs)


# Of parameters, mappings and conditions that a decided condition leaves without a use.
UNUSED = ("W2001", "W7001", "W8001")

MATRIX = pairwise()
each_set = pytest.mark.parametrize("parameters", MATRIX, ids=[f"set{index}" for index in range(len(MATRIX))])


@cache
def deployed(index: int) -> dict[str, Any]:
    """Return what CloudFormation makes of the template with a set of parameters."""
    return resolve(transform(written("template.yaml"), MATRIX[index]), MATRIX[index])


def faults(document: dict[str, Any], *passed: str) -> list[str]:
    """Return what cfn-lint has against a template, its warnings too."""
    # Not at the top: it takes a second, and each worker imports this module to see what tests there are.
    from cfnlint.api import ManualArgs, lint

    # Code is not uploaded yet; and template.yaml says at its functions why what SAM makes of them goes with the stack.
    passed = (*passed, "W3002", "W3011")
    found = lint(json.dumps(document), config=ManualArgs(regions=["eu-central-1"], ignore_checks=list(passed)))
    return [f"{match.rule.id} {match.message}" for match in found]


def _met(condition: str, node: Any) -> Any:
    """Return a part of a template as it is where a condition is met."""
    if isinstance(node, list):
        return [_met(condition, item) for item in node]
    if not isinstance(node, dict):
        return node
    if "Fn::If" in node and node["Fn::If"][0] == condition:
        return _met(condition, node["Fn::If"][1])
    return {key: _met(condition, item) for key, item in node.items() if (key, item) != ("Condition", condition)}


@each_set
def test_nothing_refers_to_a_resource_that_is_not_made(parameters: dict[str, str]) -> None:
    # When CloudFormation has decided what there is
    resolved = deployed(MATRIX.index(parameters))

    # Then everything that is referred to is there
    assert dangling(resolved) == []


@each_set
def test_nested_templates_are_given_what_they_ask_for(parameters: dict[str, str]) -> None:
    # Given the stacks that a set of parameters nests
    resolved = deployed(MATRIX.index(parameters))
    stacks = {
        name: each["Properties"]
        for name, each in resolved["Resources"].items()
        if each["Type"] == "AWS::CloudFormation::Stack"
    }

    # Then each has the parameters that it is given and no other, and nothing in it refers to what is not made
    nested = {name: written(stack["TemplateURL"]) for name, stack in stacks.items()}
    for name, stack in stacks.items():
        assert stack["Parameters"].keys() == nested[name]["Parameters"].keys()
        assert dangling(resolve(nested[name], dict.fromkeys(stack["Parameters"], "1"))) == []
    # And what is asked of them is among their outputs
    asked = [each["Value"]["Fn::GetAtt"] for each in resolved["Outputs"].values() if "Fn::GetAtt" in each["Value"]]
    for name, attribute in asked:
        if name in nested:
            assert attribute.removeprefix("Outputs.") in nested[name]["Outputs"]


@each_set
def test_linter_has_nothing_against_what_is_deployed(parameters: dict[str, str]) -> None:
    # With its conditions decided, a reference to what is not made is an error
    resolved = deployed(MATRIX.index(parameters))
    assert faults({"AWSTemplateFormatVersion": "2010-09-09", **resolved}) == []


def test_linter_has_nothing_against_what_the_transform_makes_of_a_gradual_release() -> None:
    # Given what SAM makes where it makes the most, which hangs on this parameter alone
    template = transform(written("template.yaml"), {"DeploymentType": "Canary10Percent5Minutes"})
    template["Resources"] = _met("ReleaseIsGradual", template["Resources"])

    # Then with all other conditions open, W1001 tells of a reference to what may not be made
    # Into a layer's description SAM puts what it has for the parameters, and leaves the function.
    assert faults(template, *UNUSED, "W1020") == []


def test_matrix_decides_every_condition_both_ways() -> None:
    # Given the conditions of the template
    template = transform(written("template.yaml"))
    probes = {
        **template,
        "Outputs": {name: {"Condition": name, "Value": "met"} for name in template["Conditions"]},
    }

    # When each set of parameters decides them
    met = [resolve(probes, parameters)["Outputs"].keys() for parameters in MATRIX]

    # Then each is met in some sets, and not in others
    assert {name for name in template["Conditions"] if len({name in each for each in met}) != 2} == set()


def test_reference_to_what_is_not_made_is_seen() -> None:
    # Given a template with references of every kind to a resource that is not made
    condition = {"Fn::Equals": [{"Ref": "Wanted"}, "yes"]}
    template = {
        "Parameters": {"Wanted": {"Type": "String", "Default": "no"}},
        "Conditions": {"IsWanted": condition},
        "Resources": {
            "Gone": {"Type": "AWS::SNS::Topic", "Condition": "IsWanted"},
            "A": {"Type": "AWS::SNS::Topic", "DependsOn": "Gone"},
            "B": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Ref": "Gone"}}},
            "C": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Fn::GetAtt": ["Gone", "TopicName"]}}},
            "D": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Fn::Sub": "x-${Gone.TopicName}"}}},
            "E": {
                "Type": "AWS::SNS::Topic",
                "Properties": {"TopicName": {"Fn::If": ["IsWanted", {"Ref": "Gone"}, "e"]}},
            },
        },
    }

    # Then all of them are found, but for the one under the same condition; and none where it is made
    found = dangling(resolve(template, {}))
    assert found == ["Resources.A: Gone", "Resources.B: Gone", "Resources.C: Gone", "Resources.D: Gone"]
    assert dangling(resolve(template, {"Wanted": "yes"})) == []
    assert set(references(template["Resources"])) == {"Gone"}
