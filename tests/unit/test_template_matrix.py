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
from tests.cloudformation import attributes, dangling, known, references, resolve, stacks, written

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
        "Replies": ["off", "callback", "poll"],
        "Receipts": ["false", "true"],
        "QueueType": ["standard", "fifo"],
        "DeviceHistory": ["false", "true"],
        "QueueBatchSize": ["10", "1000"],
        "KmsKeyArn": ["", "arn:aws:kms:eu-central-1:123456789012:key/1a2b"],
        "EventBusName": ["", "default"],
        "TakeRequestEvents": ["true", "false"],
        "ApiAllowedCidrs": ["", "203.0.113.0/24,2001:db8::/32"],
        "ApiAccessLogs": ["false", "true"],
        "AlarmTopicArn": ["", "arn:aws:sns:eu-central-1:123456789012:on-call"],
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


def source(path: str) -> dict[str, Any]:
    parsed: dict[str, Any] = written(path)
    return parsed


def transformed(path: str, parameters: dict[str, str]) -> dict[str, Any]:
    """Return what SAM makes of a template with a set of parameters, where it has a part in it."""
    parsed = source(path)
    return transform(parsed, parameters) if "Transform" in parsed else parsed


@cache
def deployed(index: int) -> dict[str, dict[str, Any]]:
    """Return what CloudFormation makes of the template with a set of parameters, and of each that it nests, by name."""
    whole = resolve(transformed("template.yaml", MATRIX[index]), MATRIX[index])
    inner = {
        name: resolve(transformed(stack["TemplateURL"], known(stack)), known(stack))
        for name, stack in stacks(whole).items()
    }
    return {"template.yaml": whole, **inner}


@cache
def faults(document: str, *passed: str) -> list[str]:
    """Return what cfn-lint has against a template, its warnings too."""
    # Not at the top: it takes a second, and each worker imports this module to see what tests there are.
    from cfnlint.api import ManualArgs, lint

    # Code is not uploaded yet; and the templates say at their functions why what SAM makes of them goes with the stack.
    passed = (*passed, "W3002", "W3011")
    found = lint(document, config=ManualArgs(regions=["eu-central-1"], ignore_checks=list(passed)))
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
    templates = deployed(MATRIX.index(parameters))

    # Then everything that is referred to is there, in the nested templates too
    assert {name: found for name, resolved in templates.items() if (found := dangling(resolved))} == {}


@each_set
def test_nested_templates_are_given_what_they_ask_for(parameters: dict[str, str]) -> None:
    # Given the stacks that a set of parameters nests
    templates = deployed(MATRIX.index(parameters))
    whole = templates["template.yaml"]
    nested = stacks(whole)
    assert {"Alarms", "Dashboard"} <= nested.keys()

    # Then each has the parameters that it is given and no other
    for name, stack in nested.items():
        assert stack["Parameters"].keys() == source(stack["TemplateURL"])["Parameters"].keys(), name
    # And what is asked of them is among their outputs, and each output is asked for
    asked = {found for found in attributes(whole) if found[0] in nested}
    offered = {(name, f"Outputs.{output}") for name in nested for output in templates[name]["Outputs"]}
    if parameters["DeploymentType"] == "AllAtOnce":
        # A deployment looks at no alarms then.
        offered -= {(name, output) for name, output in offered if name == "Alarms"}
    assert asked == offered


@each_set
def test_linter_has_nothing_against_what_is_deployed(parameters: dict[str, str]) -> None:
    # With its conditions decided, a reference to what is not made is an error
    for name, resolved in deployed(MATRIX.index(parameters)).items():
        document = json.dumps({"AWSTemplateFormatVersion": "2010-09-09", **resolved})
        # What a nested template is given and does not need this time is no fault.
        assert faults(document, *([] if name == "template.yaml" else ["W2001"])) == [], name


@pytest.mark.parametrize(
    ("path", "condition", "parameters"),
    [
        ("template.yaml", "ReleaseIsGradual", {"DeploymentType": "Canary10Percent5Minutes"}),
        ("campaigns.yaml", "IsGradual", {"DeploymentType": "Canary10Percent5Minutes", "ReleaseIsGradual": "true"}),
        ("replies.yaml", "IsGradual", {"DeploymentType": "Canary10Percent5Minutes", "ReleaseIsGradual": "true"}),
        ("followup.yaml", "IsGradual", {"DeploymentType": "Canary10Percent5Minutes", "ReleaseIsGradual": "true"}),
    ],
)
def test_linter_has_nothing_against_what_the_transform_makes_of_a_gradual_release(
    path: str, condition: str, parameters: dict[str, str]
) -> None:
    # Given what SAM makes if it makes the most, which depends on this parameter alone
    template = transformed(path, parameters)
    template["Resources"] = _met(condition, template["Resources"])

    # Then W1001 reports each reference to a resource that may not be made, with all other conditions open.
    # SAM fills in the parameters of a layer's description and leaves the function around it, which W1020 would report.
    assert faults(json.dumps(template), *UNUSED, "W1020") == []


@pytest.mark.parametrize("name", ["template.yaml", "Alarms", "CampaignStack", "ReplyStack", "FollowUpStack"])
def test_matrix_decides_every_condition_both_ways(name: str) -> None:
    # Given the conditions of a template, and what it is given where it is nested
    given = []
    for index, parameters in enumerate(MATRIX):
        nested = stacks(deployed(index)["template.yaml"])
        if name == "template.yaml":
            given.append(parameters)
        elif name in nested:
            given.append(known(nested[name]))
    path = name if name == "template.yaml" else source("template.yaml")["Resources"][name]["Properties"]["TemplateURL"]
    template = transformed(path, {})
    probes = {
        **template,
        "Outputs": {name: {"Condition": name, "Value": "met"} for name in template["Conditions"]},
    }

    # When each set of parameters decides them
    met = [resolve(probes, parameters)["Outputs"].keys() for parameters in given]

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

    # Then all of them are found, except for the one under the same condition; and none if it is made
    found = dangling(resolve(template, {}))
    assert found == ["Resources.A: Gone", "Resources.B: Gone", "Resources.C: Gone", "Resources.D: Gone"]
    assert dangling(resolve(template, {"Wanted": "yes"})) == []
    assert set(references(template["Resources"])) == {"Gone"}
