"""What the API replies of messages that have a record, and of records that cannot be had."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cube_sms.api.replies import reply_to_cancellation, reply_to_outcome, reply_to_record
from cube_sms.delivery.errors import RequestConflictError
from cube_sms.delivery.outcome import Outcome
from cube_sms.delivery.records import Record
from cube_sms.delivery.states import State
from cube_sms.platform import reply_to_error
from cube_sms.platform.errors import RecordsUnavailableError
from cube_sms.provider.base import CubeAnswer
from tests.unit.problems import (
    ICCID,
    IDENTITY,
    NOW,
    REQUEST,
    SECRET_NAME,
    assert_problem,
    assert_tells_nothing_sensitive,
)


def recorded(state: State, **fields: Any) -> Record:
    times = {"created_at": "2027-01-15T08:00:00.000Z", "updated_at": "2027-01-15T08:00:01.000Z"}
    identity = {"message_id": "fleet-2#order-1", "request_hash": "b1946ac9", "device_id": ICCID, "owner": "9a0364b9"}
    return Record(**{"state": state, "attempts": 2, **times, **identity, **fields})


def test_records_that_cannot_be_had_are_503_without_the_reason() -> None:
    # Given a table that is unavailable before the POST, and one that is unavailable for a record to be shown
    error = RecordsUnavailableError(f"ResourceNotFoundException: {SECRET_NAME}")
    for reply in (reply_to_outcome(REQUEST, Outcome(state=State.RETRYING, error=error), NOW), reply_to_error(error)):
        assert_problem(reply, 503)
        assert int(reply.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.SENT, 200),
        (State.EXPIRED, 400),
        (State.CANCELLED, 409),
        (State.REJECTED, 422),
        (State.FAILED, 503),
        (State.UNKNOWN, 504),
    ],
)
def test_message_that_was_dealt_with_before_is_answered_from_its_record(state: State, status: int) -> None:
    record = recorded(state, possibly_duplicated=True, code="1007", message="device unknown", reason="HTTP 400")
    reply = reply_to_outcome(REQUEST, Outcome(state=state, record=record, is_from_record=True), NOW)
    told = {"state": state, "code": "1007", "message": "device unknown", "attempts": 2, "possiblyDuplicated": True}
    assert reply.body.items() >= {**IDENTITY, **told}.items()
    assert "Retry-After" not in reply.headers
    if status == 200:
        assert (reply.status, reply.content_type) == (200, "application/json")
        assert_tells_nothing_sensitive(reply)
    else:
        assert_problem(reply, status)


@pytest.mark.parametrize(("left", "told"), [(30.0, "30"), (0.2, "1"), (1.2, "2"), (-5.0, "1")])
def test_message_that_another_worker_has_is_409_until_its_lease_is_over(left: float, told: str) -> None:
    record = recorded(State.SENDING, lease_until=NOW + left)
    reply = reply_to_outcome(REQUEST, Outcome(state=State.SENDING, record=record, is_from_record=True), NOW)
    assert_problem(reply, 409)
    assert reply.headers == {"Retry-After": told}


def test_message_whose_outcome_could_not_be_recorded_is_504() -> None:
    posts = (CubeAnswer("0000", "success", 0.2),)
    error = RecordsUnavailableError(SECRET_NAME)
    outcome = Outcome(state=State.SENDING, record=recorded(State.SENDING), posts=posts, error=error)
    assert_problem(reply_to_outcome(REQUEST, outcome, NOW), 504)


def test_id_of_another_request_is_409() -> None:
    reply = reply_to_error(RequestConflictError("order-1"))
    assert_problem(reply, 409)
    assert reply.body["requestId"] == "order-1"
    assert "Retry-After" not in reply.headers


def test_record_is_shown_with_all_that_is_known_but_what_is_internal() -> None:
    record = recorded(State.REJECTED, code="1007", message="device unknown", reason="HTTP 400", unsettled=True)
    reply = reply_to_record(record)
    assert (reply.status, reply.content_type, reply.headers) == (200, "application/json", {})
    assert json.loads(json.dumps(reply.body)) == {
        **IDENTITY,
        "deviceId": ICCID,
        "state": "REJECTED",
        "attempts": 2,
        "possiblyDuplicated": False,
        "code": "1007",
        "message": "device unknown",
        "reason": "HTTP 400",
        "jobId": None,
        "createdAt": "2027-01-15T08:00:00.000Z",
        "updatedAt": "2027-01-15T08:00:01.000Z",
    }


@pytest.mark.parametrize("expected_at", [None, "2027-01-16T00:00:00.000Z"])
def test_record_of_a_message_that_waits_is_shown_with_what_is_expected(expected_at: str | None) -> None:
    reply = reply_to_record(recorded(State.QUEUED, attempts=0, expected_at=expected_at))
    assert (reply.status, reply.body["state"], reply.body["expectedAt"]) == (200, "QUEUED", expected_at)


def test_message_that_is_cancelled_is_shown_to_whoever_cancels_it() -> None:
    record = recorded(State.CANCELLED, device_id=None, request_hash=None, reason="cancelled")
    assert reply_to_cancellation(record, NOW) == reply_to_record(record)
    assert "expectedAt" not in reply_to_record(record).body


@pytest.mark.parametrize("state", [state for state in State if state is not State.CANCELLED])
def test_message_that_is_not_cancelled_is_409_with_its_state(state: State) -> None:
    reply = reply_to_cancellation(recorded(state, lease_until=NOW + 12.3), NOW)
    assert_problem(reply, 409)
    assert (reply.body["title"], reply.body["requestId"], reply.body["state"]) == ("Too late", "order-1", state)
    # And when it is worth another try, unless it has ended
    assert reply.headers == ({} if state.is_final else {"Retry-After": "13"})
