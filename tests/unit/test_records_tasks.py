"""Task tokens in the records: kept where somebody will answer them, and no part of what a request is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from cube_sms.delivery.errors import RequestConflictError
from cube_sms.delivery.states import State
from cube_sms.platform.errors import RecordsUnavailableError
from cube_sms.request.errors import InvalidRequestError
from cube_sms.request.parsing import parse_send_request
from tests.support import DEVICE, START
from tests.unit.changes import Changes
from tests.unit.records_table import FINAL, LEASE, TABLE, answer_lost, forestalled, in_state, new_request, recorded

if TYPE_CHECKING:
    from typing import Any

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.delivery.records import RecordStore
    from cube_sms.request.models import SendRequest
    from tests.support import Clock


def again(request: SendRequest, token: str, **fields: str) -> SendRequest:
    """Return the request with another task's token."""
    asked = {"requestId": str(request.request_id), "delivery": request.delivery, "taskToken": token}
    return new_request(**asked, **fields)


class TestToken:
    def test_is_kept_with_the_claim(self, store: RecordStore, dynamodb: DynamoDBClient) -> None:
        # Given
        request = new_request(taskToken="one")
        writes = []
        count: Any = lambda **_: writes.append(1)  # noqa: E731
        dynamodb.meta.events.register("before-call.dynamodb.UpdateItem", count)
        # When
        claim = store.claim(request)
        dynamodb.meta.events.unregister("before-call.dynamodb.UpdateItem", count)
        # Then in the one write that a claim takes
        assert (claim.record.task_tokens, len(writes)) == (frozenset({"one"}), 1)
        assert recorded(store, request).task_tokens == {"one"}

    def test_outlives_everything_but_the_record(self, store: RecordStore, clock: Clock) -> None:
        request = new_request(taskToken="one")
        in_state(store, request, State.RETRYING)
        store.claim(again(request, "two"))
        clock.now += LEASE
        failed = store.finish(store.claim(again(request, "one")).record, State.FAILED)
        sent = store.finish(store.claim(again(request, "three"), restart=failed.owner).record, State.SENT)
        assert sent.task_tokens == recorded(store, request).task_tokens == {"one", "two", "three"}

    def test_is_no_part_of_the_request(self, store: RecordStore) -> None:
        # Given a request without a token
        request = new_request()
        first = in_state(store, request, State.RETRYING)
        # When it comes with one, with another, and without
        for asked in (again(request, "one"), again(request, "two"), request):
            claim = store.claim(asked)
            # Then it is the same
            assert claim.record.request_hash == first.request_hash
            store.finish(claim.record, State.RETRYING)

    def test_saves_no_other_request_from_a_conflict(self, store: RecordStore, changes: Changes) -> None:
        request = new_request(taskToken="one")
        in_state(store, request, State.SENT)
        changes.new()
        with pytest.raises(RequestConflictError):
            store.claim(again(request, "one", content="something else"))
        assert changes.new() == []

    def test_of_a_task_that_asks_while_another_worker_has_the_message_is_not_kept_yet(
        self, store: RecordStore, changes: Changes
    ) -> None:
        # Given a message that another worker has
        request = new_request(taskToken="one")
        held = store.claim(request).record
        changes.new()
        # When
        claim = store.claim(again(request, "two"))
        # Then it comes again
        assert (claim.is_held, claim.record.state, changes.new()) == (False, State.SENDING, [])
        store.finish(held, State.SENT)
        assert store.claim(again(request, "two")).record.task_tokens == {"one", "two"}

    @pytest.mark.parametrize("state", FINAL)
    def test_is_written_once_to_a_record_that_has_ended(
        self, store: RecordStore, changes: Changes, state: State
    ) -> None:
        request = new_request(taskToken="one")
        ended = in_state(store, request, state)
        changes.new()
        # When a task asks, its message comes twice, and the first one's comes once more
        records = [store.claim(again(request, token)).record for token in ("two", "two", "one")]
        # Then
        assert [record.task_tokens for record in records] == [frozenset({"one", "two"})] * 3
        assert len(changes.new()) == 1
        assert {(record.state, record.owner, record.updated_at) for record in records} == {
            (state, ended.owner, ended.updated_at)
        }

    def test_is_with_a_message_that_ends_since_its_worker_died(
        self, store: RecordStore, clock: Clock, changes: Changes
    ) -> None:
        request = new_request(delivery="at-most-once", taskToken="one")
        store.claim(request)
        clock.now += LEASE
        # When the message comes back to another worker, for another task
        claim = store.claim(again(request, "two"))
        assert (claim.has_ended, claim.record.state) == (True, State.UNKNOWN)
        assert recorded(store, request).task_tokens == {"one", "two"}

    def test_is_not_lost_to_a_message_that_starts_over_just_now(
        self, store: RecordStore, dynamodb: DynamoDBClient
    ) -> None:
        # Given a message that has failed, and starts over right before a token is written
        request = new_request()
        failed = in_state(store, request, State.FAILED)
        with forestalled(dynamodb, 2, lambda: store.claim(request, restart=failed.owner)):
            # When
            claim = store.claim(again(request, "late"))
        # Then another worker has it, and the request comes again
        assert (claim.is_held, claim.record.state, claim.record.task_tokens) == (False, State.SENDING, frozenset())

    def test_is_not_lost_to_a_message_that_is_cancelled_once_more_just_now(
        self, store: RecordStore, dynamodb: DynamoDBClient
    ) -> None:
        request = new_request()
        in_state(store, request, State.CANCELLED)
        with forestalled(dynamodb, 2, lambda: store.cancel(request.message_id, overrides=True)):
            claim = store.claim(again(request, "late"))
        assert (claim.record.state, claim.record.task_tokens) == (State.CANCELLED, frozenset({"late"}))
        assert recorded(store, request) == claim.record

    def test_survives_an_answer_that_is_lost(self, store: RecordStore, dynamodb: DynamoDBClient) -> None:
        request = new_request(taskToken="one")
        with answer_lost(dynamodb) as statuses:
            claim = store.claim(request)
            store.finish(claim.record, State.SENT)
            late = store.claim(again(request, "two"))
        assert len(statuses) == 8
        assert claim.is_held
        assert late.record.task_tokens == {"one", "two"}

    def test_that_cannot_be_written_is_no_answer(self, store: RecordStore, dynamodb: DynamoDBClient) -> None:
        request = new_request()
        in_state(store, request, State.SENT)

        def away() -> None:
            raise ClientError({"Error": {"Code": "InternalServerError"}}, "UpdateItem")

        with forestalled(dynamodb, 2, away), pytest.raises(RecordsUnavailableError):
            store.claim(again(request, "late"))

    def test_is_not_shown(self, store: RecordStore) -> None:
        record = in_state(store, new_request(taskToken="SECRET-TOKEN"), State.SENT)
        assert record.task_tokens == {"SECRET-TOKEN"}
        assert "SECRET" not in repr(record) + repr(store.get(record.message_id)) + json.dumps(record.members)


