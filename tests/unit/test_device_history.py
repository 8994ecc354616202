"""The history of a device, newest first, page by page."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery import SpoiledRecordError, State
from cube_sms.delivery.records import KeptReply, Record, RecordStore, ReplyRecords, read_item
from cube_sms.delivery.records.history import device_history, entry_members
from cube_sms.delivery.records.items import REPLY_KEY, TEXT_LENGTH
from cube_sms.platform import RecordsUnavailableError, key_of, rfc3339
from tests.cloudformation import resolve, written
from tests.support import create_messages_table, send_request, table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.delivery import Entry
    from tests.support import Clock

TABLE = "with-history"
DEVICE = "89314404000939952201"
OTHER = "89314404000939952202"
CONTENT, NOON = "Door closed", "2027-01-15T12:00:00.000Z"


INDEX: str = table_of(DeviceHistory="true")["GlobalSecondaryIndexes"][0]["IndexName"]
DAY = 86_400


@pytest.fixture
def store(dynamodb: DynamoDBClient, clock: Clock) -> Iterator[RecordStore]:
    """Return the records of a deployment with the index."""
    create_messages_table(dynamodb, TABLE, has_history=True)
    yield RecordStore(dynamodb, TABLE, lease=60.0, retention=86_400.0, clock=clock)
    dynamodb.delete_table(TableName=TABLE)


@pytest.fixture
def replies(dynamodb: DynamoDBClient, store: RecordStore, clock: Clock) -> Callable[..., ReplyRecords]:
    """Return what makes a keeper of replies, for a deployment with `KeepReplies`."""

    def make(days: int = 0) -> ReplyRecords:
        return ReplyRecords(dynamodb, TABLE, retention=30 * DAY, content_retention=days * DAY, clock=clock)

    return make


def place(*parts: str) -> str:
    return urlsafe_b64encode(json.dumps(parts).encode()).decode()


def answer(clock: Clock, event_id: str, content: str = CONTENT) -> KeptReply:
    clock.now += 1.0
    return KeptReply(
        event_id=event_id,
        account="default",
        device_id=DEVICE,
        message_type="Text",
        content=content,
        received_at=rfc3339(clock()),
    )


def items(dynamodb: DynamoDBClient) -> dict[str, Any]:
    return {key_of(item): item for item in dynamodb.scan(TableName=TABLE)["Items"]}


def send(store: RecordStore, clock: Clock, request_id: str, device: str = DEVICE) -> None:
    clock.now += 1.0
    claim = store.claim(send_request(requestId=request_id, deviceId=device))
    store.finish(claim.record, State.SENT)


def ids(found: list[Entry]) -> list[str]:
    return [each.event_id if isinstance(each, KeptReply) else each.message_id.partition("#")[2] for each in found]


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
    assert {entry_members(each)["state"] for each in page.entries} == {State.SENT}


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


def test_replies_stand_between_messages_by_their_time(
    dynamodb: DynamoDBClient, store: RecordStore, replies: Callable[..., ReplyRecords], clock: Clock
) -> None:
    # Given a question, its answer, and another question
    send(store, clock, "first")
    replies().keep(answer(clock, "an-answer"))
    send(store, clock, "second")
    # When
    entries = device_history(dynamodb, TABLE, INDEX, DEVICE, clock=clock).entries
    # Then each is where it belongs, and says what it is; what is answered is not kept
    assert ids(entries) == ["second", "an-answer", "first"]
    assert [entry_members(each)["kind"] for each in entries] == ["message", "reply", "message"]
    assert entry_members(entries[1])["content"] is None
    assert CONTENT not in json.dumps(items(dynamodb))
    # And it is not read as the record of a message
    assert {key: read_item(item) for key, item in items(dynamodb).items() if key.startswith("#")} == {
        f"{REPLY_KEY}an-answer": None
    }


def test_repeat_of_a_reply_changes_nothing(
    dynamodb: DynamoDBClient, replies: Callable[..., ReplyRecords], clock: Clock
) -> None:
    # Given a reply that is kept with what it says
    reply = answer(clock, "an-answer")
    replies(days=2).keep(reply)
    before = items(dynamodb)
    # When the provider repeats it a day later
    clock.now += DAY
    replies(days=2).keep(reply)
    # Then it is kept no longer for that
    assert items(dynamodb) == before
    assert len(before) == 2


@pytest.mark.parametrize(("days", "kept"), [(2, 2), (30, 30), (31, 30), (3650, 30)])
def test_what_a_reply_says_goes_after_its_days_and_never_after_its_entry(
    dynamodb: DynamoDBClient, replies: Callable[..., ReplyRecords], clock: Clock, days: int, kept: int
) -> None:
    # Given
    replies(days=days).keep(answer(clock, "an-answer"))
    begun = int(clock())
    # Then DynamoDB has that time to live
    ends = {key: int(item["ttl"]["N"]) - begun for key, item in items(dynamodb).items()}
    assert ends == {"#reply#an-answer": 30 * DAY, "#content#an-answer": kept * DAY}
    # And it is not shown after that, though DynamoDB may take days to delete it
    (before,) = device_history(dynamodb, TABLE, INDEX, DEVICE, clock=lambda: begun + kept * DAY - 1).entries
    (after,) = device_history(dynamodb, TABLE, INDEX, DEVICE, clock=lambda: begun + kept * DAY).entries
    assert [entry_members(each)["content"] for each in (before, after)] == [CONTENT, None]


def test_reply_whose_first_write_broke_off_is_kept_no_longer_for_that(
    dynamodb: DynamoDBClient, replies: Callable[..., ReplyRecords], clock: Clock
) -> None:
    # Given a reply of which only the content was written, and that the provider repeats an hour later
    reply, begun = answer(clock, "an-answer"), int(clock())
    replies(days=2).keep(reply)
    dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": "#reply#an-answer"}})
    clock.now += 3600
    replies(days=2).keep(reply)
    # Then the content goes at the time that the first write set
    (before,) = device_history(dynamodb, TABLE, INDEX, DEVICE, clock=lambda: begun + 2 * DAY - 1).entries
    (after,) = device_history(dynamodb, TABLE, INDEX, DEVICE, clock=lambda: begun + 2 * DAY).entries
    assert [entry_members(each)["content"] for each in (before, after)] == [CONTENT, None]


def test_what_no_sms_can_say_is_cut(
    dynamodb: DynamoDBClient, replies: Callable[..., ReplyRecords], clock: Clock
) -> None:
    replies(days=1).keep(answer(clock, "an-answer", "x" * 60_000))
    (reply,) = device_history(dynamodb, TABLE, INDEX, DEVICE, clock=clock).entries
    assert entry_members(reply)["content"] == "x" * TEXT_LENGTH


def test_reply_that_cannot_be_read_hides_no_others(
    dynamodb: DynamoDBClient, replies: Callable[..., ReplyRecords], clock: Clock
) -> None:
    for event_id in ("good", "spoiled"):
        replies(days=1).keep(answer(clock, event_id))
    dynamodb.update_item(
        TableName=TABLE,
        Key={"messageId": {"S": "#reply#spoiled"}},
        UpdateExpression="REMOVE account SET contentUntil = :text",
        ExpressionAttributeValues={":text": {"S": "soon"}},
    )
    spoiled, good = device_history(dynamodb, TABLE, INDEX, DEVICE, clock=clock).entries
    assert entry_members(spoiled) == {"kind": "unreadable", "key": "#reply#spoiled", "reason": "account: is missing"}
    assert entry_members(good)["content"] == CONTENT


@pytest.mark.parametrize(
    "after",
    [
        *("", "x", "é", "W10=", "WzEsIDJd", "bm8="),
        *(place("", "a#b"), place("2027-01-15", "a#b"), place(NOON, ""), place(NOON, "x" * 2049)),
    ],
)
def test_place_that_was_not_given_out_is_refused(dynamodb: DynamoDBClient, store: RecordStore, after: str) -> None:
    with pytest.raises(ValueError, match="is none that was given out"):
        device_history(dynamodb, TABLE, INDEX, DEVICE, after=after)


@pytest.mark.usefixtures("store")
def test_index_that_is_not_there_is_an_obstacle(dynamodb: DynamoDBClient) -> None:
    with pytest.raises(RecordsUnavailableError):
        device_history(dynamodb, TABLE, "by-nobody", DEVICE)


def test_stack_without_it_has_no_index_and_declares_no_key_of_one() -> None:
    properties = table_of()
    assert "GlobalSecondaryIndexes" not in properties
    assert [each["AttributeName"] for each in properties["AttributeDefinitions"]] == ["messageId"]
    assert "DeviceIndexName" not in resolve(written("template.yaml"), {})["Outputs"]


def test_index_is_written_once_for_a_message() -> None:
    (index,) = table_of(DeviceHistory="true")["GlobalSecondaryIndexes"]
    # Neither of its keys changes, and it holds nothing else
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["deviceId", "createdAt"]
