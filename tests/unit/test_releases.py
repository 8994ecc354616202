"""What a release is made from: samconfig.toml, the workflows, the functions' versions, and the metadata."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import yaml
from botocore.stub import Stubber

from local.transform import transform
from scripts.change_set import execute
from tests.cloudformation import application, dangling, known, resolve, stacks, written

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
SAMCONFIG: dict[str, Any] = tomllib.loads((ROOT / "samconfig.toml").read_text("utf-8"))
# The workflows' `on:` is a boolean to YAML 1.1.
WORKFLOWS: dict[str, Any] = {
    path.name: yaml.safe_load(path.read_text("utf-8")) for path in sorted((ROOT / ".github/workflows").glob("*.yml"))
}
JOBS = {(name, job): body for name, workflow in WORKFLOWS.items() for job, body in workflow["jobs"].items()}
STEPS = [(f"{name}:{job}", step) for (name, job), body in JOBS.items() for step in body.get("steps", [])]

# Properties of a function that are not part of a version, or that SAM makes a version of when they change.
NOT_VERSIONED = {
    "AutoPublishAlias",
    "AutoPublishAliasAllProperties",
    "DeploymentPreference",
    "Events",
    "VersionDescription",
}

STATE_MACHINE = "AWS::Serverless::StateMachine"

# What makes a queue another one, with another URL, wherever a function refers to it.
QUEUE_IS_REPLACED_FOR = "FifoQueue"


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    # The transform asks botocore for the region it is for.
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


def template(name: str = "template.yaml") -> dict[str, Any]:
    parsed: dict[str, Any] = written(name)
    return parsed


def of_all(kind: str) -> list[tuple[str, str]]:
    """Return the resources of a type, each with the name of its template."""
    found = {path: of_type(source["Resources"], kind) for path, source in application(template).items()}
    return [(path, name) for path, names in found.items() for name in names]


def transformed(source: dict[str, Any], **parameters: str) -> dict[str, Any]:
    """Return the resources that SAM makes of a template that is packaged."""
    resources: dict[str, Any] = transform(source, parameters)["Resources"]
    return resources


def of_type(resources: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: resource for name, resource in resources.items() if resource["Type"] == kind}


def parameters_in(node: Any, source: dict[str, Any], passed: Mapping[str, set[str]] | None = None) -> set[str]:
    """Return the parameters whose values go into a part of a template, those of its conditions too.

    Of a nested template they are those of the one around it: `passed` has them, by the nested template's own.
    """

    found: set[str] = set()
    if isinstance(node, list):
        return found.union(*(parameters_in(item, source, passed) for item in node))
    if not isinstance(node, dict):
        return found
    for key, value in node.items():
        if key == "Ref":
            found |= parameters_of(value, source, passed)
        elif key == "Fn::Sub":
            text, variables = (value, {}) if isinstance(value, str) else value
            names = set(re.findall(r"\$\{(\w+)\}", text)) & source["Parameters"].keys()
            found = found.union(*(parameters_of(name, source, passed) for name in names))
            found |= parameters_in(variables, source, passed)
        else:
            if key == "Fn::If":
                found |= parameters_in(source["Conditions"][value[0]], source, passed)
            found |= parameters_in(value, source, passed)
    return found


def parameters_of(name: str, source: dict[str, Any], passed: Mapping[str, set[str]] | None) -> set[str]:
    """Return the parameters that make another thing of a parameter or a resource."""
    if name in source["Parameters"]:
        return {name} if passed is None else passed[name]
    resource = source["Resources"].get(name, {"Type": "a pseudo parameter"})
    if resource["Type"] == "AWS::SQS::Queue":
        return parameters_in(resource["Properties"].get(QUEUE_IS_REPLACED_FOR), source, passed)
    if resource["Type"] == "AWS::Serverless::LayerVersion":
        return parameters_in(resource["Properties"], source, passed)
    return set()


def passed_to(path: str) -> dict[str, set[str]] | None:
    """Return of each parameter of a nested template what parameters of the one around it go into it."""
    whole = template()
    for stack in stacks(whole).values():
        if stack["TemplateURL"] == path:
            return {name: parameters_in(value, whole) for name, value in stack["Parameters"].items()}
    return None


@pytest.mark.parametrize("environment", ["uat", "prod"])
def test_an_environment_sets_parameters_that_the_template_has(environment: str) -> None:
    # Given an environment of samconfig.toml, and the template's parameters
    settings = SAMCONFIG[environment]["deploy"]["parameters"]
    declared = template()["Parameters"]

    # When its parameters are read
    overrides = dict(override.split("=", 1) for override in settings["parameter_overrides"])

    # Then the template has them, and allows these values
    assert overrides.keys() <= declared.keys()
    assert {"CubeBaseUrl", "CubeV4BaseUrl", "DeploymentType"} <= overrides.keys()
    for name, value in overrides.items():
        assert re.search(declared[name].get("AllowedPattern", ""), value)
        assert value in declared[name].get("AllowedValues", [value])


def test_environments_are_stacks_of_their_own_and_prod_asks_first() -> None:
    # Given samconfig.toml
    names = {
        environment: SAMCONFIG[environment]["global"]["parameters"]["stack_name"]
        for environment in SAMCONFIG
        if environment != "version"
    }
    deploys = {environment: SAMCONFIG[environment]["deploy"]["parameters"] for environment in names}

    # Then no two share a stack, an unchanged stack is no failure, and prod changes after a question
    assert len(set(names.values())) == len(names)
    assert all(deploy["fail_on_empty_changeset"] is False for deploy in deploys.values())
    # Templates that are nested are transformed as well
    capabilities = "CAPABILITY_IAM CAPABILITY_AUTO_EXPAND"
    assert all(deploy["resolve_s3"] and deploy["capabilities"] == capabilities for deploy in deploys.values())
    assert deploys["prod"]["confirm_changeset"] is True
    assert all(f"environment={name}" in deploys[name]["tags"] for name in ("uat", "prod"))


@pytest.mark.parametrize(("where", "step"), STEPS, ids=[where for where, _ in STEPS])
def test_an_action_is_pinned_and_a_script_holds_no_expression(where: str, step: dict[str, Any]) -> None:
    # Then a tag that is moved changes nothing, and no value from outside becomes a part of a script
    if "uses" in step:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), where
    else:
        assert "${{" not in step["run"], where


def test_workflows_may_do_no_more_than_they_need() -> None:
    # Then no workflow has permissions, and a job has those of reading the code, or of asking for credentials
    assert all(workflow["permissions"] == {} for workflow in WORKFLOWS.values())
    for (_, job), body in JOBS.items():
        expected = {"id-token": "write"} if "environment" in body else {"contents": "read"}
        assert body["permissions"] == expected, job


def test_a_release_has_no_key_that_lasts() -> None:
    # Given the workflows' text
    text = "".join(path.read_text("utf-8") for path in (ROOT / ".github/workflows").glob("*.yml"))

    # Then there is no secret in it, and each job that calls AWS has a role of its environment
    assert "secrets." not in text
    assert not re.search(r"AKIA|ASIA|aws-secret-access-key|AWS_SECRET_ACCESS_KEY", text)
    for (_, job), body in JOBS.items():
        roles = [step["with"] for step in body.get("steps", []) if "configure-aws" in step.get("uses", "")]
        expected = {"role-to-assume": "${{ vars.AWS_ROLE_ARN }}", "aws-region": "${{ vars.AWS_REGION }}"}
        assert roles == ([expected] if "environment" in body else []), job


def test_a_release_goes_through_uat_and_an_approval() -> None:
    # Given the workflow of a release
    release = WORKFLOWS["release.yml"]
    jobs = release["jobs"]

    # Then nothing is deployed unchecked, all get one build, and prod executes what was shown
    assert {name: job.get("needs") for name, job in jobs.items()} == {
        "check": None,
        "build": "check",
        "uat": "build",
        "plan": "uat",
        "prod": "plan",
    }
    assert [job.get("environment") for job in jobs.values()] == [None, None, "uat", "prod-plan", "prod"]
    assert release["concurrency"] == {"group": "release", "cancel-in-progress": False}
    assert [name for name, job in jobs.items() if "make build" in str(job)] == ["build"]
    assert "--no-execute-changeset" in str(jobs["plan"])
    assert "scripts.change_set --stack cube-sms-prod execute" in str(jobs["prod"])
    # Without it a `sam deploy` that fails would be taken for one that had nothing to do.
    assert release["defaults"]["run"]["shell"] == "bash"


def test_a_release_that_is_rolled_back_leaves_no_version_behind() -> None:
    # Given a stack with a change set
    cloudformation = boto3.client(
        "cloudformation", "eu-central-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    with Stubber(cloudformation) as aws:
        stack = {"StackName": "cube-sms-prod", "CreationTime": datetime.now(UTC)}
        aws.add_response("describe_stacks", {"Stacks": [{**stack, "StackStatus": "UPDATE_COMPLETE"}]})
        # Then it is executed so that what it made goes when it is rolled back
        aws.add_response(
            "execute_change_set",
            {},
            {"StackName": "cube-sms-prod", "ChangeSetName": "release", "RetainExceptOnCreate": True},
        )
        aws.add_response("describe_stacks", {"Stacks": [{**stack, "StackStatus": "UPDATE_COMPLETE"}]})

        # When it is executed
        execute(cloudformation, "cube-sms-prod", "release")
        aws.assert_no_pending_responses()


def test_what_a_build_names_outside_of_it_is_packed() -> None:
    # Given what a release is packed of, and the definitions that `sam build` leaves where they are
    (pack,) = [step["run"] for _, step in STEPS if step.get("name") == "Pack"]
    templates = application(template).values()
    machines = [machine for each in templates for machine in of_type(each["Resources"], STATE_MACHINE).values()]
    definitions = [machine["Properties"]["DefinitionUri"] for machine in machines]

    # Then each is in it
    assert definitions
    assert {definition.partition("/")[0] for definition in definitions} <= set(pack.split())


def test_everything_calls_the_alias() -> None:
    # Given what SAM makes of the templates
    resources, campaigns = transformed(template()), transformed(template("campaigns.yaml"))
    functions, aliases = of_type(resources, "AWS::Lambda::Function"), of_type(resources, "AWS::Lambda::Alias")

    # Then each function has one, and queue, stream and API know no other name
    assert {alias["Properties"]["FunctionName"]["Ref"] for alias in aliases.values()} == functions.keys()
    mappings = of_type(resources, "AWS::Lambda::EventSourceMapping").values()
    assert len(mappings) == 2
    assert {mapping["Properties"]["FunctionName"]["Ref"] for mapping in mappings} <= aliases.keys()
    permissions = of_type(resources, "AWS::Lambda::Permission").values()
    assert all(permission["Properties"]["FunctionName"]["Ref"] in aliases for permission in permissions)
    called = re.findall(r"functions/\$\{([^}]+)\}/invocations", str(resources["Api"]))
    assert set(called) <= aliases.keys()
    assert len(called) == 4
    # And neither does the state machine
    (machine,) = of_type(campaigns, "AWS::StepFunctions::StateMachine").values()
    invoked = [value for name, value in machine["Properties"]["DefinitionSubstitutions"].items() if "Function" in name]
    by_operators = {"ManageCampaignFunctionAliaslive"}
    assert {each["Ref"] for each in invoked} | by_operators == of_type(campaigns, "AWS::Lambda::Alias").keys()
    # Nor the API that the provider calls
    replies = transformed(template("replies.yaml"))
    (called,) = re.findall(r"functions/\$\{([^}]+)\}/invocations", str(replies["CallbackApi"]))
    assert of_type(replies, "AWS::Lambda::Alias").keys() == {called}
    # Nor the schedule
    followup = transformed(template("followup.yaml"))
    (rule,) = of_type(followup, "AWS::Events::Rule").values()
    assert [target["Arn"] for target in rule["Properties"]["Targets"]] == [
        {"Ref": name} for name in of_type(followup, "AWS::Lambda::Alias")
    ]


def test_a_change_in_a_layer_is_a_new_version() -> None:
    # Given the template, and one with other code in a layer
    changed = template()
    changed["Resources"]["CubeLayer"]["Properties"]["ContentUri"] = "s3://bucket/other"

    # When SAM transforms both
    before, after = transformed(template()), transformed(changed)

    # Then every function has a version of its own
    versions = of_type(before, "AWS::Lambda::Version").keys(), of_type(after, "AWS::Lambda::Version").keys()
    functions = of_type(template()["Resources"], "AWS::Serverless::Function")
    assert [len(names) for names in versions] == [len(functions)] * 2
    assert not versions[0] & versions[1]


@pytest.mark.parametrize("path", ["campaigns.yaml", "replies.yaml", "followup.yaml"])
@pytest.mark.parametrize("layer", ["CubeLayer", "DependenciesLayer"])
def test_a_change_in_a_layer_is_a_new_version_in_a_nested_template(path: str, layer: str) -> None:
    # Given versions that SAM makes where it does not see what is in a layer
    nested = template(path)
    arn = "arn:aws:lambda:eu-central-1:123456789012:layer:x:{}"
    numbers = {name: arn.format(1) for name in ("CubeLayer", "DependenciesLayer")}

    # When a layer has another number
    descriptions = [
        [
            function["Properties"]["VersionDescription"]
            for function in of_type(resolve(nested, parameters)["Resources"], "AWS::Serverless::Function").values()
        ]
        for parameters in (numbers, numbers | {layer: arn.format(2)})
    ]

    # Then so has the description, at which CloudFormation makes another one
    functions = of_type(nested["Resources"], "AWS::Serverless::Function")
    assert len(descriptions[0]) == len(functions) > 0
    assert all(before != after for before, after in zip(*descriptions, strict=True))


@pytest.mark.parametrize(("path", "name"), of_all("AWS::Serverless::Function"))
def test_a_parameter_of_a_function_is_in_the_description_of_its_version(path: str, name: str) -> None:
    # Given a function, with what it has in common with others
    source, passed = template(path), passed_to(path)
    common, own = source["Globals"]["Function"], source["Resources"][name]["Properties"]
    properties = {**common, **own, "Environment": [common["Environment"], own.get("Environment")]}

    # When the parameters are gathered that a version is made of
    versioned = {key: value for key, value in properties.items() if key not in NOT_VERSIONED}
    used = parameters_in(versioned, source, passed)

    # Then the description of the version has each, and so changes with it, and has no other
    assert parameters_in(properties["VersionDescription"], source, passed) == used
    assert used


@pytest.mark.parametrize(("path", "name"), of_all("AWS::Serverless::Function"))
def test_the_description_of_a_version_is_short_enough_whatever_is_chosen(path: str, name: str) -> None:
    # Given the longest value that each parameter takes, and the choices that a description lists
    whole = template()
    widest = {parameter: "x" * longest(declared) for parameter, declared in whole["Parameters"].items()}
    widest |= {
        "VpcSubnetIds": ",".join(["subnet-0123456789abcdef0"] * 3),
        "VpcSecurityGroupIds": ",".join(["sg-0123456789abcdef0"] * 2),
        "CubeMaxConnections": "32",
        "QueueType": "standard",
        "Campaigns": "true",
        "Replies": "callback",
        "Receipts": "false",
        "DeploymentType": "AllAtOnce",
    }
    assert all(len(value) == longest(whole["Parameters"][key]) for key, value in widest.items() if "Ids" in key)
    if path != "template.yaml":
        # And what a template is given where it is nested
        (stack,) = [each for each in stacks(resolve(whole, widest)).values() if each["TemplateURL"] == path]
        widest = known(stack)

    # When they are put together
    source = template(path)
    resource = {"Type": "AWS::Lambda::Version", "Properties": source["Resources"][name]["Properties"]}
    resolved = resolve({**source, "Resources": {"Version": resource}, "Outputs": {}}, widest)
    text = resolved["Resources"]["Version"]["Properties"]["VersionDescription"]["Fn::Sub"]
    # The versions of the layers, of which there will never be more.
    description = re.sub(r"\$\{\w+Layer\}", "999999", text)

    # Then Lambda takes it
    assert widest["LogLevel"] in description
    assert "$" not in description
    assert len(description) <= 256


def longest(declared: dict[str, Any]) -> int:
    """Return the most characters that a parameter's value can have."""
    if "AllowedValues" in declared:
        return max(map(len, declared["AllowedValues"]))
    parser: Any = import_module("re._parser")
    pattern = parser.parse(declared["AllowedPattern"])
    return min(int(pattern.getwidth()[1]), int(declared.get("MaxLength", 4096)))


