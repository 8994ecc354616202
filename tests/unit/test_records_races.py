"""Claims that another worker forestalls, between their first look at a message and their write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cube_sms.delivery.states import State
from tests.unit.records_table import ENDS, LEASE, forestalled, in_state, new_request, recorded

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.delivery.records import Claim, RecordStore
    from tests.support import Clock


@pytest.mark.parametrize("state", [None, State.QUEUED, State.RETRYING])
def test_message_that_anyone_may_have_is_had_by_one(
    dynamodb: DynamoDBClient, store: RecordStore, state: State | None
) -> None:
    request = new_request()
    if state:
        in_state(store, request, state)
    others: list[Claim] = []
    with forestalled(dynamodb, 1, lambda: others.append(store.claim(request))):
        claim = store.claim(request)
    assert (others[0].is_held, claim.is_held) == (True, False)
    assert claim.record == others[0].record == recorded(store, request)


def test_dead_workers_message_is_taken_over_by_one(dynamodb: DynamoDBClient, store: RecordStore, clock: Clock) -> None:
    # Given
    request = new_request()
    store.claim(request)
    clock.now += LEASE
    others: list[Claim] = []
    # When another worker takes it over after this one has seen that it may
    with forestalled(dynamodb, 2, lambda: others.append(store.claim(request))):
        claim = store.claim(request)
    # Then
    assert (others[0].is_held, claim.is_held) == (True, False)
    assert recorded(store, request) == others[0].record
    assert others[0].record.attempts == 2


def test_message_is_started_over_by_one(dynamodb: DynamoDBClient, store: RecordStore) -> None:
    request = new_request()
    failed = in_state(store, request, State.FAILED)
    others: list[Claim] = []
    with forestalled(dynamodb, 2, lambda: others.append(store.claim(request, restart=failed.owner))):
        claim = store.claim(request, restart=failed.owner)
    assert (others[0].is_held, claim.is_held) == (True, False)
    assert recorded(store, request) == others[0].record


@pytest.mark.parametrize("state", [State.RETRYING, *ENDS])
def test_worker_that_is_late_but_first_keeps_its_message(
    dynamodb: DynamoDBClient, store: RecordStore, clock: Clock, state: State
) -> None:
    # Given a worker that overran its lease
    request = new_request()
    late = store.claim(request).record
    clock.now += LEASE
    # When it records its outcome after another one has seen that its lease is over
    with forestalled(dynamodb, 2, lambda: store.finish(late, state, code="0000")):
        claim = store.claim(request)
    # Then the other one goes by what was recorded
    assert claim.is_held is (state is State.RETRYING)
    assert (claim.has_ended, claim.record.code) == (False, "0000")
    assert not claim.record.possibly_duplicated


@pytest.mark.parametrize("state", [State.SENT, State.REJECTED, State.EXPIRED, State.UNKNOWN])
def test_message_sent_at_most_once_is_ended_by_the_worker_that_is_first(
    dynamodb: DynamoDBClient, store: RecordStore, clock: Clock, state: State
) -> None:
    # Given the same, if the message may not be taken over
    request = new_request(delivery="at-most-once")
    late = store.claim(request).record
    clock.now += LEASE
    # When
    with forestalled(dynamodb, 2, lambda: store.finish(late, state, code="0000")):
        claim = store.claim(request)
    # Then it was not the other one that ended it
    assert (claim.is_held, claim.record.state, claim.record.code) == (False, state, "0000")
    assert not claim.has_ended


def test_message_sent_at_most_once_goes_on_where_its_worker_was_first(
    dynamodb: DynamoDBClient, store: RecordStore, clock: Clock
) -> None:
    request = new_request(delivery="at-most-once")
    late = store.claim(request).record
    clock.now += LEASE
    with forestalled(dynamodb, 2, lambda: store.finish(late, State.RETRYING)):
        claim = store.claim(request)
    assert not claim.has_ended
    assert recorded(store, request).state is (State.SENDING if claim.is_held else State.RETRYING)


@pytest.mark.parametrize("state", [None, State.QUEUED, State.RETRYING])
def test_message_that_is_claimed_just_now_is_not_cancelled(
    dynamodb: DynamoDBClient, store: RecordStore, state: State | None
) -> None:
    request = new_request()
    if state:
        in_state(store, request, state)
    claims: list[Claim] = []
    # When a worker claims it right before it is cancelled
    with forestalled(dynamodb, 1, lambda: claims.append(store.claim(request))):
        cancelled = store.cancel(request.message_id)
    # Then the caller gets the other's claim
    assert claims[0].is_held
    assert (cancelled.has_ended, cancelled.record) == (False, claims[0].record)
    assert recorded(store, request).state is State.SENDING


@pytest.mark.parametrize("state", [None, State.QUEUED, State.RETRYING])
def test_message_that_is_cancelled_just_now_is_not_claimed(
    dynamodb: DynamoDBClient, store: RecordStore, state: State | None
) -> None:
    request = new_request()
    if state:
        in_state(store, request, state)
    with forestalled(dynamodb, 1, lambda: store.cancel(request.message_id)):
        claim = store.claim(request)
    assert (claim.is_held, claim.has_ended, claim.record.state) == (False, False, State.CANCELLED)
    assert recorded(store, request) == claim.record


@pytest.mark.parametrize("unsettled", [False, True])
def test_message_that_comes_to_wait_while_it_is_cancelled_is_cancelled_as_what_it_is(
    dynamodb: DynamoDBClient, store: RecordStore, unsettled: bool
) -> None:
    # Given one whose outcome is unknown, which another worker tries again
    request = new_request()
    store.finish(store.claim(request).record, State.RETRYING, unsettled=True)
    # When that happens between the looks of who cancels it
    held = []
    with (
        forestalled(dynamodb, 1, lambda: held.append(store.claim(request).record)),
        forestalled(dynamodb, 2, lambda: None),
    ):
        cancelled = store.cancel(request.message_id)
    assert (cancelled.has_ended, cancelled.record.state) == (False, State.SENDING)
    store.finish(held[0], State.RETRYING, unsettled=unsettled)
    # Then it can be cancelled after that
    assert store.cancel(request.message_id).record.state is State.CANCELLED


def test_word_that_a_message_waits_comes_too_late_for_one_that_is_claimed_or_cancelled(
    dynamodb: DynamoDBClient, store: RecordStore
) -> None:
    for happens in (lambda request: store.claim(request), lambda request: store.cancel(request.message_id)):
        request = new_request()
        with forestalled(dynamodb, 1, lambda happens=happens, request=request: happens(request)):  # type: ignore[misc]
            record = store.note_queued(request, expected_at=2_000_000_000.0)
        assert record.state in (State.SENDING, State.CANCELLED)
        assert record == recorded(store, request)
