"""What the stream tells: each end of a message once, whatever else happens to its record."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cube_sms.delivery.records import RecordStore
from cube_sms.delivery.states import State
from cube_sms.outcomes.events import Ended, read_end
from cube_sms.pacing.gate import Gate
from cube_sms.pacing.gate_item import GATE_KEY
from tests.streams import passes, template_filters
from tests.support import DEVICE, Clock
from tests.unit.changes import Changes
from tests.unit.records_table import ENDS, FINAL, LEASE, RETENTION, TABLE, in_state, new_request

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.streams import Change

FILTERS = template_filters()
CONTENT = "Your PIN is Kx4711q"
MEMBERS = {
    "eventId",
    "messageId",
    "requestId",
    "account",
    "deviceId",
    "state",
    "attempts",
    "possiblyDuplicated",
    "code",
    "message",
    "reason",
    "jobId",
    "createdAt",
    "updatedAt",
}


@pytest.fixture
def changes(dynamodb: DynamoDBClient) -> Changes:
    return Changes(dynamodb)


def told(changes: list[Change]) -> list[Ended]:
    """Return what changes tell, when Lambda has left out what the mapping's filters do not let through."""
    filtered_out = [change for change in changes if not passes(FILTERS, change)]
    assert [read_end(change) for change in filtered_out] == [None] * len(filtered_out)
    return [ended for change in changes if passes(FILTERS, change) and (ended := read_end(change))]


def news(changes: list[Change]) -> list[dict[str, Any]]:
    """Return the details of the events that changes give."""
    return [ended.detail for ended in told(changes) if ended.is_news]


class TestEnd:
    @pytest.mark.parametrize("state", ENDS)
    def test_of_a_message_is_one_event(self, store: RecordStore, clock: Clock, changes: Changes, state: State) -> None:
        # Given a message that was tried once in vain
        request = new_request(account="fleet")
        in_state(store, request, State.RETRYING)
        assert told(changes.new()) == []
        # When it ends
        claimed = store.claim(request).record
        clock.now += 1.5
        store.finish(claimed, state, code="7001", message="no", reason="HTTP 400")
        # Then one event tells all there is to tell
        (ended,) = told(changes.new())
        event_id = ended.detail.pop("eventId")
        assert (ended.outcome, ended.detail_type, ended.is_news) == (state.title(), f"SMS {state.title()}", True)
        assert str(UUID(event_id)) == event_id
        assert ended.detail == {
            "messageId": f"fleet#{request.request_id}",
            "requestId": request.request_id,
            "account": "fleet",
            "deviceId": DEVICE,
            "state": state,
            "attempts": 2,
            "possiblyDuplicated": False,
            "code": "7001",
            "message": "no",
            "reason": "HTTP 400",
            "jobId": None,
            "createdAt": "2027-01-15T08:00:00.000Z",
            "updatedAt": "2027-01-15T08:00:01.500Z",
        }

    def test_of_a_message_that_may_have_been_sent_twice_says_so(
        self, store: RecordStore, clock: Clock, changes: Changes
    ) -> None:
        request = new_request()
        store.claim(request)
        clock.now += LEASE
        store.finish(store.claim(request).record, State.SENT)
        assert [detail["possiblyDuplicated"] for detail in news(changes.new())] == [True]

    def test_that_another_worker_finds_is_one_event(self, store: RecordStore, clock: Clock, changes: Changes) -> None:
        # Given a worker that died, and a message that may not be sent again
        request = new_request(delivery="at-most-once")
        late = store.claim(request).record
        clock.now += LEASE
        # When another one finds it, and the first was only late
        store.claim(request)
        store.finish(late, State.SENT)
        store.claim(request)
        # Then
        assert [detail["state"] for detail in news(changes.new())] == ["UNKNOWN"]

    def test_of_a_message_that_nobody_has_seen_is_told_without_its_device(
        self, store: RecordStore, changes: Changes
    ) -> None:
        # When it is cancelled while it is on the queue
        store.cancel("fleet#order-unseen", reason="wrong text")
        # Then
        (ended,) = told(changes.new())
        detail = ended.detail
        assert (ended.outcome, ended.detail_type, ended.is_news) == ("Cancelled", "SMS Cancelled", True)
        assert (detail["account"], detail["requestId"], detail["deviceId"]) == ("fleet", "order-unseen", None)
        assert (detail["state"], detail["attempts"], detail["reason"]) == ("CANCELLED", 0, "wrong text")

    def test_of_a_message_that_was_cancelled_and_started_over_is_another_event(
        self, store: RecordStore, changes: Changes
    ) -> None:
        request = new_request()
        cancelled = in_state(store, request, State.CANCELLED)
        store.finish(store.claim(request, restart=cancelled.owner).record, State.SENT)
        first, second = news(changes.new())
        assert [first["state"], second["state"]] == ["CANCELLED", "SENT"]
        assert first["eventId"] != second["eventId"]

    def test_of_a_message_that_is_cancelled_twice_is_one_event(self, store: RecordStore, changes: Changes) -> None:
        # Given that a task waits, and another one asks in between
        request = new_request(taskToken="one")
        in_state(store, request, State.CANCELLED)
        store.cancel(request.message_id, overrides=True)
        store.claim(new_request(requestId=request.request_id, taskToken="two"))
        store.cancel(request.message_id, overrides=True)
        # Then
        found = told(changes.new())
        assert [ended.is_news for ended in found] == [True, False, False, False]
        assert [sorted(ended.task_tokens) for ended in found] == [["one"], [], ["two"], []]

    def test_shows_nothing_that_is_nobodys_business(self, store: RecordStore, changes: Changes) -> None:
        # Given
        request = new_request(content=CONTENT, taskToken="the-token-of-a-task")
        record = in_state(store, request, State.SENT)
        # When
        (ended,) = told(changes.new())
        # Then neither the detail nor what Python prints of it
        assert ended.detail.keys() == MEMBERS
        assert ended.task_tokens == {"the-token-of-a-task"}
        for text in (json.dumps(ended.detail), repr(ended)):
            assert not [
                hidden
                for hidden in (CONTENT, "Kx4711q", "the-token", record.owner, str(record.request_hash))
                if hidden in text
            ]


