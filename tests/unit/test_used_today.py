"""How much of today's quota is used, for those who send nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from cube_sms.pacing import used_today
from cube_sms.pacing.gate_item import GATE_KEY
from cube_sms.pacing.lanes import HANDOVER
from cube_sms.platform.errors import RecordsUnavailableError
from tests.unit.gate_table import NEXT_DAY, gate, item_of, post
from tests.unit.records_table import TABLE

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.support import Clock


@pytest.fixture(autouse=True)
def _no_gate(dynamodb: DynamoDBClient) -> None:
    dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": GATE_KEY}})


def test_queries_of_today_are_counted_until_the_gate_begins_the_next_day(
    dynamodb: DynamoDBClient, clock: Clock
) -> None:
    assert used_today(dynamodb, TABLE, clock=clock) == 0
    worker = gate(dynamodb, clock, quota=100)
    for _ in range(3):
        post(worker, clock)
    before = item_of(dynamodb)

    assert used_today(dynamodb, TABLE, clock=clock) == 3
    clock.now = NEXT_DAY + HANDOVER - 0.01
    assert used_today(dynamodb, TABLE, clock=clock) == 3
    clock.now = NEXT_DAY + HANDOVER
    assert used_today(dynamodb, TABLE, clock=clock) == 0
    # And a look changes nothing
    assert item_of(dynamodb) == before


@pytest.mark.parametrize(("name", "value"), [("used", {"S": "many"}), ("used", {"N": "1.5"}), ("day", {"S": "today"})])
def test_count_that_cannot_be_read_is_none(
    dynamodb: DynamoDBClient, clock: Clock, name: str, value: dict[str, Any]
) -> None:
    # Given a count that somebody has spoiled
    post(gate(dynamodb, clock, quota=100), clock)
    dynamodb.update_item(
        TableName=TABLE,
        Key={"messageId": {"S": GATE_KEY}},
        UpdateExpression="SET #name = :value",
        ExpressionAttributeNames={"#name": name},
        ExpressionAttributeValues={":value": value},
    )

    # Then it counts as absent, as it does for the gate
    assert used_today(dynamodb, TABLE, clock=clock) == 0


@pytest.mark.parametrize("code", ["InternalServerError", "AccessDeniedException"])
def test_dynamodb_that_is_away_is_told(dynamodb: DynamoDBClient, clock: Clock, code: str) -> None:
    with Stubber(dynamodb) as stubber:
        stubber.add_client_error("get_item", code, "no", 400)
        with pytest.raises(RecordsUnavailableError):
            used_today(dynamodb, TABLE, clock=clock)
