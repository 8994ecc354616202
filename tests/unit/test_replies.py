"""What the API replies: status, headers, media type and members for everything a request can come to."""

from __future__ import annotations

import json
from urllib.parse import unquote, urljoin

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from cube_sms.api.replies import prefers_async, reply_to_outcome, reply_to_queued
from cube_sms.delivery.outcome import Outcome
from cube_sms.delivery.states import State
from cube_sms.pacing.errors import GateClosedError, NoSlotError, NotNowError
from cube_sms.platform import Reply, problem, reply_to_error
from cube_sms.platform.errors import Fault
from cube_sms.provider.base import (
    CredentialsError,
    CubeAnswer,
    CubeAuthenticationError,
    CubeError,
    CubeOutcomeUnknown,
    CubeRejected,
    CubeThrottled,
    CubeUnavailable,
)
from cube_sms.request.errors import InvalidRequestError
from cube_sms.request.parsing import parse_send_request
from tests.unit.problems import (
    CONTENT,
    ICCID,
    IDENTITY,
    NOW,
    REQUEST,
    SECRET_NAME,
    assert_problem,
    assert_tells_nothing_sensitive,
)


def failed(error: CubeError | CredentialsError, state: State = State.RETRYING) -> Reply:
    posts = (error,) if isinstance(error, CubeError) else ()
    return reply_to_outcome(REQUEST, Outcome(state=state, posts=posts, error=error), NOW)


def test_sent_message_is_200_with_its_state_and_cubes_answer() -> None:
    reply = reply_to_outcome(REQUEST, Outcome(state=State.SENT, posts=(CubeAnswer("0000", "success", 0.2),)), NOW)

    assert reply.status == 200
    assert reply.content_type == "application/json"
    assert json.loads(json.dumps(reply.body)) == {**IDENTITY, "state": "SENT", "code": "0000", "message": "success"}
    assert reply.headers == {}
    assert_tells_nothing_sensitive(reply)


def test_message_sent_with_the_second_credentials_is_200_with_the_last_answer() -> None:
    posts = (CubeAuthenticationError("HTTP 401", status=401, code="9401"), CubeAnswer("0000", "success", 0.2))
    reply = reply_to_outcome(REQUEST, Outcome(state=State.SENT, posts=posts), NOW)
    assert reply.status == 200
    assert reply.body["code"] == "0000"


def test_expired_message_is_400() -> None:
    reply = reply_to_outcome(REQUEST, Outcome(state=State.EXPIRED), NOW)
    assert_problem(reply, 400)
    assert reply.body["state"] == "EXPIRED"
    assert reply.body["requestId"] == "order-1"
    assert "expiresAt" in reply.body["detail"]
    assert "Retry-After" not in reply.headers


def test_rejected_message_is_422_with_cubes_code_and_message() -> None:
    reply = failed(CubeRejected("HTTP 400", status=400, code="1007", message="device unknown"), State.REJECTED)
    assert_problem(reply, 422)
    assert reply.body.items() >= {**IDENTITY, "state": "REJECTED", "code": "1007", "message": "device unknown"}.items()
    assert "Retry-After" not in reply.headers


def test_rejection_without_an_envelope_has_no_code() -> None:
    reply = failed(CubeRejected("HTTP 400", status=400), State.REJECTED)
    assert_problem(reply, 422)
    assert not reply.body.keys() & {"code", "message"}


@pytest.mark.parametrize(
    ("error", "status"), [(CubeThrottled("HTTP 429", status=429), 429), (CubeUnavailable("no connection"), 503)]
)
def test_message_that_can_be_sent_later_has_a_time_to_wait(error: CubeError, status: int) -> None:
    # Given no wish of the provider's, then the wait is some seconds
    reply = failed(error)
    assert_problem(reply, status)
    assert int(reply.headers["Retry-After"]) > 0
    assert reply.body["state"] == "RETRYING"

    # Given one, then it is that, in whole seconds and never less
    for asked, told in ((0.0, "0"), (0.2, "1"), (30.0, "30"), (30.01, "31"), (86_400.0, "86400")):
        error.retry_after = asked
        assert failed(error).headers == {"Retry-After": told}


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_502(status: int) -> None:
    reply = failed(CubeAuthenticationError(f"HTTP {status}", status=status, code="9401"))
    assert_problem(reply, 502)
    assert reply.body["code"] == "9401"


@pytest.mark.parametrize("state", [State.RETRYING, State.UNKNOWN])
def test_unknown_outcome_is_504_and_says_that_the_message_may_have_been_sent(state: State) -> None:
    reply = failed(CubeOutcomeUnknown("read timeout"), state)
    assert_problem(reply, 504)
    assert reply.body["state"] == state
    assert "may have been sent" in reply.body["detail"]
    assert "Retry-After" not in reply.headers


def test_credentials_that_cannot_be_had_are_503_without_the_reason() -> None:
    reply = failed(CredentialsError(f"secret {SECRET_NAME} cannot be fetched: AccessDeniedException"))
    assert_problem(reply, 503)
    assert "AccessDenied" not in json.dumps(reply.body)
    assert int(reply.headers["Retry-After"]) > 0


