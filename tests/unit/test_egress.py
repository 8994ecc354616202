"""The VPC of docs/egress.yaml: its outputs are values that the stack takes, and its gateway has the address."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from moto import mock_aws

from tests.cloudformation import written

if TYPE_CHECKING:
    from collections.abc import Iterator

    import boto3

ROOT = Path(__file__).parents[2]
PARAMETERS = written("template.yaml")["Parameters"]


@pytest.fixture
def outputs(boto3_session: boto3.Session) -> Iterator[dict[str, str]]:
    """Deploy the template to a simulated AWS, and return its outputs."""
    with mock_aws():
        cloudformation = boto3_session.client("cloudformation", region_name="eu-central-1")
        template = (ROOT / "docs" / "egress.yaml").read_text("utf-8")
        cloudformation.create_stack(StackName="cube-sms-egress", TemplateBody=template)
        (stack,) = cloudformation.describe_stacks(StackName="cube-sms-egress")["Stacks"]
        yield {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


@pytest.mark.parametrize("name", ["VpcSubnetIds", "VpcSecurityGroupIds"])
def test_output_is_a_value_that_the_stack_takes(outputs: dict[str, str], name: str) -> None:
    assert re.fullmatch(PARAMETERS[name]["AllowedPattern"], outputs[name])


def test_gateway_has_the_address_of_the_outputs(outputs: dict[str, str], boto3_session: boto3.Session) -> None:
    (gateway,) = boto3_session.client("ec2", region_name="eu-central-1").describe_nat_gateways()["NatGateways"]
    assert [each["PublicIp"] for each in gateway["NatGatewayAddresses"]] == [outputs["EgressAddress"]]
