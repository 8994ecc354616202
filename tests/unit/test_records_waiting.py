"""Records of messages that are with no worker: a note that one waits, and its end if somebody cancels it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cube_sms.delivery.errors import RequestConflictError
from cube_sms.delivery.records import WaitingRecords
from cube_sms.delivery.records.record import Refusal
from cube_sms.delivery.records.table import RecordTable
from cube_sms.delivery.states import State
from tests.support import DEVICE, START, send_request
from tests.unit.records_table import ENDS, LEASE, RETENTION, TABLE, answer_lost, in_state, new_request, recorded

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.delivery.records import RecordStore
    from tests.support import Clock


class TestQueued:
    def test_message_is_found_while_it_waits(self, store: RecordStore, clock: Clock) -> None:
        request = new_request()
        # When a worker returns it to the queue, and does so once more
        first = store.note_queued(request, accepted_at=START - 60, expected_at=START + 600)
        clock.now += 600
        second = store.note_queued(request, accepted_at=START - 60, expected_at=START + 900)
        # Then
        assert (first.state, first.attempts, first.device_id) == (State.QUEUED, 0, DEVICE)
        assert (first.created_at, first.expected_at) == ("2027-01-15T07:59:00.000Z", "2027-01-15T08:10:00.000Z")
        assert (second.created_at, second.expected_at) == (first.created_at, "2027-01-15T08:15:00.000Z")
        assert recorded(store, request) == second

    def test_message_that_waits_is_claimed_like_one_that_nobody_has_seen(self, store: RecordStore) -> None:
        request = new_request()
        store.note_queued(request, accepted_at=START - 60, expected_at=START + 600)
        claim = store.claim(request, accepted_at=START - 30)
        assert claim.is_held
        assert (claim.record.state, claim.record.attempts) == (State.SENDING, 1)
        assert (claim.record.created_at, claim.record.expected_at) == ("2027-01-15T07:59:00.000Z", None)
        assert not claim.record.possibly_duplicated

    @pytest.mark.parametrize("state", [State.SENDING, State.RETRYING, State.CANCELLED, *ENDS])
    @pytest.mark.parametrize("expected_at", [None, START + 600])
    def test_record_of_a_message_that_does_not_just_wait_stays(
        self, store: RecordStore, state: State, expected_at: float | None
    ) -> None:
        request = new_request()
        before = in_state(store, request, state)
        assert store.note_queued(request, expected_at=expected_at) == before == recorded(store, request)

    @pytest.mark.parametrize("state", [State.QUEUED, State.RETRYING])
    @pytest.mark.parametrize(
        ("reason", "seconds", "is_told"),
        [("InvalidRequest", 60, True), ("InvalidRequest", -60, False), ("Conflict", 60, False)],
    )
    def test_message_that_turns_invalid_while_it_waits_is_refused(
        self,
        dynamodb: DynamoDBClient,
        store: RecordStore,
        clock: Clock,
        state: State,
        reason: str,
        seconds: float,
        is_told: bool,
    ) -> None:
        request = new_request()
        waiting = in_state(store, request, state)
        # When a refusal is noted, before or after the time in its record, or of another request under its id
        clock.now += seconds
        store.refuse(str(request.request_id), None, reason=reason, detail="content: is too long")
        # Then only a newer refusal of the message itself counts
        found = RecordTable(dynamodb, TABLE).find([request])[request.message_id]
        if is_told:
            assert isinstance(found, Refusal)
            assert found.detail == "content: is too long"
        else:
            assert found == waiting

    def test_what_is_expected_stays_where_nothing_new_is_known(self, store: RecordStore) -> None:
        request = new_request()
        before = store.note_queued(request, expected_at=START + 600)
        assert store.note_queued(request) == before == recorded(store, request)

    def test_record_of_another_request_stays(self, store: RecordStore) -> None:
        request = new_request()
        before = store.note_queued(request)
        other = send_request("Another", requestId=request.request_id)
        assert store.note_queued(other, expected_at=START + 600) == before == recorded(store, request)
        with pytest.raises(RequestConflictError):
            store.claim(other)

    def test_record_is_kept_as_long_as_others(self, store: RecordStore, dynamodb: DynamoDBClient) -> None:
        for request, write in (
            (waiting := new_request(), lambda: store.note_queued(waiting)),
            (cancelled := new_request(), lambda: store.cancel(cancelled.message_id)),
        ):
            write()
            item = dynamodb.get_item(TableName=TABLE, Key={"messageId": {"S": request.message_id}})["Item"]
            assert item["ttl"] == {"N": str(int(START + RETENTION))}


class TestCancel:
    @pytest.mark.parametrize("state", [None, State.QUEUED, State.RETRYING])
    @pytest.mark.parametrize("knows_request", [False, True])
    def test_message_that_nobody_has_ends(
        self, store: RecordStore, clock: Clock, state: State | None, knows_request: bool
    ) -> None:
        # Given
        request = new_request()
        if state:
            in_state(store, request, state)
        clock.now += 60
        # When
        record, has_ended = store.cancel(
            request.message_id, request=request if knows_request else None, reason="wrong text"
        )
        # Then
        assert (has_ended, record.state, record.reason) == (True, State.CANCELLED, "wrong text")
        assert (record.expected_at, record.unsettled, record.possibly_duplicated) == (None, False, False)
        assert record.device_id == (DEVICE if state or knows_request else None)
        assert recorded(store, request) == record
        # And a worker that takes it later finds that it has ended
        claim = store.claim(request)
        assert (claim.is_held, claim.has_ended, claim.record) == (False, False, record)

    @pytest.mark.parametrize("state", [State.SENDING, *ENDS])
    def test_message_that_somebody_has_or_that_has_ended_is_told_as_it_is(
        self, store: RecordStore, state: State
    ) -> None:
        request = new_request()
        before = in_state(store, request, state)
        assert store.cancel(request.message_id) == (before, False)
        assert recorded(store, request) == before

    def test_message_whose_worker_died_is_not_cancelled(self, store: RecordStore, clock: Clock) -> None:
        # It may have been posted, and the next worker finds that out
        request = new_request()
        before = in_state(store, request, State.SENDING)
        clock.now += 10 * LEASE
        assert store.cancel(request.message_id) == (before, False)

    @pytest.mark.parametrize("overrides", [False, True])
    def test_message_is_cancelled_once_and_stays_so_for_its_reason(self, store: RecordStore, overrides: bool) -> None:
        request = new_request()
        first = store.cancel(request.message_id, reason="first").record
        # When it is cancelled for another reason
        second, has_ended = store.cancel(request.message_id, reason="second", overrides=overrides)
        # Then the new reason counts only for a caller that overrides the first
        assert (has_ended, second.state) == (False, State.CANCELLED)
        assert second.reason == ("second" if overrides else "first")
        assert (second.created_at, second.updated_at) == (first.created_at, first.updated_at)

    @pytest.mark.parametrize("knows_request", [False, True])
    def test_message_that_was_put_back_is_cancelled_before_it_starts_over(
        self, store: RecordStore, knows_request: bool
    ) -> None:
        # Given a message that is on the queue once more, to start over
        request = new_request()
        known = request if knows_request else None
        first = store.cancel(request.message_id, request=known, reason="stopped").record
        # When it is cancelled again before a worker takes it
        second = store.cancel(request.message_id, request=known, reason="stopped").record
        # Then the first redrive no longer restarts it, and only another one does
        assert not store.claim(request, restart=first.owner).is_held
        assert store.claim(request, restart=second.owner).is_held

    def test_cancelled_message_that_may_have_been_sent_says_so(self, store: RecordStore) -> None:
        request = new_request()
        store.finish(store.claim(request).record, State.RETRYING, unsettled=True, code="500")
        # When
        record, has_ended = store.cancel(request.message_id, reason="wrong text")
        # Then it is not sent again, and says that it may have been
        assert (has_ended, record.state, record.code) == (True, State.CANCELLED, "500")
        assert record.reason == "wrong text, after a POST whose outcome is unknown"
        assert not store.claim(request).is_held
        # And if it starts over, its record says that it may go twice
        assert store.claim(request, restart=record.owner).record.possibly_duplicated

    def test_cancelled_message_starts_over_for_who_knows_that(self, store: RecordStore, clock: Clock) -> None:
        # Given a message that was tried, and a new one
        tried, unseen = new_request(), new_request()
        in_state(store, tried, State.RETRYING)
        for request in (tried, unseen):
            cancelled = store.cancel(request.message_id).record
            clock.now += 60
            # When
            assert not store.claim(request, restart="another").is_held
            claim = store.claim(request, restart=cancelled.owner)
            # Then
            assert claim.is_held
            assert (claim.record.attempts, claim.record.device_id) == (1, DEVICE)
            assert not claim.record.possibly_duplicated
            assert store.finish(claim.record, State.SENT).state is State.SENT
            assert not store.claim(request, restart=cancelled.owner).is_held

    def test_every_request_under_an_id_that_nobody_has_seen_is_cancelled(self, store: RecordStore) -> None:
        request = new_request()
        cancelled = store.cancel(request.message_id).record
        other = send_request("Another", requestId=request.request_id)
        assert store.claim(other).record == store.claim(request).record == cancelled
        assert cancelled.is_of(request)

    def test_another_request_is_not_cancelled(self, store: RecordStore) -> None:
        request = new_request()
        other = send_request("Another", requestId=request.request_id)
        for state in (State.QUEUED, State.RETRYING, State.SENT):
            before = in_state(store, request, state)
            with pytest.raises(RequestConflictError):
                store.cancel(request.message_id, request=other)
            assert recorded(store, request) == before

    def test_tasks_that_wait_are_with_the_record(self, store: RecordStore) -> None:
        # Given one whose message waits, and a new one
        request = new_request(taskToken="one")
        store.note_queued(request)
        assert store.cancel(request.message_id).record.task_tokens == {"one"}
        unseen = new_request(taskToken="two")
        assert store.cancel(unseen.message_id).record.task_tokens == frozenset()
        # When its message comes
        store.claim(unseen)
        # Then its task is with the record
        assert recorded(store, unseen).task_tokens == {"two"}

    @pytest.mark.parametrize("state", [None, State.QUEUED, State.RETRYING])
    def test_answer_that_is_lost_is_no_doubt(
        self, dynamodb: DynamoDBClient, store: RecordStore, state: State | None
    ) -> None:
        request = new_request()
        if state:
            in_state(store, request, state)
        with answer_lost(dynamodb):
            cancelled = store.cancel(request.message_id)
        assert cancelled == (recorded(store, request), True)

    def test_needs_no_store_that_claims(self, dynamodb: DynamoDBClient, store: RecordStore, clock: Clock) -> None:
        records = WaitingRecords(dynamodb, TABLE, retention=RETENTION, clock=clock)
        request = new_request()
        assert records.cancel(request.message_id, request=request).has_ended
        assert not store.claim(request).is_held
