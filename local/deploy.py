"""Deploy the built application to the local AWS: what `sam deploy` does, in process and against any endpoint."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtranslator.yaml_helper import yaml_parse

from local.transform import transform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.ministack import MiniStack

BUILD = Path(__file__).parents[1] / ".aws-sam" / "build"
BUCKET = "cube-sms-artifacts"

# Where a resource's property names a folder of the build.
_CODE = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}


def deploy(aws: MiniStack, stack_name: str, parameters: Mapping[str, str], *, build: Path = BUILD) -> dict[str, str]:
    """Deploy the application as a new stack.

    Parameters
    ----------
    aws : MiniStack
        Where to.
    stack_name : str
        Name of the stack.
    parameters : Mapping[str, str]
        Parameters of the template.
    build : Path
        What `sam build` made.

    Returns
    -------
    dict[str, str]
        The stack's outputs.
    """
    template = yaml_parse((build / "template.yaml").read_text())
    _upload(aws, template, build)
    transformed = transform(template, parameters)
    numbers = _numbers(transformed, parameters)
    transformed["Resources"] = {
        name: _with_numbers(resource, numbers)
        for name, resource in transformed["Resources"].items()
        if not _is_metric_math(resource)
    }
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(
        StackName=stack_name,
        # Longer than a template may be that is not in a bucket.
        TemplateURL=_put_template(aws, stack_name, json.dumps(transformed)),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=stack_name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    (stack,) = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _numbers(template: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, int]:
    declared = template["Parameters"].items()
    values = {name: str(parameters.get(name, each["Default"])) for name, each in declared}
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
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    for logical_id, resource in template["Resources"].items():
        if code := _CODE.get(resource["Type"]):
            key = f"{logical_id}.zip"
            s3.put_object(Bucket=BUCKET, Key=key, Body=_zipped(build / resource["Properties"][code]))
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


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()