@pytest.mark.parametrize(("account", "query"), [("default", ""), ("fleet-2", "?account=fleet-2")])
def test_queued_message_is_202_with_where_to_ask_for_it(account: str, query: str) -> None:
    body = {"requestId": "a.b:c-1", "account": account, "deviceId": ICCID, "content": CONTENT}
    reply = reply_to_queued(parse_send_request(json.dumps(body).encode()), "/messages")

    assert reply.status == 202
    assert reply.content_type == "application/json"
    assert reply.headers["Location"] == f"messages/a.b:c-1{query}"
    assert reply.headers["Preference-Applied"] == "respond-async"
    assert reply.body == {"requestId": "a.b:c-1", "account": account}


@given(
    st.sampled_from(["", "/prod", "/v1", "/sms", "/sms/prod", "/restapis/a1b2c3/v1/_user_request_", "/a:b"]),
    st.sampled_from(["", "/"]),
    st.from_regex(r"[A-Za-z0-9._:-]{1,128}", fullmatch=True) | st.sampled_from([".", "..", "...", ":", "a:b", "-"]),
)
def test_location_is_found_from_the_url_that_was_called(base: str, end: str, request_id: str) -> None:
    # Given a call under a stage, or under the base path of a custom domain, of which the function may not know
    url = f"https://sms.example.com{base}/messages{end}"
    body = {"requestId": request_id, "deviceId": ICCID, "content": CONTENT}
    reply = reply_to_queued(parse_send_request(json.dumps(body).encode()), f"/messages{end}")

    # When the answer's Location is resolved as any client does
    found = urljoin(url, reply.headers["Location"])

    # Then it is the message's own address, below the one that was called
    assert unquote(found) == f"https://sms.example.com{base}/messages/{request_id}"


def test_invalid_request_is_400_with_every_fault() -> None:
    faults = [Fault("deviceId", "is required"), Fault("smsContentList[0].smsNum", "holds a control character")]
    reply = reply_to_error(InvalidRequestError(faults, "order-1"))

    assert_problem(reply, 400)
    assert reply.body["errors"] == [{"path": fault.path, "message": fault.message} for fault in faults]
    assert all(str(fault) in reply.body["detail"] for fault in faults)


def test_of_faults_by_the_thousand_twenty_are_told_and_how_many_more_there_are() -> None:
    faults = [Fault(f"x{number:05d}", "is not a field of a send request") for number in range(60_000)]
    reply = reply_to_error(InvalidRequestError(faults))

    assert_problem(reply, 400)
    assert [error["path"] for error in reply.body["errors"]] == [f"x{number:05d}" for number in range(20)]
    assert reply.body["moreErrors"] == 59_980
    assert reply.body["detail"].startswith("60000 faults, the first 20: x00000: is not")
    assert len(json.dumps(reply.body)) < 10_000


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (NoSlotError(NOW + 12.3), 429, "all slots are busy"),
        (GateClosedError("quota", NOW + 12.3), 429, "the day's quota is used up"),
        (GateClosedError("throttled", NOW + 12.3), 429, "Cube has throttled queries"),
        (GateClosedError("unavailable", NOW + 12.3), 503, "Cube is unavailable"),
        (GateClosedError("probing", NOW + 12.3), 503, "another message is probing whether Cube works again"),
    ],
)
def test_message_that_cannot_be_sent_now_is_told_why_and_what_to_do(error: NotNowError, status: int, says: str) -> None:
    reply = reply_to_outcome(REQUEST, Outcome(state=State.RETRYING, error=error), NOW)

    assert_problem(reply, status)
    assert reply.headers == {"Retry-After": "13"}
    assert reply.body["detail"].startswith(f"not sent: {says}")
    assert "Retry-After" in reply.body["detail"]
    assert "Prefer: respond-async" in reply.body["detail"]
    # A slot that is too far is no gate that is closed
    assert "gate" not in reply.body["detail"]


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ThrottlingException", "Message": SECRET_NAME}}, "SendMessage"),
        EndpointConnectionError(endpoint_url=f"https://{SECRET_NAME}"),
    ],
)
def test_aws_in_the_way_is_503_with_a_time_to_wait(error: Exception) -> None:
    reply = reply_to_error(error)
    assert_problem(reply, 503)
    assert int(reply.headers["Retry-After"]) > 0


@pytest.mark.parametrize("error", [ValueError(CONTENT), KeyError(ICCID)])
def test_of_any_other_error_nothing_is_told(error: Exception) -> None:
    reply = reply_to_error(error)
    assert_problem(reply, 500)
    assert type(error).__name__ not in json.dumps(reply.body)


def test_problem_leaves_members_out_that_are_not_known() -> None:
    reply = problem(418, "Teapot", "short and stout", code=None, state="", attempts=0)
    known = {"state": "", "attempts": 0}
    assert reply.body == {"title": "Teapot", "status": 418, "detail": "short and stout", **known}


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("respond-async", True),
        ("Respond-Async", True),
        ("respond-async, wait=10", True),
        ("wait=10,respond-async", True),
        (" respond-async ; foo=bar ", True),
        ("return=minimal, handling=lenient", False),
        ("respond-async-not", False),
        ("not-respond-async", False),
        ('foo="respond-async"', False),
        ('foo=", respond-async,"', False),
        ('foo="\\", respond-async,"', False),
        ('foo=", a", respond-async', True),
        ("respond", False),
        ("", False),
        (None, False),
    ],
)
def test_preference_for_an_answer_before_the_sending(prefer: str | None, expected: bool) -> None:
    assert prefers_async(prefer) is expected