@pytest.mark.parametrize("layer", ["CubeLayer", "DependenciesLayer"])
def test_the_description_of_a_layer_is_short_enough_whatever_is_chosen(layer: str) -> None:
    source = template()
    text = source["Resources"][layer]["Properties"]["Description"]["Fn::Sub"]
    held = parameters_in({"Fn::Sub": text}, source)
    assert held
    assert len(re.sub(r"\$\{\w+\}", "", text)) + sum(longest(source["Parameters"][name]) for name in held) <= 256


def test_a_gradual_release_watches_alarms_with_a_role_of_its_own() -> None:
    # Given what a gradual release and one at once give the nested templates
    at_once = {"Campaigns": "true", "Replies": "callback"}
    chosen = {**at_once, "DeploymentType": "Canary10Percent5Minutes"}
    found, alarms, roles = {}, {}, {}
    for parameters in (at_once, chosen):
        whole = resolve(transform(template(), parameters), parameters)
        resolved_templates = {"template.yaml": whole}
        for name in ("CampaignStack", "ReplyStack", "FollowUpStack"):
            stack = stacks(whole)[name]
            nested = transform(template(stack["TemplateURL"]), known(stack))
            resolved_templates[stack["TemplateURL"]] = resolve(nested, known(stack))
        for path, resolved in resolved_templates.items():
            # When SAM transforms both
            groups = of_type(resolved["Resources"], "AWS::CodeDeploy::DeploymentGroup").values()
            functions = of_type(template(path)["Resources"], "AWS::Serverless::Function")
            aliases = of_type(resolved["Resources"], "AWS::Lambda::Alias").values()
            assert dangling(resolved) == []
            # Then CodeDeploy has a part in the gradual one alone, for each function, and has no role of SAM's
            assert len(groups) == (len(functions) if parameters is chosen else 0)
            assert all(("UpdatePolicy" in alias) is (parameters is chosen) for alias in aliases)
            assert "CodeDeployServiceRole" not in resolved["Resources"]
            assert ("ReleaseRole" in resolved["Resources"]) is (parameters is chosen)
            found[path] = functions.keys()
            alarms[path] = [group["Properties"]["AlarmConfiguration"]["Alarms"][0]["Name"] for group in groups]
            roles[path] = [group["Properties"]["ServiceRoleArn"] for group in groups]

    # And each group looks at its function's alarm, one of this template or of the one for alarms
    for path in ("campaigns.yaml", "replies.yaml", "followup.yaml"):
        ours = [{"Ref": name.replace("Function", "ErrorsAlarm")} for name in found[path]]
        assert sorted(map(str, alarms[path])) == sorted(map(str, ours))
    nested = template("monitoring/alarms.yaml")
    for name in found["template.yaml"]:
        output = name.replace("Function", "Errors")
        assert {"Fn::GetAtt": ["Alarms", f"Outputs.{output}"]} in alarms["template.yaml"]
        watched = nested["Resources"][nested["Outputs"][output]["Value"]["Ref"]]["Properties"]
        assert watched["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": f"{name}Name"}}]
    assert all(role == {"Fn::GetAtt": ["ReleaseRole", "Arn"]} for path in roles for role in roles[path])


def test_a_release_role_may_move_the_aliases_of_its_functions_alone() -> None:
    for path in ("template.yaml", "campaigns.yaml", "replies.yaml", "followup.yaml"):
        resources = template(path)["Resources"]
        (policy,) = resources["ReleaseRole"]["Properties"]["Policies"]
        move, watch = policy["PolicyDocument"]["Statement"]
        functions = of_type(resources, "AWS::Serverless::Function")
        arns: list[Any] = [{"Fn::GetAtt": [name, "Arn"]} for name in functions]
        aliases = [{"Fn::Sub": f"${{{name}.Arn}}:live"} for name in functions]
        assert sorted(map(str, move["Resource"])) == sorted(map(str, arns + aliases))
        assert watch["Action"] == "cloudwatch:DescribeAlarms"


def test_every_gradual_type_is_known_to_be_one() -> None:
    # Then what the parameter allows is what the mapping knows
    source = template()
    types = source["Mappings"]["DeploymentTypes"]
    assert types.keys() == set(source["Parameters"]["DeploymentType"]["AllowedValues"])
    assert {name for name, facts in types.items() if facts["IsGradual"] == "false"} == {"AllAtOnce"}