class TestEventId:
    def test_is_the_same_whenever_the_record_is_read(self, store: RecordStore, changes: Changes) -> None:
        in_state(store, new_request(), State.SENT)
        (*_, change) = changes.new()
        assert news([change]) == news([json.loads(json.dumps(change))])

    def test_is_another_one_for_each_end(self, store: RecordStore, changes: Changes) -> None:
        # Given a message that fails, is put back, fails once more, is rejected, and sent in the end
        request = new_request()
        first = in_state(store, request, State.FAILED)
        second = store.finish(store.claim(request, restart=first.owner).record, State.FAILED)
        third = store.finish(store.claim(request, restart=second.owner).record, State.REJECTED)
        store.finish(store.claim(request, restart=third.owner).record, State.SENT)
        # And another message of the same worker
        in_state(store, new_request(), State.SENT)
        # Then
        details = news(changes.new())
        assert [detail["state"] for detail in details] == ["FAILED", "FAILED", "REJECTED", "SENT", "SENT"]
        assert len({detail["eventId"] for detail in details}) == 5

    def test_is_another_one_where_the_record_had_been_forgotten(
        self, store: RecordStore, dynamodb: DynamoDBClient, changes: Changes
    ) -> None:
        request = new_request()
        in_state(store, request, State.SENT)
        dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": request.message_id}})
        in_state(store, request, State.SENT)
        assert len({detail["eventId"] for detail in news(changes.new())}) == 2


class TestNoEvent:
    def test_of_a_claim_or_a_message_that_is_tried_again(
        self, store: RecordStore, clock: Clock, changes: Changes
    ) -> None:
        request = new_request()
        in_state(store, request, State.RETRYING)
        store.claim(request)
        clock.now += LEASE
        store.claim(request)
        written = changes.new()
        assert len(written) == 4
        assert told(written) == []

    def test_of_a_duplicate(self, store: RecordStore, changes: Changes) -> None:
        request = new_request()
        in_state(store, request, State.SENT)
        changes.new()
        store.claim(request)
        assert changes.new() == []

    def test_of_a_record_that_is_deleted(self, store: RecordStore, dynamodb: DynamoDBClient, changes: Changes) -> None:
        requests = [new_request() for _ in FINAL]
        for request, state in zip(requests, FINAL, strict=True):
            in_state(store, request, state)
        store.refuse("order-1", "token", reason="Conflict", detail="differs")
        changes.new()
        # When DynamoDB deletes what is too old
        for key in ("#refused#order-1", *(request.message_id for request in requests)):
            dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": key}})
        # Then
        removed = changes.new()
        assert [change["eventName"] for change in removed] == ["REMOVE"] * (len(FINAL) + 1)
        assert told(removed) == []

    def test_of_the_gate(self, dynamodb: DynamoDBClient, changes: Changes) -> None:
        gate = Gate(dynamodb, TABLE, qps=10, quota=5000, longest_post=13.0)
        gate.take(latest=math.inf)
        gate.take(latest=math.inf)
        written = changes.new()
        assert {change["dynamodb"]["Keys"]["messageId"]["S"] for change in written} == {GATE_KEY}
        assert told(written) == []

    def test_of_what_else_is_written_to_a_record_that_has_ended(
        self, store: RecordStore, dynamodb: DynamoDBClient, changes: Changes
    ) -> None:
        request = new_request()
        in_state(store, request, State.SENT)
        changes.new()
        dynamodb.update_item(
            TableName=TABLE,
            Key={"messageId": {"S": request.message_id}},
            UpdateExpression="SET #ttl = :ttl",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={":ttl": {"N": "1"}},
        )
        (ended,) = told(changes.new())
        assert (ended.is_news, ended.task_tokens) == (False, frozenset())


