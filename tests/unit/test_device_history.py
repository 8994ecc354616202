"""The messages of a device, newest first, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery import SpoiledRecordError, State
from cube_sms.delivery.records import Record, RecordStore
from cube_sms.delivery.records.history import device_history
from cube_sms.platform import RecordsUnavailableError
from tests.cloudformation import resolve, written
from tests.support import send_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.support import Clock

TABLE = "with-history"
DEVICE = "89314404000939952201"
OTHER = "89314404000939952202"


def deployed(**parameters: str) -> dict[str, Any]:
    """Return the table's properties as deployed with these parameters."""
    resources = resolve(written("template.yaml"), parameters)["Resources"]
    properties: dict[str, Any] = resources["MessagesTable"]["Properties"]
    return properties


INDEX: str = deployed(DeviceHistory="true")["GlobalSecondaryIndexes"][0]["IndexName"]


@pytest.fixture
def store(dynamodb: DynamoDBClient, clock: Clock) -> Iterator[RecordStore]:
    """Return the records of a deployment with the index."""
    properties = deployed(DeviceHistory="true")
    names = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    dynamodb.create_table(TableName=TABLE, **{name: properties[name] for name in names})
    yield RecordStore(dynamodb, TABLE, lease=60.0, retention=86_400.0, clock=clock)
    dynamodb.delete_table(TableName=TABLE)


def send(store: RecordStore, clock: Clock, request_id: str, device: str = DEVICE) -> None:
    clock.now += 1.0
    claim = store.claim(send_request(requestId=request_id, deviceId=device))
    store.finish(claim.record, State.SENT)


def ids(found: list[Record | SpoiledRecordError]) -> list[str]:
    return [each.message_id.partition("#")[2] for each in found]


def test_newest_come_first_and_none_of_another_device(
    dynamodb: DynamoDBClient, store: RecordStore, clock: Clock
) -> None:
    for request_id in ("first", "second", "third"):
        send(store, clock, request_id)
    send(store, clock, "other", OTHER)
    # What names no device is in no device's history
    store.cancel("default#never-seen")
    page = device_history(dynamodb, TABLE, INDEX, DEVICE)
    assert (ids(page.entries), page.next) == (["third", "second", "first"], None)
    assert {each.state for each in page.entries} == {State.SENT}


def test_message_that_is_tried_again_stays_in_its_place(
    dynamodb: DynamoDBClient, store: RecordStore, clock: Clock
) -> None:
    request = send_request(requestId="first", deviceId=DEVICE)
    store.note_queued(request, expected_at=clock() + 100.0)
    send(store, clock, "second")
    store.finish(store.claim(request).record, State.RETRYING)
    store.finish(store.claim(request).record, State.SENT)
    assert ids(device_history(dynamodb, TABLE, INDEX, DEVICE).entries) == ["second", "first"]


def test_pages_hold_each_message_once(dynamodb: DynamoDBClient, store: RecordStore, clock: Clock) -> None:
    # Given messages of which some were accepted at the same moment
    for number in range(7):
        send(store, clock, f"order-{number}")
        clock.now -= number % 2
    # When they are read three at a time
    found, after = [], None
    while True:
        page = device_history(dynamodb, TABLE, INDEX, DEVICE, limit=3, after=after)
        assert len(page.entries) <= 3
        found += ids(page.entries)
        if not (after := page.next):
            break
    # Then
    assert sorted(found) == [f"order-{number}" for number in range(7)]


def test_record_that_cannot_be_read_hides_no_others(dynamodb: DynamoDBClient, store: RecordStore, clock: Clock) -> None:
    send(store, clock, "good")
    send(store, clock, "spoiled")
    dynamodb.update_item(
        TableName=TABLE,
        Key={"messageId": {"S": "default#spoiled"}},
        UpdateExpression="SET attempts = :text",
        ExpressionAttributeValues={":text": {"S": "many"}},
    )
    spoiled, good = device_history(dynamodb, TABLE, INDEX, DEVICE).entries
    assert isinstance(spoiled, SpoiledRecordError)
    assert isinstance(good, Record)


@pytest.mark.parametrize("after", ["", "x", "é", "W10=", "WzEsIDJd", "bm8="])
def test_place_that_was_not_given_out_is_refused(dynamodb: DynamoDBClient, store: RecordStore, after: str) -> None:
    with pytest.raises(ValueError, match="is none that was given out"):
        device_history(dynamodb, TABLE, INDEX, DEVICE, after=after)


@pytest.mark.usefixtures("store")
def test_index_that_is_not_there_is_an_obstacle(dynamodb: DynamoDBClient) -> None:
    with pytest.raises(RecordsUnavailableError):
        device_history(dynamodb, TABLE, "by-nobody", DEVICE)


def test_stack_without_it_has_no_index_and_declares_no_key_of_one() -> None:
    properties = deployed()
    assert "GlobalSecondaryIndexes" not in properties
    assert [each["AttributeName"] for each in properties["AttributeDefinitions"]] == ["messageId"]
    assert "DeviceIndexName" not in resolve(written("template.yaml"), {})["Outputs"]


def test_index_is_written_once_for_a_message() -> None:
    (index,) = deployed(DeviceHistory="true")["GlobalSecondaryIndexes"]
    # Neither of its keys changes, and it holds nothing else
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["deviceId", "createdAt"]
