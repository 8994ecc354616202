"""Fixtures of the unit tests: a table of records, and a clock that stands until it is moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from cube_sms.delivery.records import RecordStore
from tests.support import Clock, create_messages_table
from tests.unit.records_table import LEASE, RETENTION, TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[DynamoDBClient]:
    """DynamoDB with a table of records, which the tests of a module share."""
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        environment.delenv("AWS_ENDPOINT_URL", raising=False)
        environment.delenv("AWS_PROFILE", raising=False)
        client = boto3.client("dynamodb", region_name="eu-central-1")
        create_messages_table(client, TABLE)
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(dynamodb: DynamoDBClient, clock: Clock) -> RecordStore:
    return RecordStore(dynamodb, TABLE, lease=LEASE, retention=RETENTION, clock=clock)
