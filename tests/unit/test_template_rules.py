"""The project's own rules for its templates: what every function, queue, role, parameter and output has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from local.transform import template_as_deployed
from tests.cloudformation import application, written

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = application(written)
SOURCE = SOURCES["template.yaml"]
RESOURCES: dict[str, dict[str, Any]] = {
    logical_id: resource for source in SOURCES.values() for logical_id, resource in source["Resources"].items()
}
# What may stand between a parameter's declaration and its use.
LIVE_SECTIONS = ("Globals", "Conditions", "Resources", "Outputs")

# Actions of IAM that know no resource to restrict them to, after AWS's Service Authorization Reference.
ACTIONS_WITHOUT_RESOURCES = {
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "dynamodb:ListStreams",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    # These know some. But Lambda refuses a role that may not do them with all.
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
}


# What access logs have of a callback. $context.path, and what is made of it, has the token.
TOLD_OF_A_CALLBACK = {
    "requestId",
    "requestTimeEpoch",
    "identity.sourceIp",
    "httpMethod",
    "resourcePath",
    "status",
    "responseLatency",
    "error.responseType",
}


def of_type(resources: dict[str, dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {name: resource["Properties"] for name, resource in resources.items() if resource["Type"] == kind}


FUNCTIONS = of_type(RESOURCES, "AWS::Serverless::Function")
QUEUES = of_type(RESOURCES, "AWS::SQS::Queue")
RULES = of_type(RESOURCES, "AWS::Events::Rule")
WORKFLOWS = of_type(RESOURCES, "AWS::Serverless::StateMachine")

# The seconds for which DynamoDB keeps the records of a stream.
STREAM_SECONDS = 86400

# For a queue that no function reads: the longest that SQS keeps a message.
LONGEST_RETENTION = 1209600


@pytest.fixture(scope="module")
def deployed() -> dict[str, dict[str, Any]]:
    """The resources as CloudFormation sees them."""
    return {
        logical_id: resource
        for template in application(template_as_deployed).values()
        for logical_id, resource in template["Resources"].items()
    }


def walk(node: Any) -> Iterator[Any]:
    """Yield a part of the template, and every part of it."""
    yield node
    if isinstance(node, dict | list):
        for item in node.values() if isinstance(node, dict) else node:
            yield from walk(item)


def given(node: Any, true: set[str]) -> Any:
    """Return what is left of a part of the template where these conditions are true, and all others are not."""
    if isinstance(node, list):
        return [given(item, true) for item in node]
    if not isinstance(node, dict):
        return node
    if "Fn::If" in node:
        condition, yes, no = node["Fn::If"]
        return given(yes if condition in true else no, true)
    items = {name: given(item, true) for name, item in node.items()}
    return {name: item for name, item in items.items() if item != {"Ref": "AWS::NoValue"}}


def target(reference: Any) -> str:
    """Return the logical id that a `Ref` or `GetAtt` names."""
    return str(reference["Ref"] if "Ref" in reference else reference["Fn::GetAtt"][0])


def names_used(node: Any) -> set[str]:
    """Return every name that a part of the template refers to."""
    parts = list(walk(node))
    references = {part["Ref"] for part in parts if isinstance(part, dict) and "Ref" in part}
    substituted = [name for part in parts if isinstance(part, str) for name in re.findall(r"\$\{([A-Za-z]+)", part)]
    return references | set(substituted)


def events_of(name: str) -> list[dict[str, Any]]:
    """Return what invokes a function, except for state machines."""
    return list(FUNCTIONS[name].get("Events", {}).values())


def is_of_a_workflow(name: str) -> bool:
    """Return whether a state machine invokes a function, by its alias, or an operator does."""
    return name == "ManageCampaignFunction" or any(
        {"Ref": f"{name}.Alias"} in walk(each["DefinitionSubstitutions"]) for each in WORKFLOWS.values()
    )


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def declared(section: str) -> list[tuple[str, str]]:
    """Return what all templates have in a section, with the name of the template."""
    return [(path, name) for path, source in SOURCES.items() for name in source.get(section, {})]


# ── Functions ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_has_what_it_is_run_and_watched_by(name: str, deployed: dict[str, dict[str, Any]]) -> None:
    function = deployed[name]["Properties"]

    assert function["TracingConfig"] == {"Mode": "PassThrough"}
    assert 0 < function["Timeout"] <= (900 if is_of_a_workflow(name) else 60)
    assert function["MemorySize"] == {"Ref": "MemorySize"}
    assert function["VpcConfig"]["Fn::If"][0] == "IsInVpc"
    assert function["Description"]
    assert deployed[target(function["LoggingConfig"]["LogGroup"])]["Type"] == "AWS::Logs::LogGroup"
    assert deployed[target(function["Role"])]["Type"] == "AWS::IAM::Role"


@pytest.mark.parametrize("owned", [("LoggingConfig", "LogGroup"), ("Role",)], ids=lambda path: path[-1])
def test_function_shares_neither_logs_nor_role(owned: tuple[str, ...], deployed: dict[str, dict[str, Any]]) -> None:
    owners = []
    for function in of_type(deployed, "AWS::Lambda::Function").values():
        value: Any = function
        for key in owned:
            value = value[key]
        owners.append(target(value))

    assert len(set(owners)) == len(owners) >= len(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_that_a_function_fails_at_is_lost(name: str) -> None:
    # Given what invokes it
    events = events_of(name)

    # Then a caller or a workflow learns of a failure. A message is received again, and ends on a dead-letter queue.
    # A record of a stream is read again; long before the stream drops it, a queue gets the place where it is.
    # A schedule invokes its function again soon, and that finds what was left.
    assert bool(events) is not is_of_a_workflow(name)
    for event in events:
        assert event["Type"] in ("Api", "SQS", "DynamoDB", "Schedule")
        properties = event["Properties"]
        if event["Type"] == "Schedule":
            assert properties["Schedule"] == "rate(1 minute)"
        elif event["Type"] != "Api":
            assert properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        if event["Type"] == "SQS":
            assert "RedrivePolicy" in QUEUES[target(properties["Queue"])]
        if event["Type"] == "DynamoDB":
            assert properties["StartingPosition"] == "TRIM_HORIZON"
            assert properties["BisectBatchOnFunctionError"] is True
            assert properties["MaximumRecordAgeInSeconds"] <= STREAM_SECONDS / 2
            assert target(properties["DestinationConfig"]["OnFailure"]["Destination"]) in QUEUES


@pytest.mark.parametrize("name", FUNCTIONS)
def test_message_stays_invisible_for_six_timeouts_of_its_function(name: str) -> None:
    for event in events_of(name):
        if event["Type"] == "SQS":
            queue = QUEUES[target(event["Properties"]["Queue"])]
            assert queue["VisibilityTimeout"] >= 6 * FUNCTIONS[name]["Timeout"]


def test_api_function_gives_up_before_api_gateway_does() -> None:
    for name, function in FUNCTIONS.items():
        if any(event["Type"] == "Api" for event in events_of(name)):
            assert function["Timeout"] <= 29


def test_path_of_a_callback_is_told_nowhere(deployed: dict[str, dict[str, Any]]) -> None:
    # Given the two APIs, of which one has a secret in its paths
    stages = of_type(deployed, "AWS::ApiGateway::Stage")
    (callbacks,) = [stage for stage in stages.values() if stage["RestApiId"] == {"Ref": "CallbackApi"}]
    (calls,) = [stage for stage in stages.values() if stage["RestApiId"] == {"Ref": "Api"}]

    # Then it is in neither traces, execution logs nor access logs, which the other one may have
    assert (callbacks["TracingEnabled"], calls["TracingEnabled"]) == (False, True)
    assert {(each["LoggingLevel"], each["DataTraceEnabled"]) for each in callbacks["MethodSettings"]} == {
        ("OFF", False)
    }
    told = set(re.findall(r"\$context\.[A-Za-z.]+", str(callbacks["AccessLogSetting"])))
    assert told == {f"$context.{name}" for name in TOLD_OF_A_CALLBACK}


def test_log_group_has_a_retention() -> None:
    groups = of_type(RESOURCES, "AWS::Logs::LogGroup")

    assert groups
    assert {name for name, group in groups.items() if "RetentionInDays" not in group} == set()


# ── Permissions ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_permission_names_its_actions_and_resources(deployed: dict[str, dict[str, Any]]) -> None:
    # Given every statement that allows a role something
    allowed = [
        part
        for policies in policies_of(deployed)
        for part in walk(policies)
        if isinstance(part, dict) and part.get("Effect") == "Allow"
    ]

    # Then it names each action, and a resource but where there is none to name
    assert len(allowed) > len(FUNCTIONS)
    for statement in allowed:
        actions = as_list(statement["Action"])
        assert not [action for action in actions if "*" in action], statement
        if "*" in as_list(statement["Resource"]):
            assert set(actions) <= ACTIONS_WITHOUT_RESOURCES, statement


def policies_of(resources: dict[str, dict[str, Any]]) -> Iterator[Any]:
    """Yield what the roles may, each for itself and together."""
    yield from (role["Policies"] for role in of_type(resources, "AWS::IAM::Role").values())
    yield from (policy["PolicyDocument"] for policy in of_type(resources, "AWS::IAM::ManagedPolicy").values())


def test_action_without_resources_is_still_allowed_somewhere(deployed: dict[str, dict[str, Any]]) -> None:
    assert set(walk_strings(deployed)) >= ACTIONS_WITHOUT_RESOURCES


def walk_strings(node: Any) -> Iterator[str]:
    return (part for part in walk(node) if isinstance(part, str))


def test_no_role_has_a_policy_of_awss(deployed: dict[str, dict[str, Any]]) -> None:
    # AWS changes them, and they allow more than these functions do
    attached = [
        arn for role in of_type(deployed, "AWS::IAM::Role").values() for arn in role.get("ManagedPolicyArns", [])
    ]

    assert attached == [{"Ref": "FunctionPolicy"}] * len(FUNCTIONS)
    assert of_type(deployed, "AWS::IAM::ManagedPolicy").keys() == {"FunctionPolicy"}
    for stack in ("CampaignStack", "ReplyStack", "FollowUpStack"):
        assert SOURCE["Resources"][stack]["Properties"]["Parameters"]["FunctionPolicy"] == attached[0]


def test_no_partition_is_written_down() -> None:
    # China and GovCloud have others. A parameter's pattern and its example are for people.
    live = [source.get(section) for source in SOURCES.values() for section in LIVE_SECTIONS]
    assert [text for text in walk_strings(live) if "arn:aws" in text] == []


# ── Queues ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("conditions", [set(), {"HasKmsKey"}], ids=["key of AWS", "own key"])
@pytest.mark.parametrize("name", QUEUES)
def test_queue_is_encrypted(name: str, conditions: set[str]) -> None:
    queue = given(QUEUES[name], conditions)
    assert ("KmsMasterKeyId" in queue) is not (queue.get("SqsManagedSseEnabled") is True)


@pytest.mark.parametrize("name", QUEUES)
def test_queue_has_a_dead_letter_queue_or_is_one(name: str) -> None:
    # Given the queues for messages, records of streams and events of rules that no function could take
    dead_letters = {
        queue: target(properties["RedrivePolicy"]["deadLetterTargetArn"])
        for queue, properties in QUEUES.items()
        if "RedrivePolicy" in properties
    }
    parts = [part for part in walk([FUNCTIONS, RULES]) if isinstance(part, dict)]
    ends = {
        *dead_letters.values(),
        *(target(part["OnFailure"]["Destination"]) for part in parts if "OnFailure" in part),
        *(target(part["DeadLetterConfig"]["Arn"]) for part in parts if "DeadLetterConfig" in part),
        # What Cube rejected has its outcome, and only an operator takes it from there.
        "RejectedQueue",
        # Somebody has to read what a callback of an unknown form says.
        "UnknownCallbacksQueue",
    }

    # Then a queue has such a queue or is one. A dead letter keeps its age, so that queue keeps it for the longest time
    assert (name in dead_letters) is not (name in ends)
    if name in ends:
        assert QUEUES[name]["MessageRetentionPeriod"] == LONGEST_RETENTION


@pytest.mark.parametrize("name", QUEUES)
def test_queue_refuses_plain_http(name: str) -> None:
    policies = of_type(RESOURCES, "AWS::SQS::QueuePolicy").values()

    # A queue has one policy, and takes the last of several
    (policy,) = [policy for policy in policies if {"Ref": name} in policy["Queues"]]

    (statement,) = [each for each in policy["PolicyDocument"]["Statement"] if each.get("Effect") == "Deny"]
    arn = {"Fn::GetAtt": [name, "Arn"]}
    plain_http = {"Bool": {"aws:SecureTransport": "false"}}
    assert (statement["Action"], statement["Principal"], statement["Resource"]) == ("sqs:*", "*", arn)
    assert statement["Condition"] == plain_http


@pytest.mark.parametrize("name", RULES)
def test_rule_loses_nothing_and_alone_may_send_to_its_queues(name: str) -> None:
    for event_target in RULES[name]["Targets"]:
        # What cannot be delivered goes to a queue of the standard type, which is all that EventBridge takes
        undelivered = target(event_target["DeadLetterConfig"]["Arn"])
        assert "FifoQueue" not in QUEUES[undelivered]
        for queue in (target(event_target["Arn"]), undelivered):
            # And EventBridge may send to both in the name of this rule, where there is one
            policies = given(of_type(RESOURCES, "AWS::SQS::QueuePolicy"), {RESOURCES[name]["Condition"]}).values()
            allowed = [
                statement
                for policy in policies
                if {"Ref": queue} in policy["Queues"]
                for statement in policy["PolicyDocument"]["Statement"]
                if isinstance(statement, dict) and statement.get("Effect") == "Allow"
            ]
            (statement,) = allowed
            assert statement["Principal"] == {"Service": "events.amazonaws.com"}
            assert statement["Action"] == "sqs:SendMessage"
            assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": [name, "Arn"]}}}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_role_may_read_the_stream_and_tell_the_queue(name: str) -> None:
    statements = [
        part
        for part in walk(RESOURCES[target(FUNCTIONS[name]["Role"])]["Properties"]["Policies"])
        if isinstance(part, dict) and part.get("Effect") == "Allow"
    ]

    # Given the source that Lambda polls, and where it reports, in the function's name
    for event in events_of(name):
        if event["Type"] == "DynamoDB":
            destination = event["Properties"]["DestinationConfig"]["OnFailure"]["Destination"]
            needed = {
                "sqs:SendMessage": destination,
                **dict.fromkeys(("DescribeStream", "GetRecords", "GetShardIterator"), event["Properties"]["Stream"]),
            }
            # Then its role allows that, and for no other resource
            for action, resource in needed.items():
                resources = [
                    each["Resource"]
                    for each in statements
                    if {action, f"dynamodb:{action}"} & set(as_list(each["Action"]))
                ]
                assert resources == [resource], action


# ── Parameters, conditions, outputs ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("path", "name"), declared("Parameters"))
def test_parameter_is_described_and_used(path: str, name: str) -> None:
    parameter = SOURCES[path]["Parameters"][name]

    assert parameter["Description"].endswith(".")
    assert "ConstraintDescription" in parameter or "AllowedPattern" not in parameter
    assert name in names_used([SOURCES[path].get(section) for section in LIVE_SECTIONS])


def test_parameter_has_a_place_on_the_console() -> None:
    groups = SOURCE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    placed = [name for group in groups for name in group["Parameters"]]

    assert sorted(placed) == sorted(SOURCE["Parameters"])


@pytest.mark.parametrize("path", SOURCES)
def test_condition_is_used(path: str) -> None:
    live = [SOURCES[path].get(section) for section in LIVE_SECTIONS]
    parts = [part for part in walk(live) if isinstance(part, dict)]
    used = {part["Fn::If"][0] for part in parts if "Fn::If" in part}
    used |= {part["Condition"] for part in parts if isinstance(part.get("Condition"), str)}

    assert used == SOURCES[path].get("Conditions", {}).keys()


@pytest.mark.parametrize(("path", "name"), declared("Outputs"))
def test_output_is_described(path: str, name: str) -> None:
    assert SOURCES[path]["Outputs"][name]["Description"].endswith(".")
