"""Deploy the built application to the local AWS: what `sam deploy` does, in process and against any endpoint."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import zipfile
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, WaiterError
from samtranslator.yaml_helper import yaml_parse

from local.command import CommandError
from local.parameters import refusals
from local.paths import BUILD
from local.transform import transform

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local.ministack import MiniStack

BUCKET = "cube-sms-artifacts"

_WAIT = {"Delay": 1, "MaxAttempts": 60}

# What can be changed. A stack in any other state is made anew.
_SOUND = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}

# Where a resource's property names a folder of the build.
_CODE = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}


def deploy(aws: MiniStack, stack_name: str, parameters: Mapping[str, str], *, build: Path = BUILD) -> dict[str, str]:
    """Deploy the application: as a new stack, or as a change to the one that is there.

    Parameters
    ----------
    aws : MiniStack
        Where to.
    stack_name : str
        Name of the stack.
    parameters : Mapping[str, str]
        Parameters of the template. Others are as they were, or have their defaults.
    build : Path
        What `sam build` made.

    Returns
    -------
    dict[str, str]
        The stack's outputs.

    Raises
    ------
    CommandError
        If a parameter is refused, or a resource cannot be made.
    """
    template = copy.deepcopy(_parse((build / "template.yaml").read_text("utf-8")))
    cloudformation = aws.client("cloudformation")
    stack = _stack(cloudformation, stack_name)
    if stack and stack["StackStatus"] not in _SOUND:
        cloudformation.delete_stack(StackName=stack_name)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack_name, WaiterConfig=_WAIT)
        stack = None
    former = {given["ParameterKey"]: given["ParameterValue"] for given in (stack or {}).get("Parameters", [])}
    parameters = {**{name: value for name, value in former.items() if name in template["Parameters"]}, **parameters}
    if faults := refusals(template, parameters):
        raise CommandError("\n".join(faults))
    _upload(aws, template, build)
    transformed = transform(template, parameters)
    numbers = _numbers(transformed, parameters)
    transformed["Resources"] = {
        name: _with_numbers(resource, numbers)
        for name, resource in transformed["Resources"].items()
        if not _is_metric_math(resource)
    }
    waiter = cloudformation.get_waiter("stack_update_complete" if stack else "stack_create_complete")
    try:
        (cloudformation.update_stack if stack else cloudformation.create_stack)(
            StackName=stack_name,
            # Longer than a template may be that is not in a bucket.
            TemplateURL=_put_template(aws, stack_name, json.dumps(transformed)),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        waiter.wait(StackName=stack_name, WaiterConfig=_WAIT)
    except WaiterError as error:
        raise CommandError(f"The stack could not be deployed. {_first_failure(cloudformation, stack_name)}") from error
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise CommandError(f"The stack could not be deployed. {error}") from error
    deployed = _stack(cloudformation, stack_name) or {}
    return {output["OutputKey"]: output["OutputValue"] for output in deployed["Outputs"]}


def _stack(cloudformation: Any, name: str) -> dict[str, Any] | None:
    stacks = [stack for stack in cloudformation.describe_stacks()["Stacks"] if stack["StackName"] == name]
    return stacks[0] if stacks else None


def _first_failure(cloudformation: Any, stack_name: str) -> str:
    events = cloudformation.describe_stack_events(StackName=stack_name)["StackEvents"]
    failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
    return "; ".join(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}" for event in failed[-1:])


@cache
def _parse(template: str) -> Any:
    # Most of what a deployment takes but for the uploads, and the tests deploy one template many times.
    return yaml_parse(template)


def _numbers(template: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, int]:
    declared = template["Parameters"].items()
    values = {name: str(parameters.get(name, each.get("Default", ""))) for name, each in declared}
    return {name: int(value) for name, value in values.items() if value.isdecimal()}


def _with_numbers(value: Any, numbers: Mapping[str, int]) -> Any:
    # CloudFormation hands a parameter that is a number to a resource as the number that the resource's schema asks for,
    # MiniStack as a string, at which its event source mappings trip. Environment variables are strings on both.
    if isinstance(value, list):
        return [_with_numbers(item, numbers) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"Ref"} and value["Ref"] in numbers:
        return numbers[value["Ref"]]
    return {key: item if key == "Environment" else _with_numbers(item, numbers) for key, item in value.items()}


def _is_metric_math(resource: Mapping[str, Any]) -> bool:
    # MiniStack takes alarms on one metric alone.
    return resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]


def _upload(aws: MiniStack, template: dict[str, Any], build: Path) -> None:
    s3 = aws.client("s3")
    if BUCKET not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    for logical_id, resource in template["Resources"].items():
        if code := _CODE.get(resource["Type"]):
            archive = _zipped(build / resource["Properties"][code])
            # Other code has another name: the transform tells by it that there is a new version.
            key = f"{hashlib.sha256(archive).hexdigest()}.zip"
            s3.put_object(Bucket=BUCKET, Key=key, Body=archive)
            resource["Properties"][code] = f"s3://{BUCKET}/{key}"
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            definition = build / resource["Properties"]["DefinitionUri"]
            s3.put_object(Bucket=BUCKET, Key=definition.name, Body=definition.read_bytes())
            resource["Properties"]["DefinitionUri"] = f"s3://{BUCKET}/{definition.name}"
        elif resource["Type"] == "AWS::CloudFormation::Stack":
            nested = build / resource["Properties"]["TemplateURL"]
            resource["Properties"]["TemplateURL"] = _put_template(aws, logical_id, nested.read_text("utf-8"))


def _put_template(aws: MiniStack, name: str, text: str) -> str:
    key = f"{name}.template"
    aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=text.encode())
    return f"{aws.url}/{BUCKET}/{key}"


@cache
def _zipped(folder: Path) -> bytes:
    # The tests deploy one build many times.
    buffer = io.BytesIO()
    # Not compressed: it goes no further than this machine.
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()
