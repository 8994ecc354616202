"""The changes in the stream of the table of records, for the tests that change records."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from tests.streams import TableStream
from tests.unit.records_table import TABLE

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.streams import Change


class Changes:
    """The changes of the table from now on."""

    def __init__(self, dynamodb: DynamoDBClient) -> None:
        arn = dynamodb.describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
        self._stream = TableStream(_streams(), arn)
        self._iterator = self._stream.end()

    def new(self) -> list[Change]:
        """Return the changes since the last time."""
        changes, self._iterator = self._stream.follow(self._iterator)
        # If UpdateItem makes an item, moto reports two changes, the first with only the key in it.
        return [change for change in changes if change["dynamodb"].get("NewImage") != change["dynamodb"]["Keys"]]


@cache
def _streams() -> Any:
    # moto does not know the address that botocore makes of the account.
    config = Config(account_id_endpoint_mode="disabled")
    make: Any = boto3.client
    return make("dynamodbstreams", region_name="eu-central-1", config=config)
