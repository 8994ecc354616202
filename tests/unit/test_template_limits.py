"""The template's limits: how connections to Cube are shared out, its rules, and what its functions may in a VPC."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from local.parameters import broken_rules
from local.transform import transform
from tests.cloudformation import resolve, written

ROOT = Path(__file__).parents[2]
TEMPLATE: dict[str, Any] = written("template.yaml")
PARAMETERS: dict[str, dict[str, Any]] = TEMPLATE["Parameters"]
RULES: dict[str, dict[str, Any]] = TEMPLATE["Rules"]

CONNECTIONS: dict[str, dict[str, str]] = TEMPLATE["Mappings"]["Connections"]
SUBNETS, GROUPS = "VpcSubnetIds", "VpcSecurityGroupIds"

SOME_SUBNETS, SOME_GROUPS = "subnet-0a1b2c3d,subnet-4e5f6a7b", "sg-8c9d0e1f"


def refusals(parameters: dict[str, str]) -> list[str]:
    """Return what the rules say against a stack with these parameters, and defaults for all others."""
    return broken_rules(TEMPLATE, parameters)


def functions(node: Any) -> list[tuple[str, Any]]:
    """Return every function in an expression, with its operands."""
    if isinstance(node, list):
        return [found for item in node for found in functions(item)]
    if isinstance(node, dict):
        return [(name, operands) for name, operands in node.items()] + functions(list(node.values()))
    return []


def share(name: str) -> dict[str, list[Any]]:
    """Return how the template asks for a share of the connections."""
    return {"Fn::FindInMap": ["Connections", {"Ref": "CubeMaxConnections"}, name]}


def outside_of_vpc(node: Any) -> Any:
    """Return what is left of a part of the template where no subnets are given."""
    if isinstance(node, list):
        return [outside_of_vpc(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "Fn::If" in node and node["Fn::If"][0] == "IsInVpc":
        return outside_of_vpc(node["Fn::If"][2])
    return {name: outside_of_vpc(item) for name, item in node.items()}


def test_defaults_are_accepted() -> None:
    assert refusals({}) == []


@pytest.mark.parametrize("most", CONNECTIONS)
def test_connections_are_shared_out_and_none_is_left_over(most: str) -> None:
    # Given the shares of queue and API
    shares = {share: int(text) for share, text in CONNECTIONS[most].items()}

    # Then their sum is what the provider allows, the queue has what AWS asks for, and the API has one
    assert shares["Invocations"] >= 2
    assert shares["Threads"] >= 1
    if most == "0":
        assert shares["Api"] == 0
    else:
        assert shares["Api"] >= 1
        assert shares["Invocations"] * shares["Threads"] + shares["Api"] == int(most)


def test_more_connections_are_more_for_both() -> None:
    limits = sorted(int(most) for most in CONNECTIONS if most != "0")
    for fewer, more in pairwise(CONNECTIONS[str(most)] for most in limits):
        assert int(fewer["Api"]) <= int(more["Api"])
        queue = [int(shares["Invocations"]) * int(shares["Threads"]) for shares in (fewer, more)]
        assert queue == sorted(queue)


def test_every_limit_that_can_be_chosen_has_its_shares() -> None:
    assert CONNECTIONS.keys() == set(PARAMETERS["CubeMaxConnections"]["AllowedValues"])


def test_subnets_and_security_groups_go_together() -> None:
    none = ""
    assert refusals({SUBNETS: SOME_SUBNETS, GROUPS: SOME_GROUPS}) == []
    assert refusals({SUBNETS: none, GROUPS: none}) == []
    for half in ({SUBNETS: SOME_SUBNETS, GROUPS: none}, {SUBNETS: none, GROUPS: SOME_GROUPS}):
        (refusal,) = refusals(half)
        assert SUBNETS in refusal
        assert GROUPS in refusal


@pytest.mark.parametrize("name", RULES)
def test_rule_is_one_that_cloudformation_takes(name: str) -> None:
    used = functions([RULES[name].get("RuleCondition"), [given["Assert"] for given in RULES[name]["Assertions"]]])

    assert {function for function, _ in used} <= {
        "Ref",
        "Fn::And",
        "Fn::Or",
        "Fn::Not",
        "Fn::Equals",
        "Fn::Contains",
    }
    assert {operand for function, operand in used if function == "Ref"} <= PARAMETERS.keys()
    # Never a number where CloudFormation compares strings.
    lists = [operands[0] for function, operands in used if function == "Fn::Contains"]
    assert all(isinstance(member, str) for members in lists for member in members)
    assert all(isinstance(operands[1], str) for function, operands in used if function == "Fn::Equals")
    assert all(2 <= len(operands) <= 10 for function, operands in used if function in ("Fn::And", "Fn::Or"))
    assert all(len(operands) == 1 for function, operands in used if function == "Fn::Not")


def test_transform_keeps_rules_and_passes_the_limits_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the template as it is deployed
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    template: dict[str, Any] = written("template.yaml")

    # When it is transformed
    transformed = transform(template)

    # Then the rules are in it, and every function that sends knows the limits
    assert transformed["Rules"] == RULES
    # (AWS bounds the queue's share, and the API's workers keep to theirs: a new account has no concurrency to reserve)
    assert "ReservedConcurrentExecutions" not in str(transformed)
    mapping = transformed["Resources"]["SendFromQueueFunctionMessages"]["Properties"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": share("Invocations")}
    resources = transformed["Resources"].values()
    deployed = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::Lambda::Function"]
    assert len(deployed) == str(TEMPLATE["Resources"]).count("AWS::Serverless::Function'")
    for function in deployed:
        variables = function["Environment"]["Variables"]
        if "CUBE_BASE_URL" in variables:
            assert variables["CUBE_MAX_QPS"] == {"Ref": "CubeMaxQps"}
            assert variables["CUBE_DAILY_QUOTA"] == {"Ref": "CubeDailyQuota"}
            assert variables["CUBE_QUOTA_RESERVE_PERCENT"] == {"Ref": "CubeQuotaReservePercent"}
            assert variables["CUBE_MAX_CONNECTIONS"] == {"Ref": "CubeMaxConnections"}
            assert variables["API_CONNECTIONS"] == share("Api")
            assert variables["QUEUE_SEND_CONCURRENCY"] == share("Threads")
        # And is in the VPC where there is one
        assert "VpcConfig" in function
        assert outside_of_vpc(function)["VpcConfig"] == {"Ref": "AWS::NoValue"}


NETWORKS = {
    "one of each": ([f"subnet-{1:017x}"], [f"sg-{1:017x}"]),
    "two subnets": ([f"subnet-{n:017x}" for n in range(2)], [f"sg-{1:017x}"]),
    "as many as there may be": ([f"subnet-{n:017x}" for n in range(3)], [f"sg-{n:017x}" for n in range(2)]),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_lambda_may_do_in_a_vpc_what_it_looks_for_and_the_code_nothing(network: str) -> None:
    # Given the roles in a VPC
    subnets, groups = NETWORKS[network]
    chosen = {SUBNETS: ",".join(subnets), GROUPS: ",".join(groups), "Campaigns": "true"}
    resources = resolve({**TEMPLATE, "Outputs": {}}, chosen)["Resources"]
    (policy,) = policies_of_all(resources)
    _, create, manage, deny = policy["PolicyDocument"]["Statement"]
    # Then interfaces are made in these subnets and groups alone, with no condition that Lambda's check would fail
    assert create["Action"] == "ec2:CreateNetworkInterface"
    prefix = "arn:aws:ec2:eu-central-1"
    assert set(create["Resource"]) == {
        f"{prefix}:123456789012:network-interface/*",
        *(f"{prefix}:*:subnet/{subnet}" for subnet in subnets),
        *(f"{prefix}:*:security-group/{group}" for group in groups),
    }
    assert "Condition" not in create
    # And what Lambda asks for with every resource is given for every one
    assert manage["Resource"] == "*"
    assert {action.removeprefix("ec2:") for action in manage["Action"]} == {
        "DescribeNetworkInterfaces",
        "DescribeSubnets",
        "DeleteNetworkInterface",
        "AssignPrivateIpAddresses",
        "UnassignPrivateIpAddresses",
    }
    assert "Condition" not in manage
    # And none of it to the function's own code
    assert deny["Effect"] == "Deny"
    assert deny["Resource"] == "*"
    assert {create["Action"], *manage["Action"]} <= set(deny["Action"])
    assert deny["Condition"] == {"Null": {"lambda:SourceFunctionArn": "false"}}


def policies_of_all(resources: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the policies that are for more than one role."""
    return [each["Properties"] for each in resources.values() if each["Type"] == "AWS::IAM::ManagedPolicy"]


def test_network_permissions_are_given_in_a_vpc_alone() -> None:
    # Given the roles of all functions
    attached = []
    for path in ("template.yaml", "campaigns.yaml", "replies.yaml", "followup.yaml"):
        resources = written(path)["Resources"]
        functions = [function for function in resources.values() if function["Type"] == "AWS::Serverless::Function"]
        roles = [resources[function["Properties"]["Role"]["Fn::GetAtt"][0]] for function in functions]
        assert "ec2:" not in str(roles)
        attached += [role["Properties"]["ManagedPolicyArns"] for role in roles]

    # Then each has the one policy that says what all may in a VPC, which says nothing of it elsewhere
    assert len(attached) == 10
    assert all(policies == [{"Ref": "FunctionPolicy"}] for policies in attached)
    (policy,) = policies_of_all(TEMPLATE["Resources"])
    assert "ec2:CreateNetworkInterface" in str(policy)
    assert "ec2:" not in str(outside_of_vpc(policy))