class TestRefusal:
    def test_is_one_item_that_does_not_stay(self, store: RecordStore, dynamodb: DynamoDBClient) -> None:
        # When
        store.refuse("order-7", "one", reason="Conflict", detail="differs")
        # Then
        item = dynamodb.get_item(TableName=TABLE, Key={"messageId": {"S": "#refused#order-7"}})["Item"]
        assert item.pop("ttl") == {"N": str(int(START) + 2 * 86400)}
        assert item.pop("updatedAt")
        assert item == {
            "messageId": {"S": "#refused#order-7"},
            "reason": {"S": "Conflict"},
            "detail": {"S": "differs"},
            "taskTokens": {"SS": ["one"]},
        }

    def test_leaves_the_record_of_its_id_alone(self, store: RecordStore) -> None:
        request = new_request()
        sent = in_state(store, request, State.SENT)
        store.refuse(str(request.request_id), "one", reason="Conflict", detail="differs")
        assert recorded(store, request) == sent

    def test_of_two_tasks_is_told_to_both(self, store: RecordStore, changes: Changes) -> None:
        for token in ("one", "two"):
            store.refuse("order-8", token, reason="Conflict", detail="differs")
        images = [change["dynamodb"]["NewImage"] for change in changes.new()]
        assert [image["taskTokens"]["SS"] for image in images] == [["one"], ["two"]]

    def test_that_cannot_be_written_is_told(self, store: RecordStore, dynamodb: DynamoDBClient) -> None:
        def away() -> None:
            raise ClientError({"Error": {"Code": "InternalServerError"}}, "UpdateItem")

        with forestalled(dynamodb, 1, away), pytest.raises(RecordsUnavailableError):
            store.refuse("order-9", "one", reason="Conflict", detail="differs")


class TestRequest:
    @pytest.mark.parametrize("token", ["", "x" * 2049, 7, ["one"]])
    def test_whose_token_is_none_is_invalid(self, token: Any) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            parse_send_request(json.dumps({"deviceId": DEVICE, "content": "a", "taskToken": token}).encode())
        assert [fault.path for fault in caught.value.faults] == ["taskToken"]
        assert caught.value.task_token is None

    @pytest.mark.parametrize(
        ("fields", "beside"),
        [
            ({"deviceId": "?"}, None),
            ({"priority": 1}, None),
            ({"content": "\u0007"}, None),
            ({"requestId": "two"}, "one"),
            ({"account": "?", "smsContentList": []}, None),
        ],
    )
    def test_that_is_invalid_still_tells_whose_task_it_is(self, fields: dict[str, Any], beside: str | None) -> None:
        token = "T" * 2048
        body = {"deviceId": DEVICE, "content": "a", "taskToken": token} | fields
        with pytest.raises(InvalidRequestError) as caught:
            parse_send_request(json.dumps(body).encode(), request_id=beside)
        assert caught.value.task_token == token
        assert token not in str(caught.value) + repr(caught.value) + str(caught.value.args)


@pytest.fixture
def changes(dynamodb: DynamoDBClient) -> Changes:
    return Changes(dynamodb)
