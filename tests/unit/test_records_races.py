"""Claims that another worker forestalls, between their first look at a message and their write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cube_sms.delivery.states import State
from tests.unit.records_table import FINAL, LEASE, forestalled, in_state, new_request, recorded

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.delivery.records import Claim, RecordStore
    from tests.support import Clock


@pytest.mark.parametrize("state", [None, State.RETRYING])
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


@pytest.mark.parametrize("state", [State.RETRYING, *FINAL])
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
    # Given the same where nobody may take the message over
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
