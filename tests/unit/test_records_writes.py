"""Writes of records that DynamoDB refuses, does not answer, or answers twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from cube_sms.errors import RecordsUnavailableError, RequestConflictError
from cube_sms.records import RecordStore
from cube_sms.states import State
from tests.support import send_request
from tests.unit.records_table import FINAL, LEASE, RETENTION, TABLE, answer_lost, in_state, new_request, recorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.records import Record
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

    @pytest.mark.parametrize("state", [State.RETRYING, *FINAL])
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

    @pytest.mark.parametrize("state", [State.RETRYING, *FINAL])
    def test_outcome_of_a_record_that_is_gone(self, store: RecordStore, delete: Delete, state: State) -> None:
        request = new_request()
        record = store.claim(request).record
        delete(record)
        # When
        with pytest.raises(RecordsUnavailableError):
            store.finish(record, state)
        # Then half a record is not written
        assert store.get(request.message_id) is None

    def test_message_whose_record_is_gone_is_a_new_one(self, store: RecordStore, delete: Delete) -> None:
        request = new_request()
        delete(in_state(store, request, State.SENT))
        claim = store.claim(request)
        assert (claim.is_held, claim.record.attempts) == (True, 1)
