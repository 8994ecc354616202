"""The template's rules: which connections to Cube they let a deployment open, tried with every combination there is."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from local.parameters import broken_rules
from local.transform import transform
from tests.cloudformation import resolve, written

TEMPLATE = written("template.yaml")
PARAMETERS: dict[str, dict[str, Any]] = TEMPLATE["Parameters"]
RULES: dict[str, dict[str, Any]] = TEMPLATE["Rules"]

QUEUE, SEND, API, MAX = (
    "QueueMaximumConcurrency",
    "QueueSendConcurrency",
    "ApiConnections",
    "CubeMaxConnections",
)
SUBNETS, GROUPS = "VpcSubnetIds", "VpcSecurityGroupIds"
DEFAULTS = {name: str(parameter["Default"]) for name, parameter in PARAMETERS.items()}

SOME_SUBNETS, SOME_GROUPS = "subnet-0a1b2c3d,subnet-4e5f6a7b", "sg-8c9d0e1f"


def refusals(parameters: dict[str, str]) -> list[str]:
    """Return what the rules say against a stack with these parameters, and defaults for all others."""
    return broken_rules(TEMPLATE, parameters)


def connections(queue: object, send: object, api: object, most: object) -> dict[str, str]:
    return {QUEUE: str(queue), SEND: str(send), API: str(api), MAX: str(most)}


def fit(queue: int, send: int, api: int, most: int) -> bool:
    """Return what the rule has to decide. No reserved concurrency (0) is no limit, which fits into none."""
    return most == 0 or (api > 0 and queue * send + api <= most)


def functions(node: Any) -> list[tuple[str, Any]]:
    """Return every function in an expression, with its operands."""
    if isinstance(node, list):
        return [found for item in node for found in functions(item)]
    if isinstance(node, dict):
        return [(name, operands) for name, operands in node.items()] + functions(list(node.values()))
    return []


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
    assert fit(*(int(DEFAULTS[name]) for name in (QUEUE, SEND, API, MAX)))


def test_every_combination_is_decided_as_arithmetic_would() -> None:
    # Given every value there is to choose, and of the queue's concurrency those beyond all that the rule names
    send, api, most = ([int(value) for value in PARAMETERS[name]["AllowedValues"]] for name in (SEND, API, MAX))
    queue = [*range(2, 2 * max(most) + 2), 1000]

    # When each of them meets each other
    wrong = [
        combination
        for combination in product(queue, send, api, most)
        if (refusals(connections(*combination)) == []) is not fit(*combination)
    ]

    # Then those are refused that could open too many connections, and no others
    assert wrong == []


@pytest.mark.parametrize(
    "fitting",
    [
        (2, 1, 1, 3),
        (3, 1, 1, 4),
        (2, 2, 1, 5),
        (2, 1, 4, 6),
        (7, 1, 1, 8),
        (31, 1, 1, 32),
        (2, 8, 1, 32),
        (15, 2, 2, 32),
    ],
)
def test_as_many_connections_as_are_allowed_are_accepted(fitting: tuple[int, int, int, int]) -> None:
    assert refusals(connections(*fitting)) == []


@pytest.mark.parametrize(
    "excessive", [(3, 1, 1, 3), (2, 2, 1, 3), (2, 1, 2, 3), (32, 1, 1, 32), (16, 2, 1, 32), (1000, 1, 1, 32)]
)
def test_refusal_names_the_parameters(excessive: tuple[int, int, int, int]) -> None:
    (refusal,) = refusals(connections(*excessive))
    assert all(name in refusal for name in (QUEUE, SEND, API, MAX))


@pytest.mark.parametrize("unlimited", [(2, 1, 1, 0), (1000, 32, 32, 0), (1000, 32, 0, 0)])
def test_without_a_limit_everything_is_accepted(unlimited: tuple[int, int, int, int]) -> None:
    assert refusals(connections(*unlimited)) == []


def test_function_without_a_limit_of_its_own_is_refused_where_there_is_one() -> None:
    assert refusals(connections(2, 1, 0, 32))


@pytest.mark.parametrize("name", [QUEUE, SEND, API, MAX])
@pytest.mark.parametrize("spelling", ["0{}", "{}.0", "+{}", "{}e0", " {}"])
def test_number_in_another_spelling_slips_through_nowhere(name: str, spelling: str) -> None:
    # Given a combination that does not fit, of which CloudFormation may take a number as it was written
    excessive = connections(3, 1, 1, 3)
    excessive[name] = spelling.format(excessive[name])

    # Then it is refused all the same
    assert refusals(excessive)


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
    template = written("template.yaml")

    # When it is transformed
    transformed = transform(template)

    # Then the rules are in it, and every function that sends knows the limits
    assert transformed["Rules"] == RULES
    # (AWS bounds the queue's share, and the API's workers keep to theirs: a new account has no concurrency to reserve)
    assert "ReservedConcurrentExecutions" not in str(transformed)
    mapping = transformed["Resources"]["SendFromQueueFunctionMessages"]["Properties"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": {"Ref": QUEUE}}
    resources = transformed["Resources"].values()
    deployed = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::Lambda::Function"]
    assert len(deployed) == str(TEMPLATE["Resources"]).count("AWS::Serverless::Function'")
    for function in deployed:
        variables = function["Environment"]["Variables"]
        if "CUBE_BASE_URL" in variables:
            assert variables["CUBE_MAX_QPS"] == {"Ref": "CubeMaxQps"}
            assert variables["CUBE_DAILY_QUOTA"] == {"Ref": "CubeDailyQuota"}
            assert variables["CUBE_MAX_CONNECTIONS"] == {"Ref": "CubeMaxConnections"}
            assert variables["API_CONNECTIONS"] == {"Ref": "ApiConnections"}
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
    policies = [
        policy["PolicyDocument"]["Statement"]
        for resource in resources.values()
        if resource["Type"] == "AWS::IAM::Role"
        for policy in resource["Properties"]["Policies"]
        if policy["PolicyName"] == "NetworkInterfaces"
    ]
    assert len(policies) == str(TEMPLATE["Resources"]).count("AWS::Serverless::Function'")
    for create, manage, deny in policies:
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


def test_network_permissions_are_given_in_a_vpc_alone() -> None:
    resources = TEMPLATE["Resources"]
    functions = [function for function in resources.values() if function["Type"] == "AWS::Serverless::Function"]
    roles = [resources[function["Properties"]["Role"]["Fn::GetAtt"][0]] for function in functions]

    assert roles
    assert all("ec2:CreateNetworkInterface" in str(role) for role in roles)
    assert not any("ec2:" in str(outside_of_vpc(role)) for role in roles)
