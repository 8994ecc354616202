"""The records of messages: who may post one, and what may follow from what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cube_sms.delivery.records import RECEIPT_KEY, TRANSITIONS, FollowedRecords
from cube_sms.delivery.states import State
from tests.support import DEVICE, START
from tests.unit.records_table import ENDS, FINAL, LEASE, RETENTION, TABLE, in_state, new_request, recorded

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.delivery.records import RecordStore
    from tests.support import Clock

OUTCOMES = [State.RETRYING, *ENDS]


def test_states_in_which_nothing_more_happens_are_final() -> None:
    assert {state for state in State if state.is_final} == {*FINAL, State.DELIVERED, State.UNDELIVERED}


@pytest.mark.parametrize("state", State)
class TestTransition:
    def test_leads_to_sending_if_it_may(self, store: RecordStore, clock: Clock, state: State) -> None:
        # Given a message whose worker, if it has one, has crashed
        request = new_request()
        record = in_state(store, request, state)
        clock.now += LEASE

        # When a worker that knows how it ended claims it
        claim = store.claim(request, restart=record.owner)

        # Then it has the message, or the state stays
        assert claim.is_held is (State.SENDING in TRANSITIONS[state])
        assert claim.record.state is (State.SENDING if claim.is_held else state)

    def test_leads_to_cancelled_if_it_may(self, store: RecordStore, state: State) -> None:
        request = new_request()
        in_state(store, request, state)
        assert store.cancel(request.message_id).has_ended is (State.CANCELLED in TRANSITIONS[state])

    def test_leads_from_sent_to_what_a_receipt_may_say(
        self, store: RecordStore, dynamodb: DynamoDBClient, state: State
    ) -> None:
        record = in_state(store, new_request(), State.SENT)
        receipt = f"{RECEIPT_KEY}{record.message_id}"
        followed = FollowedRecords(dynamodb, TABLE, retention=RETENTION)
        if state in TRANSITIONS[State.SENT]:
            assert followed.settle(record, state, receipt, code=None, message=None)
        else:
            with pytest.raises(ValueError, match="another state"):
                followed.settle(record, state, receipt, code=None, message=None)


class TestClaim:
    def test_message_that_nobody_has_is_the_callers(self, store: RecordStore) -> None:
        request = new_request()
        assert store.get(request.message_id) is None
        # When
        claim = store.claim(request)
        # Then
        assert (claim.is_held, claim.has_ended) == (True, False)
        assert (claim.record.state, claim.record.attempts) == (State.SENDING, 1)
        assert (claim.record.message_id, claim.record.device_id) == (request.message_id, DEVICE)
        assert claim.record.lease_until == START + LEASE
        assert (claim.record.unsettled, claim.record.possibly_duplicated) == (False, False)
        assert recorded(store, request) == claim.record

    def test_message_was_accepted_when_its_sender_handed_it_in(self, store: RecordStore, clock: Clock) -> None:
        # Given a message that has waited on the queue for an hour, and one that has not waited
        waited, posted = new_request(), new_request()
        # When they are claimed, and tried again later
        first, other = store.claim(waited, accepted_at=START - 3600).record, store.claim(posted).record
        store.finish(first, State.RETRYING)
        clock.now += 60
        again = store.claim(waited, accepted_at=START - 1800).record
        # Then
        assert (first.created_at, again.created_at) == ("2027-01-15T07:00:00.000Z",) * 2
        assert (first.begun_at, again.begun_at) == ("2027-01-15T08:00:00.000Z",) * 2
        assert other.created_at == other.begun_at == "2027-01-15T08:00:00.000Z"

    def test_message_that_another_worker_has_is_not(self, store: RecordStore, clock: Clock) -> None:
        # Given a claim whose lease is as good as over
        request = new_request()
        held = store.claim(request).record
        clock.now += LEASE - 0.01
        # When
        claim = store.claim(request)
        # Then
        assert (claim.is_held, claim.has_ended, claim.record) == (False, False, held)
        assert recorded(store, request) == held

    def test_message_that_is_to_be_tried_again_is_the_callers(self, store: RecordStore, clock: Clock) -> None:
        request = new_request()
        earlier = in_state(store, request, State.RETRYING)
        clock.now += 60
        claim = store.claim(request)
        assert claim.is_held
        assert (claim.record.state, claim.record.attempts) == (State.SENDING, 2)
        assert claim.record.lease_until == clock.now + LEASE
        assert claim.record.owner != earlier.owner
        assert not claim.record.possibly_duplicated

    @pytest.mark.parametrize("state", FINAL)
    @pytest.mark.parametrize("restart", [None, "", "another", "its own"])
    def test_message_that_has_ended_is_nobodys(
        self, store: RecordStore, clock: Clock, state: State, restart: str | None
    ) -> None:
        # Given
        request = new_request()
        ended = in_state(store, request, state)
        clock.now += 10 * LEASE
        # When
        claim = store.claim(request, restart=ended.owner if restart == "its own" else restart)
        # Then only one that left a letter or was cancelled starts over, for whoever knows its last claim
        if state in (State.FAILED, State.REJECTED, State.CANCELLED) and restart == "its own":
            assert claim.is_held
            assert (claim.record.state, claim.record.attempts) == (State.SENDING, 1)
            assert claim.record.owner != ended.owner
        else:
            assert (claim.is_held, claim.has_ended, claim.record) == (False, False, ended)
            assert recorded(store, request) == ended

    def test_claim_starts_over_once(self, store: RecordStore) -> None:
        request = new_request()
        failed = in_state(store, request, State.FAILED)
        again = store.finish(store.claim(request, restart=failed.owner).record, State.FAILED)
        assert not store.claim(request, restart=failed.owner).is_held
        assert store.claim(request, restart=again.owner).is_held


class TestLapse:
    @pytest.mark.parametrize("late", [0.0, 0.01, 86400.0])
    def test_message_sent_at_least_once_is_taken_over(self, store: RecordStore, clock: Clock, late: float) -> None:
        # Given a worker that died
        request = new_request()
        dead = store.claim(request).record
        clock.now += LEASE + late
        # When
        claim = store.claim(request)
        # Then it may have posted it
        assert claim.is_held
        assert claim.record.owner != dead.owner
        assert (claim.record.attempts, claim.record.lease_until) == (2, clock.now + LEASE)
        assert (claim.record.unsettled, claim.record.possibly_duplicated) == (True, True)

    @pytest.mark.parametrize("late", [0.0, 0.01, 86400.0])
    def test_message_sent_at_most_once_ends(self, store: RecordStore, clock: Clock, late: float) -> None:
        # Given
        request = new_request(delivery="at-most-once")
        store.claim(request)
        clock.now += LEASE + late
        # When
        claim = store.claim(request)
        # Then it ends at once, and is a message that has ended after that
        assert (claim.is_held, claim.has_ended) == (False, True)
        assert (claim.record.state, claim.record.unsettled) == (State.UNKNOWN, True)
        assert claim.record.reason
        assert recorded(store, request) == claim.record
        again = store.claim(request)
        assert (again.is_held, again.has_ended, again.record) == (False, False, claim.record)

    @pytest.mark.parametrize("state", OUTCOMES)
    @pytest.mark.parametrize("is_done", [False, True])
    def test_late_outcome_of_a_lost_claim_changes_nothing(
        self, store: RecordStore, clock: Clock, state: State, is_done: bool
    ) -> None:
        # Given a worker that overran its lease, and another that has the message or is done with it
        request = new_request()
        late = store.claim(request).record
        clock.now += LEASE
        other = store.claim(request).record
        if is_done:
            other = store.finish(other, State.REJECTED, code="7001")
        # When
        record = store.finish(late, state, code="0000", attempts=9, reason="late", unsettled=True)
        # Then it learns whose the message is
        assert record == other == recorded(store, request)

    def test_claim_that_nobody_has_taken_over_can_be_finished_late(self, store: RecordStore, clock: Clock) -> None:
        for delivery in ("at-least-once", "at-most-once"):
            request = new_request(delivery=delivery)
            late = store.claim(request).record
            clock.now += 2 * LEASE
            assert store.finish(late, State.SENT).state is State.SENT


class TestFinish:
    @pytest.mark.parametrize("state", OUTCOMES)
    def test_outcome_is_recorded(self, store: RecordStore, clock: Clock, state: State) -> None:
        request = new_request()
        claimed = store.claim(request).record
        clock.now += 1
        # When
        record = store.finish(claimed, state, attempts=2, code="7001", message="no", reason="HTTP 400")
        # Then
        assert (record.state, record.attempts) == (state, 2)
        assert (record.code, record.message, record.reason) == ("7001", "no", "HTTP 400")
        assert (record.lease_until, record.owner) == (0.0, claimed.owner)
        assert recorded(store, request) == record

    @pytest.mark.parametrize("state", [State.QUEUED, State.SENDING, State.CANCELLED])
    def test_claim_does_not_end_in_what_is_none_of_its_outcomes(self, store: RecordStore, state: State) -> None:
        request = new_request()
        claimed = store.claim(request).record
        with pytest.raises(ValueError, match="another state"):
            store.finish(claimed, state)
        assert recorded(store, request) == claimed

    @pytest.mark.parametrize("first", OUTCOMES)
    @pytest.mark.parametrize("second", [State.RETRYING, State.SENT, State.FAILED])
    def test_claim_ends_once(self, store: RecordStore, first: State, second: State) -> None:
        claimed = store.claim(new_request()).record
        record = store.finish(claimed, first, code="1")
        assert store.finish(claimed, second, code="2", attempts=7, unsettled=True) == record

    def test_unknown_outcome_stays_with_the_message(self, store: RecordStore) -> None:
        # Given a POST whose outcome is unknown, and one that is refused
        request = new_request()
        first = store.finish(store.claim(request).record, State.RETRYING, unsettled=True)
        assert (first.unsettled, first.possibly_duplicated) == (True, False)
        second = store.finish(store.claim(request).record, State.FAILED)
        assert (second.unsettled, second.possibly_duplicated) == (True, True)
        # When it starts over
        claim = store.claim(request, restart=second.owner)
        # Then the message may still have been sent
        assert (claim.record.unsettled, claim.record.possibly_duplicated) == (True, True)
