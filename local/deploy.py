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

# What can be changed. A stack in any other state is deleted, and made again.
_SOUND = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}

# The property of a resource that names a folder of the build.
_CODE = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}


def deploy(aws: MiniStack, stack_name: str, parameters: Mapping[str, str], *, build: Path = BUILD) -> dict[str, str]:
    """Deploy the application: as a new stack, or as a change to the one that is there.

    Parameters
    ----------
    aws : MiniStack
        The AWS to deploy to.
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
    template = _parse((build / "template.yaml").read_text("utf-8"))
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
    url = _put_template(aws, stack_name, build / "template.yaml", parameters)
    waiter = cloudformation.get_waiter("stack_update_complete" if stack else "stack_create_complete")
    try:
        (cloudformation.update_stack if stack else cloudformation.create_stack)(
            StackName=stack_name,
            # Longer than a template may be that is not in a bucket.
            TemplateURL=url,
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
    # It takes most of a deployment's time except for the uploads, and the tests deploy one template many times.
    return yaml_parse(template)


def _put_template(aws: MiniStack, name: str, path: Path, parameters: Mapping[str, str]) -> str:
    """Upload a built template with all that it names, as CloudFormation takes it, and return its address."""
    s3 = aws.client("s3")
    if BUCKET not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    template = copy.deepcopy(_parse(path.read_text("utf-8")))
    known = _Known(template, parameters)
    for logical_id, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if code := _CODE.get(resource["Type"]):
            archive = _zipped(path.parent / properties[code])
            # Other code has another name, from which the transform sees that there is a new version.
            key = f"{hashlib.sha256(archive).hexdigest()}.zip"
            s3.put_object(Bucket=BUCKET, Key=key, Body=archive)
            properties[code] = f"s3://{BUCKET}/{key}"
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            definition = path.parent / properties["DefinitionUri"]
            s3.put_object(Bucket=BUCKET, Key=definition.name, Body=definition.read_bytes())
            properties["DefinitionUri"] = f"s3://{BUCKET}/{definition.name}"
        elif resource["Type"] == "AWS::CloudFormation::Stack":
            texts = {key: known.text(value) for key, value in properties["Parameters"].items()}
            passed = {key: text for key, text in texts.items() if text is not None}
            properties["TemplateURL"] = _put_template(aws, logical_id, path.parent / properties["TemplateURL"], passed)
    if "Transform" in template:
        template = transform(template, parameters)
    template["Resources"] = {
        logical_id: known.with_numbers(resource)
        for logical_id, resource in template["Resources"].items()
        if not _is_metric_math(resource)
    }
    key = f"{name}.template"
    s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(template).encode())
    return f"{aws.url}/{BUCKET}/{key}"


class _Known:
    """What a template says before there are resources: its parameters, and what its mappings have for them."""

    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        defaults = {name: each["Default"] for name, each in template["Parameters"].items() if "Default" in each}
        self._values = {**defaults, **parameters}
        self._mappings = template.get("Mappings", {})

    def text(self, node: Any) -> str | None:
        """Return the text of a value; None if it depends on resources."""
        match node:
            case {"Ref": name}:
                return self._values.get(name)
            case {"Fn::FindInMap": [mapping, key, attribute]}:
                return str(self._mappings[mapping][self.text(key)][attribute])
            case str():
                return node
        return None

    def with_numbers(self, node: Any) -> Any:
        """Return a part of the template, with texts that are numbers as numbers.

        CloudFormation passes a number if the resource's schema asks for one. MiniStack passes a string, which its event
        source mappings refuse. Environment variables are strings on both.
        """
        if isinstance(node, list):
            return [self.with_numbers(item) for item in node]
        if not isinstance(node, dict):
            return node
        if (text := self.text(node)) is not None and text.isdecimal():
            return int(text)
        return {key: item if key == "Environment" else self.with_numbers(item) for key, item in node.items()}


def _is_metric_math(resource: Mapping[str, Any]) -> bool:
    # MiniStack takes alarms on one metric alone.
    return resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]


@cache
def _zipped(folder: Path) -> bytes:
    # The tests deploy one build many times.
    buffer = io.BytesIO()
    # Not compressed: it goes no further than this machine.
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()
