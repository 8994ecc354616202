"""Writes of records that DynamoDB refuses, does not answer, or answers twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from cube_sms.delivery.errors import RequestConflictError, SpoiledRecordError
from cube_sms.delivery.records import RecordStore
from cube_sms.delivery.states import State
from cube_sms.platform.errors import RecordsUnavailableError
from tests.support import START, send_request
from tests.unit.records_table import (
    ENDS,
    FINAL,
    LEASE,
    RETENTION,
    SPOILED,
    TABLE,
    answer_lost,
    forestalled,
    in_state,
    new_request,
    recorded,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.delivery.records import Record
    from tests.support import Clock

type Delete = Callable[[Record], object]

REPEATED = [200, 400]

ERRORS = [
    ("ProvisionedThroughputExceededException", 400),
    ("ThrottlingException", 400),
    ("ResourceNotFoundException", 400),
    ("AccessDeniedException", 400),
    ("InternalServerError", 500),
    ("ServiceUnavailable", 503),
]


class TestLostAnswer:
    def test_first_claim_is_ours(self, dynamodb: DynamoDBClient, store: RecordStore) -> None:
        request = new_request()
        # When boto3 repeats the write, which then meets what it wrote the first time
        with answer_lost(dynamodb) as statuses:
            claim = store.claim(request)
        # Then
        assert statuses == REPEATED
        assert claim.is_held
        assert claim.record.attempts == 1
        assert recorded(store, request) == claim.record

    def test_claim_of_a_message_to_be_tried_again_is_ours(self, dynamodb: DynamoDBClient, store: RecordStore) -> None:
        request = new_request()
        in_state(store, request, State.RETRYING)
        with answer_lost(dynamodb) as statuses:
            claim = store.claim(request)
        assert statuses == REPEATED
        assert (claim.is_held, claim.record.attempts, claim.record.possibly_duplicated) == (True, 2, False)

    def test_claim_that_starts_over_is_ours(self, dynamodb: DynamoDBClient, store: RecordStore) -> None:
        request = new_request()
        failed = in_state(store, request, State.FAILED)
        with answer_lost(dynamodb) as statuses:
            claim = store.claim(request, restart=failed.owner)
        # Then the claim that saw nothing was refused twice, and the second one repeated
        assert statuses == [400, 400, *REPEATED]
        assert (claim.is_held, claim.record.attempts) == (True, 1)

    def test_claim_of_a_dead_workers_message_is_ours(
        self, dynamodb: DynamoDBClient, store: RecordStore, clock: Clock
    ) -> None:
        request = new_request()
        store.claim(request)
        clock.now += LEASE
        with answer_lost(dynamodb) as statuses:
            claim = store.claim(request)
        assert statuses == [400, 400, *REPEATED]
        assert (claim.is_held, claim.record.attempts, claim.record.possibly_duplicated) == (True, 2, True)

    def test_end_of_a_dead_workers_message_is_ours(
        self, dynamodb: DynamoDBClient, store: RecordStore, clock: Clock
    ) -> None:
        request = new_request(delivery="at-most-once")
        store.claim(request)
        clock.now += LEASE
        with answer_lost(dynamodb):
            claim = store.claim(request)
        assert (claim.is_held, claim.has_ended, claim.record.state) == (False, True, State.UNKNOWN)

    @pytest.mark.parametrize("state", [State.RETRYING, *ENDS])
    def test_outcome_is_ours(self, dynamodb: DynamoDBClient, store: RecordStore, state: State) -> None:
        request = new_request()
        claimed = store.claim(request).record
        with answer_lost(dynamodb) as statuses:
            record = store.finish(claimed, state, attempts=2, code="7001")
        assert statuses == REPEATED
        assert (record.state, record.attempts, record.code) == (state, 2, "7001")
        assert recorded(store, request) == record

    def test_conflict_stays_one(self, dynamodb: DynamoDBClient, store: RecordStore) -> None:
        request = new_request()
        store.claim(request)
        with answer_lost(dynamodb), pytest.raises(RequestConflictError):
            store.claim(send_request("Another", requestId=request.request_id))


class TestAway:
    @pytest.mark.parametrize(("code", "status"), ERRORS)
    def test_error_of_dynamodb(self, dynamodb: DynamoDBClient, store: RecordStore, code: str, status: int) -> None:
        # Given
        request = new_request()
        record = store.claim(request).record
        calls: list[tuple[str, Any]] = [
            ("update_item", lambda: store.claim(request)),
            ("update_item", lambda: store.finish(record, State.SENT)),
            ("get_item", lambda: store.get(request.message_id)),
        ]
        for operation, call in calls:
            # When
            with Stubber(dynamodb) as stubber:
                stubber.add_client_error(operation, code, "no", status)
                with pytest.raises(RecordsUnavailableError):
                    call()
        # Then nothing has changed
        assert recorded(store, request) == record

    def test_dynamodb_that_cannot_be_reached(self, store: RecordStore) -> None:
        config = Config(connect_timeout=1, retries={"total_max_attempts": 1})
        client = boto3.client("dynamodb", region_name="eu-central-1", endpoint_url="http://127.0.0.1:1", config=config)
        away = RecordStore(client, TABLE, lease=LEASE, retention=RETENTION)
        request = new_request()
        record = store.claim(request).record
        calls: list[Any] = [
            lambda: away.claim(request),
            lambda: away.finish(record, State.SENT),
            lambda: away.get(request.message_id),
        ]
        for call in calls:
            with pytest.raises(RecordsUnavailableError):
                call()


class TestDeleted:
    @pytest.fixture
    def delete(self, dynamodb: DynamoDBClient) -> Delete:
        return lambda record: dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": record.message_id}})

    @pytest.mark.parametrize("state", [State.RETRYING, *ENDS])
    @pytest.mark.parametrize("token", ["", "waits"])
    def test_outcome_of_a_record_that_is_gone_is_written_all_the_same(
        self, store: RecordStore, delete: Delete, clock: Clock, state: State, token: str
    ) -> None:
        request = new_request(**({"taskToken": token} if token else {}))
        record = store.claim(request).record
        clock.now += 1
        delete(record)
        # When
        found = store.finish(record, state, attempts=1, code="7001", reason="no", unsettled=state is State.UNKNOWN)
        # Then the record is whole again, and the caller learns that it was gone
        assert found.was_deleted
        assert recorded(store, request) == found
        assert (found.state, found.code, found.reason, found.lease_until) == (state, "7001", "no", 0.0)
        assert (found.created_at, found.owner, found.task_tokens) == (
            record.created_at,
            record.owner,
            record.task_tokens,
        )
        # And a message that comes again is no new one
        assert store.claim(request).is_held is (state is State.RETRYING)

    def test_outcome_whose_first_answer_is_lost_is_written_once(
        self, dynamodb: DynamoDBClient, store: RecordStore, delete: Delete
    ) -> None:
        request = new_request()
        record = store.claim(request).record
        delete(record)
        with answer_lost(dynamodb) as statuses:
            found = store.finish(record, State.SENT)
        assert statuses == [400, 400, *REPEATED]
        assert (found.was_deleted, found.state, found.possibly_duplicated) == (True, State.SENT, False)

    @pytest.mark.parametrize("delivery", ["at-least-once", "at-most-once"])
    @pytest.mark.parametrize("after", [State.SENDING, State.RETRYING, *FINAL])
    @pytest.mark.parametrize("has_moved", [False, True])
    def test_message_that_another_worker_has_begun_anew_may_be_duplicated(
        self, store: RecordStore, delete: Delete, clock: Clock, delivery: str, after: State, has_moved: bool
    ) -> None:
        # Given a message that was posted, whose record was deleted, and that another worker has or is done with
        request = new_request(delivery=delivery)
        record = store.claim(request).record
        delete(record)
        clock.now += has_moved
        other = in_state(store, request, after)
        # When
        found = store.finish(record, State.SENT)
        # Then the record says so, and stays the other worker's
        assert (found.was_deleted, found.possibly_duplicated, found.unsettled) == (True, True, True)
        assert (found.owner, found.state) == (other.owner, after)
        # And it says so after each later change
        if after is State.SENDING:
            found = store.finish(other, State.RETRYING)
        if found.state is State.RETRYING:
            found = store.claim(request).record
        assert found.possibly_duplicated
        assert recorded(store, request) == found

    def test_copy_of_a_message_that_is_begun_anew_is_not_taken_for_what_was_begun_before(
        self, store: RecordStore, delete: Delete, clock: Clock
    ) -> None:
        # Given that another worker has posted it again from the same message of the queue, with an unknown outcome
        request = new_request()
        record = store.claim(request, accepted_at=START - 60).record
        delete(record)
        clock.now += 1
        other = store.claim(request, accepted_at=START - 60).record
        store.finish(other, State.RETRYING, unsettled=True)
        # When
        found = store.finish(record, State.SENT)
        # Then
        assert (found.owner, found.was_deleted, found.possibly_duplicated) == (other.owner, True, True)

    def test_message_that_another_worker_begins_anew_at_the_last_moment_may_be_duplicated(
        self, dynamodb: DynamoDBClient, store: RecordStore, delete: Delete
    ) -> None:
        request = new_request()
        record = store.claim(request).record
        delete(record)
        others: list[Record] = []
        with forestalled(dynamodb, 2, lambda: others.append(store.claim(request).record)):
            found = store.finish(record, State.SENT)
        assert (found.was_deleted, found.possibly_duplicated, found.owner) == (True, True, others[0].owner)

    @pytest.mark.parametrize("state", [State.RETRYING, State.REJECTED])
    def test_message_that_was_not_sent_is_not_duplicated(
        self, store: RecordStore, delete: Delete, state: State
    ) -> None:
        request = new_request()
        record = store.claim(request).record
        delete(record)
        store.claim(request)
        found = store.finish(record, state)
        assert (found.was_deleted, found.possibly_duplicated) == (True, False)

    def test_end_of_a_dead_workers_message_is_written_all_the_same(
        self, dynamodb: DynamoDBClient, store: RecordStore, delete: Delete, clock: Clock
    ) -> None:
        # Given a message that its dead worker may have sent
        request = new_request(delivery="at-most-once")
        record = store.claim(request).record
        clock.now += LEASE
        # When its record is deleted after another worker has seen it
        with forestalled(dynamodb, 2, lambda: delete(record)):
            claim = store.claim(request)
        # Then it is not a new message
        assert (claim.is_held, claim.has_ended, claim.record.state) == (False, True, State.UNKNOWN)

    def test_message_whose_record_is_gone_is_a_new_one(self, store: RecordStore, delete: Delete) -> None:
        request = new_request()
        delete(in_state(store, request, State.SENT))
        claim = store.claim(request)
        assert (claim.is_held, claim.record.attempts) == (True, 1)


class TestSpoiled:
    @pytest.mark.parametrize(("name", "value"), SPOILED, ids=str)
    def test_record_is_named_with_its_faults(
        self, dynamodb: DynamoDBClient, store: RecordStore, name: str, value: Any
    ) -> None:
        # Given a record of a message that has ended, which somebody has changed
        request = new_request(taskToken="waits")
        ended = in_state(store, request, State.SENT)
        item: Any = dynamodb.get_item(TableName=TABLE, Key={"messageId": {"S": ended.message_id}})["Item"]
        item.pop(name, None)
        dynamodb.put_item(TableName=TABLE, Item=item | ({name: value} if value else {}))
        # Then a reader gets an error with its key and the attribute, and without the value
        another = new_request(requestId=request.request_id, taskToken="asks")
        for call in (
            lambda: store.get(request.message_id),
            lambda: store.claim(another),
            lambda: store.finish(ended, State.FAILED),
        ):
            with pytest.raises(SpoiledRecordError) as caught:
                call()
            assert caught.value.message_id == request.message_id
            assert [fault.path for fault in caught.value.faults] == [name]
            assert "yesterday" not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("attempts", {"S": "one"}), ("taskTokens", {"S": "one"}), ("createdAt", {"S": "yesterday"})],
        ids=str,
    )
    def test_message_that_is_to_be_tried_again_is_nobodys(
        self, dynamodb: DynamoDBClient, store: RecordStore, name: str, value: Any
    ) -> None:
        request = new_request(taskToken="waits")
        in_state(store, request, State.RETRYING)
        dynamodb.update_item(
            TableName=TABLE,
            Key={"messageId": {"S": request.message_id}},
            UpdateExpression="SET #name = :value",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":value": value},
        )
        with pytest.raises(SpoiledRecordError):
            store.claim(request)