class TestTask:
    @pytest.mark.parametrize("state", FINAL)
    def test_is_told_when_its_message_ends(self, store: RecordStore, changes: Changes, state: State) -> None:
        in_state(store, new_request(taskToken="one"), state)
        (ended,) = told(changes.new())
        assert (ended.is_news, ended.task_tokens) == (True, frozenset({"one"}))

    @pytest.mark.parametrize("state", FINAL)
    def test_that_asks_later_is_told_alone(self, store: RecordStore, changes: Changes, state: State) -> None:
        # Given a message that has ended, and its event
        request = new_request(taskToken="one")
        in_state(store, request, state)
        (event,) = told(changes.new())
        # When another task asks about it, and asks again
        for _ in range(2):
            store.claim(new_request(requestId=request.request_id, taskToken="two"))
        # Then it learns what the first one did, and nothing new has happened
        (later,) = told(changes.new())
        assert (later.is_news, later.task_tokens) == (False, frozenset({"two"}))
        assert (later.outcome, later.detail) == (event.outcome, event.detail)

    def test_of_earlier_tries_are_told_with_the_last(self, store: RecordStore, changes: Changes) -> None:
        # Given a workflow that asks again after a while
        request = new_request(taskToken="one")
        in_state(store, request, State.RETRYING)
        in_state(store, new_request(requestId=request.request_id, taskToken="two"), State.SENT)
        assert [ended.task_tokens for ended in told(changes.new())] == [{"one", "two"}]

    @pytest.mark.parametrize("account", ["default", "fleet"])
    def test_whose_request_is_refused_is_told_why(self, store: RecordStore, changes: Changes, account: str) -> None:
        # Given a message that has the id of another one
        in_state(store, new_request(requestId=f"order-{account}", account=account), State.SENT)
        changes.new()
        # When two such are refused
        store.refuse(f"order-{account}", "one", reason="Conflict", detail="differs")
        store.refuse(f"order-{account}", "two", reason="InvalidRequest", detail="deviceId: is required")
        # Then each task learns of its own, and nobody else of anything
        one, two = told(changes.new())
        assert (one.outcome, one.is_news, one.task_tokens) == ("Conflict", False, frozenset({"one"}))
        assert (two.outcome, two.is_news, two.task_tokens) == ("InvalidRequest", False, frozenset({"two"}))
        assert one.detail == {"requestId": f"order-{account}", "reason": "Conflict", "detail": "differs"}
        assert "task_tokens" not in repr(one)


# What may happen to a message, in any order.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), st.sampled_from(["", "one", "two", "three"])),
        st.tuples(st.just("finish"), st.sampled_from([State.RETRYING, *ENDS])),
        st.tuples(st.just("queue"), st.sampled_from(["", "one", "five"])),
        st.tuples(st.just("cancel"), st.none()),
        st.tuples(st.just("lapse"), st.none()),
        st.tuples(st.just("restart"), st.sampled_from(["", "one", "four"])),
    ),
    max_size=12,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.sampled_from(["at-least-once", "at-most-once"]))
def test_every_end_is_told_once_whatever_happens(
    dynamodb: DynamoDBClient, changes: Changes, steps: list[tuple[str, Any]], delivery: str
) -> None:
    clock = Clock()
    store = RecordStore(dynamodb, TABLE, lease=LEASE, retention=RETENTION, clock=clock)
    request = new_request(delivery=delivery)
    held, ends, tokens = None, [], set()
    for step, argument in steps:
        record = store.get(request.message_id)
        if step == "lapse":
            clock.now += LEASE
        elif step == "finish" and held:
            after = store.finish(held, argument)
            if after.state.is_final and record and record.owner == held.owner and record.state is State.SENDING:
                ends.append((after.state, after.owner))
        elif step == "cancel":
            cancelled = store.cancel(request.message_id)
            ends += [(cancelled.record.state, cancelled.record.owner)] if cancelled.has_ended else []
        elif step == "queue":
            store.note_queued(new_request(requestId=request.request_id, delivery=delivery, **_token(argument)))
            tokens |= {argument} - {""} if record is None else set()
        elif step in ("claim", "restart"):
            asked = new_request(requestId=request.request_id, delivery=delivery, **_token(argument))
            owner = record.owner if record and step == "restart" else None
            claim = store.claim(asked, restart=owner)
            held = claim.record if claim.is_held else held
            if claim.has_ended:
                ends.append((claim.record.state, claim.record.owner))
            tokens |= {argument} - {""} if claim.is_held or claim.record.state.is_final else set()
    # Then
    found = told(changes.new())
    events = [ended.detail for ended in found if ended.is_news]
    assert [detail["state"] for detail in events] == [state for state, _ in ends]
    assert len({detail["eventId"] for detail in events}) == len(ends)
    # And once a message has ended, every task that waits for it has been told
    last = store.get(request.message_id)
    if last and last.state.is_final:
        assert {token for ended in found for token in ended.task_tokens} == tokens


def _token(token: str) -> dict[str, str]:
    return {"taskToken": token} if token else {}
