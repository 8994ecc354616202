"""The records of messages under several workers, in any order of what can happen to one message."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cube_sms.delivery.records import TRANSITIONS, RecordStore
from cube_sms.delivery.states import State
from cube_sms.platform import rfc3339
from tests.support import Clock
from tests.unit.records_table import ENDS, LEASE, RETENTION, TABLE, answer_lost, new_request, recorded

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.delivery.records import Claim, Record

WORKERS = st.sampled_from(["a", "b", "c"])
WAITING = (State.QUEUED, State.RETRYING)
PAUSES = st.sampled_from([0.0, LEASE, LEASE - 0.001, LEASE / 2, 10 * LEASE])


class Machine(RuleBasedStateMachine):
    """Workers that claim one message, finish it in time or late or never and start it over, queue it and cancel it."""

    delivery: str
    dynamodb: DynamoDBClient

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.store = RecordStore(self.dynamodb, TABLE, lease=LEASE, retention=RETENTION, clock=self.clock)
        self.request = new_request(delivery=self.delivery)
        # The claims that workers hold, or believe to hold.
        self.claims: dict[str, Record] = {}
        self.owners: list[str] = []
        self.before: Record | None = None
        self.is_restart = self.is_cancelled_again = False
        self.posts = 0
        self.unsettled = False
        self.duplicated = False
        self.is_over = False

    @rule(worker=WORKERS, seconds=PAUSES, is_repeated=st.booleans())
    def claim(self, worker: str, seconds: float, is_repeated: bool) -> None:
        self.clock.now += seconds
        self._claim(worker, None, is_repeated)

    @precondition(lambda self: self.owners)
    @rule(worker=WORKERS, data=st.data(), is_repeated=st.booleans())
    def restart(self, worker: str, data: st.DataObject, is_repeated: bool) -> None:
        self._claim(worker, data.draw(st.sampled_from(self.owners[-2:])), is_repeated)

    @precondition(lambda self: self.claims)
    @rule(
        data=st.data(),
        state=st.sampled_from([State.RETRYING, *ENDS]),
        posts=st.integers(0, 2),
        is_unknown=st.booleans(),
        is_repeated=st.booleans(),
    )
    def finish(self, data: st.DataObject, state: State, posts: int, is_unknown: bool, is_repeated: bool) -> None:
        worker = data.draw(st.sampled_from(sorted(self.claims)))
        claimed = self.claims.pop(worker)
        is_unknown = is_unknown and posts > 0
        if is_unknown and self.delivery == "at-most-once":
            state = State.UNKNOWN
        record = self._call(
            lambda: self.store.finish(
                claimed, state, attempts=claimed.attempts - 1 + posts, code=worker, unsettled=is_unknown
            ),
            is_repeated,
        )
        # Then the claim is over, or was before, and then nothing has changed
        is_ours = self.before is not None and self.before.state is State.SENDING and self.before.owner == claimed.owner
        assert record == recorded(self.store, self.request)
        if is_ours:
            assert (record.state, record.code, record.owner) == (state, worker, claimed.owner)
            self.posts += posts
            self.unsettled |= is_unknown
            self.is_over |= state is State.UNKNOWN
        else:
            assert record == self.before

    @rule(expected=st.none() | st.just(3600.0), is_repeated=st.booleans())
    def queue(self, expected: float | None, is_repeated: bool) -> None:
        expected_at = None if expected is None else self.clock() + expected
        record = self._call(lambda: self.store.note_queued(self.request, expected_at=expected_at), is_repeated)
        assert record == recorded(self.store, self.request)
        is_news = expected is not None and self.before is not None and self.before.state is State.QUEUED
        if self.before is None or is_news:
            assert (record.state, record.attempts) == (State.QUEUED, 0)
            assert record.expected_at == (None if expected_at is None else rfc3339(expected_at))
        else:
            assert record == self.before

    @rule(knows_request=st.booleans(), overrides=st.booleans(), is_repeated=st.booleans())
    def cancel(self, knows_request: bool, overrides: bool, is_repeated: bool) -> None:
        request, reason = self.request if knows_request else None, "stop by a caller" if overrides else "stop"
        record, has_ended = self._call(
            lambda: self.store.cancel(self.request.message_id, request=request, reason=reason, overrides=overrides),
            is_repeated,
        )
        assert record == recorded(self.store, self.request)
        assert has_ended is (self.before is None or self.before.state in WAITING)
        if self.before and self.before.state is State.CANCELLED and (overrides or self.before.reason == reason):
            # What was to start it over starts nothing any more
            assert (record.state, record.reason) == (State.CANCELLED, reason)
            assert record.owner not in self.owners
            self.owners.append(record.owner)
            self.is_cancelled_again = True
            return
        if not has_ended:
            assert record == self.before
            return
        # What may have been sent says so
        assert record.state is State.CANCELLED
        assert record.reason == reason + ", after a POST whose outcome is unknown" * self.unsettled
        assert record.owner not in self.owners
        self.owners.append(record.owner)

    @rule(worker=WORKERS)
    def die(self, worker: str) -> None:
        self.claims.pop(worker, None)

    @invariant()
    def one_live_lease_at_a_time(self) -> None:
        live = [claim.owner for claim in self.claims.values() if claim.lease_until > self.clock()]
        assert len(live) <= 1

    @invariant()
    def record_changes_only_as_it_may(self) -> None:
        before, self.before = self.before, self.store.get(self.request.message_id)
        after = self.before
        if after != before:
            self._follows(before, after)
        if after is None or before in (None, after):
            assert after is None or before == after or after.state in (State.QUEUED, State.SENDING, State.CANCELLED)
            return
        assert before is not None
        assert after.created_at == before.created_at
        assert after.request_hash == before.request_hash or before.request_hash is None
        if self.is_restart:
            assert before.state.can_restart
            assert (after.state, after.attempts) == (State.SENDING, 1)
        elif self.is_cancelled_again:
            assert replace(after, owner=before.owner, reason=before.reason) == before
        else:
            # A final state stays, and of a claim one more attempt is counted until it is known whether there was one.
            assert not before.state.is_final
            assert after.attempts - _counted(after) >= before.attempts - _counted(before)
        self.is_restart = self.is_cancelled_again = False

    def _follows(self, before: Record | None, after: Record | None) -> None:
        assert after is not None
        was = before.state if before else None
        # A message that waits gets another time, and one that was cancelled another reason.
        is_news = was is after.state and was in (State.QUEUED, State.CANCELLED)
        assert is_news or after.state in TRANSITIONS[was]

    @invariant()
    def record_knows_what_is_known(self) -> None:
        if self.before:
            assert self.before.unsettled is self.unsettled
            assert self.before.possibly_duplicated is self.duplicated
            assert self.before.attempts - _counted(self.before) == self.posts
            assert (self.before.lease_until > 0) is (self.before.state is State.SENDING)
            assert self.before.expected_at is None or self.before.state is State.QUEUED
            assert self.before.request_hash or self.before.state is State.CANCELLED

    def _claim(self, worker: str, restart: str | None, is_repeated: bool) -> None:
        before = self.before
        is_lapsed = bool(before and before.state is State.SENDING and before.lease_until <= self.clock())
        claim: Claim = self._call(lambda: self.store.claim(self.request, restart=restart), is_repeated)
        assert claim.record == recorded(self.store, self.request)
        if is_lapsed:
            # Its worker may have posted it.
            self.unsettled = True
            self.posts += 1
        if not claim.is_held:
            # What waits is had by whoever asks
            assert before is not None
            assert before.state not in WAITING
            assert claim.has_ended is (is_lapsed and self.delivery == "at-most-once")
            self.is_over |= claim.has_ended
            return
        assert not self.is_over
        assert before is None or is_lapsed or before.state in WAITING or before.state.can_restart
        assert claim.record.lease_until == self.clock() + LEASE
        assert claim.record.owner not in self.owners
        if before and before.state.can_restart:
            assert restart == before.owner
            self.is_restart = True
            self.posts = 0
        self.duplicated = self.unsettled
        self.owners.append(claim.record.owner)
        self.claims[worker] = claim.record

    def _call(self, call: Any, is_repeated: bool) -> Any:
        if not is_repeated:
            return call()
        with answer_lost(self.dynamodb):
            return call()


def _counted(record: Record) -> int:
    return 1 if record.state is State.SENDING else 0


@pytest.mark.parametrize("delivery", ["at-least-once", "at-most-once"])
def test_no_order_of_events_breaks_a_record(dynamodb: DynamoDBClient, delivery: str) -> None:
    class Delivered(Machine):
        pass

    Delivered.dynamodb, Delivered.delivery = dynamodb, delivery
    run_state_machine_as_test(
        Delivered,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
        ),
    )
