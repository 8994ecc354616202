"""What a record knows of its request: whether it is the same one again, and nothing of its content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.errors import RequestConflictError
from cube_sms.delivery.states import State
from tests.support import DEVICE, START, send_request
from tests.unit.records_table import LEASE, RETENTION, TABLE, in_state, new_request, recorded

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.delivery.records import RecordStore
    from tests.support import Clock

CONTENT = "Your one-time PIN is 4711 请勿告诉他人"


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "Another"},
        {"deviceId": DEVICE[:-1] + "9"},
        {"delivery": "at-most-once"},
        {"expiresAt": "2099-01-31T12:00:00Z"},
        {"smsContentList": [{"smsTemplateContent": "Test message"}]},
        {"messageType": "Binary", "content": "00FF"},
    ],
)
def test_id_of_another_request_is_a_conflict(store: RecordStore, fields: dict[str, Any]) -> None:
    request = new_request()
    record = in_state(store, request, State.SENT)
    with pytest.raises(RequestConflictError) as caught:
        store.claim(send_request(**{"requestId": request.request_id, **fields}), restart=record.owner)
    assert caught.value.request_id == request.request_id
    assert recorded(store, request) == record


@pytest.mark.parametrize("state", State)
def test_no_state_is_a_way_into_another_request(store: RecordStore, state: State) -> None:
    request = new_request()
    record = in_state(store, request, state)
    with pytest.raises(RequestConflictError):
        store.claim(send_request("Another", requestId=request.request_id), restart=record.owner)
    assert recorded(store, request) == record


def test_lapsed_lease_is_no_way_into_another_request(store: RecordStore, clock: Clock) -> None:
    request = new_request()
    record = store.claim(request).record
    clock.now += LEASE
    with pytest.raises(RequestConflictError):
        store.claim(send_request("Another", requestId=request.request_id))
    assert recorded(store, request) == record


def test_default_that_is_given_and_one_that_is_not_are_the_same(store: RecordStore) -> None:
    request = new_request()
    record = in_state(store, request, State.SENT)
    explicit = {"messageType": "Text", "account": "default", "delivery": "at-least-once"}
    assert store.claim(send_request(requestId=request.request_id, **explicit)).record == record


def test_id_is_no_part_of_the_requests_hash(store: RecordStore) -> None:
    hashes = {store.claim(new_request()).record.request_hash for _ in range(2)}
    assert len(hashes) == 1
    assert store.claim(new_request(content="Another")).record.request_hash not in hashes


def test_same_id_of_another_account_is_another_message(store: RecordStore) -> None:
    request = new_request()
    other = send_request(requestId=request.request_id, account="fleet")
    assert store.claim(request).is_held
    assert store.claim(other).is_held


def test_item_has_its_times_and_nothing_of_the_content(
    dynamodb: DynamoDBClient, store: RecordStore, clock: Clock
) -> None:
    # Given a message that is tried twice
    requests = [new_request(content=CONTENT), new_request(smsContentList=[{"smsTemplateContent": CONTENT}])]
    for request in requests:
        clock.now = START
        store.finish(store.claim(request).record, State.RETRYING)
        clock.now += 60.25
        store.claim(request)
        clock.now += 1.5
        store.finish(recorded(store, request), State.SENT, code="0000", message="success")
        # When
        item = dynamodb.get_item(TableName=TABLE, Key={"messageId": {"S": request.message_id}})["Item"]
        # Then
        assert item["ttl"] == {"N": str(int(START + 60.25 + RETENTION))}
        assert item["createdAt"] == {"S": "2027-01-15T08:00:00.000Z"}
        assert item["updatedAt"] == {"S": "2027-01-15T08:01:01.750Z"}
        assert "leaseUntil" not in item
        for shown in (json.dumps(item), json.dumps(item, ensure_ascii=False)):
            assert not [word for word in (*CONTENT.split(), "\\u8bf7") if word in shown]


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+01:00"])
def test_time_that_utc_has_no_date_for_is_one_like_any_other(store: RecordStore, text: str) -> None:
    # Given a request that never expires, or has long expired, in a time zone of its own
    record = store.claim(new_request(requestId=text[:4], expiresAt=text)).record
    # Then it is itself again, and no other
    assert store.claim(new_request(requestId=text[:4], expiresAt=text)).record == record
    with pytest.raises(RequestConflictError):
        store.claim(new_request(requestId=text[:4], expiresAt="2027-01-31T12:00:00Z"))


def test_time_in_another_time_zone_is_the_same_request(store: RecordStore) -> None:
    store.claim(new_request(requestId="zones", expiresAt="2027-01-31T12:00:00Z"))
    assert not store.claim(new_request(requestId="zones", expiresAt="2027-01-31T20:00:00+08:00")).is_held
