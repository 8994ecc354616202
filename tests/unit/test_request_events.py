"""Requests in envelopes: what is in one is what would have come without it, and all else is nothing special."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cube_sms.request.envelopes import DETAIL_TYPE, unwrap
from cube_sms.request.errors import InvalidRequestError
from cube_sms.request.models import SendRequest
from cube_sms.request.parsing import parse_send_request
from tests.support import DEVICE

EVENT_ID = "6a7e8feb-b491-4cf7-a9f1-bf3703467718"
NOTIFICATION_ID = "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324"
MARK = b"\xef\xbb\xbf"
REQUEST = {"deviceId": DEVICE, "content": "Wake up"}


def event(detail: Any, **members: Any) -> dict[str, Any]:
    """Return an event as EventBridge puts it onto a queue; a member given as None is left out."""
    given = {
        "version": "0",
        "id": EVENT_ID,
        "detail-type": DETAIL_TYPE,
        "source": "orders",
        "account": "123456789012",
        "time": "2027-01-31T12:00:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": detail,
    }
    given |= {name.replace("_", "-"): value for name, value in members.items()}
    return {name: value for name, value in given.items() if value is not None}


def notification(message: str, **members: Any) -> dict[str, Any]:
    """Return a notification as SNS puts it onto a queue, raw delivery off; a member given as None is left out."""
    given = {
        "Type": "Notification",
        "MessageId": NOTIFICATION_ID,
        "TopicArn": "arn:aws:sns:eu-central-1:123456789012:alerts",
        "Subject": "Freezer 7",
        "Message": message,
        "Timestamp": "2026-01-12T10:00:00.000Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLE==",
        "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/x.pem",
        "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe",
        "MessageAttributes": {"requestId": {"Type": "String", "Value": "order-1"}},
    }
    given |= members
    return {name: value for name, value in given.items() if value is not None}


def encode(value: Any, *, escaped: bool = False) -> bytes:
    return json.dumps(value, ensure_ascii=escaped).encode()


def outcome(body: bytes) -> SendRequest | str:
    try:
        return parse_send_request(body)
    except InvalidRequestError as error:
        return str(error)


characters = st.characters(exclude_categories=["Cs", "Cc"])
requests = st.fixed_dictionaries(
    {"deviceId": st.from_regex(r"[0-9A-Za-z]{1,64}", fullmatch=True)},
    optional={
        "requestId": st.from_regex(r"[A-Za-z0-9._:-]{1,128}", fullmatch=True),
        "account": st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True),
        "expiresAt": st.datetimes(timezones=st.timezones()).map(lambda time: time.isoformat()),
        "delivery": st.sampled_from(["at-least-once", "at-most-once"]),
        "taskToken": st.text(characters, min_size=1, max_size=40),
    },
).flatmap(
    lambda given: st.one_of(
        st.text(characters, min_size=1, max_size=140).map(lambda text: given | {"content": text}),
        st.binary(min_size=1, max_size=140).map(lambda raw: given | {"content": raw.hex(), "messageType": "Binary"}),
        st.lists(st.text(characters, min_size=1, max_size=20), min_size=1, max_size=10).map(
            lambda texts: given | {"smsContentList": [{"smsTemplateContent": text, "smsType": ""} for text in texts]}
        ),
    )
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=12), st.just(DETAIL_TYPE)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["id", "detail", "detail-type", "deviceId", "content"]), inner, max_size=4),
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(requests, st.booleans())
def test_any_request_is_the_same_in_an_event(given: dict[str, Any], escaped: bool) -> None:
    plain = encode(given, escaped=escaped)
    body, event_id = unwrap(encode(event(given), escaped=escaped))
    assert event_id == EVENT_ID
    assert outcome(body) == outcome(plain)
    # And a request that is none of an event stays what it is
    assert unwrap(plain) == (plain, None)


@settings(max_examples=150)
@given(anything)
def test_a_detail_that_is_no_request_has_the_faults_it_would_have_alone(detail: Any) -> None:
    body, event_id = unwrap(encode(event(detail) | {"detail": detail}))
    assert event_id == EVENT_ID
    assert json.loads(body) == detail
    assert outcome(body) == outcome(encode(detail))


@settings(max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=80),
        st.binary(max_size=40).map(lambda noise: noise + b'"detail-type"' + noise),
        st.binary(max_size=40).map(lambda noise: noise + b'"TopicArn"' + noise),
        anything.map(lambda value: encode({**notification("{}"), "Message": value})),
        st.text(max_size=20).map(lambda text: encode(notification(text, MessageId=text))),
        anything.map(encode),
        st.builds(
            lambda at, byte: encode(event(REQUEST))[:at] + byte + encode(event(REQUEST))[at + 1 :],
            st.integers(0, len(encode(event(REQUEST)))),
            st.binary(max_size=2),
        ),
    )
)
def test_garbage_is_a_request_or_faults_and_nothing_else(body: bytes) -> None:
    request, event_id = unwrap(body)
    assert isinstance(outcome(request), SendRequest | str)
    if event_id is None:
        assert request == body.removeprefix(MARK)
    else:
        # What becomes the id of a request is one that a caller could have given
        assert parse_send_request(encode(REQUEST | {"requestId": event_id})).request_id == event_id


def test_own_id_comes_before_that_of_the_event() -> None:
    body, event_id = unwrap(encode(event(REQUEST | {"requestId": "order-1"})))
    assert parse_send_request(body).identified(str(event_id)).request_id == "order-1"
    body, event_id = unwrap(encode(event(REQUEST)))
    assert parse_send_request(body).identified(str(event_id)).request_id == EVENT_ID


@pytest.mark.parametrize(
    "members",
    [
        {"detail_type": "Order Placed"},
        {"detail_type": "sms requested"},
        {"detail_type": None},
        {"detail_type": [DETAIL_TYPE]},
        {"id": None},
        {"id": 7},
    ],
    ids=str,
)
def test_what_is_no_such_event_stays_as_it_is(members: dict[str, Any]) -> None:
    body = encode(event(REQUEST, **members))
    assert unwrap(body) == (body, None)
    assert "detail: is not a field" in str(outcome(body))


def test_an_event_without_a_detail_stays_as_it_is() -> None:
    members = event(REQUEST)
    del members["detail"]
    assert unwrap(encode(members)) == (encode(members), None)


@pytest.mark.parametrize("event_id", ["", "#", "a#b", "../messages", "a b", "ä", "a\n", "x" * 129])
def test_an_id_that_no_request_may_have_makes_it_no_event(event_id: str) -> None:
    # Given an event that EventBridge has never seen
    body = encode(event(REQUEST, id=event_id))
    assert unwrap(body) == (body, None)
    assert isinstance(outcome(body), str)


def test_a_request_whose_content_speaks_of_events_is_a_request() -> None:
    body = encode(REQUEST | {"content": '{"id": "1", "detail-type": "SMS Requested", "detail": {}}'})
    assert unwrap(body) == (body, None)
    assert isinstance(outcome(body), SendRequest)


@pytest.mark.parametrize("depth", [200, 100_000])
def test_depth_is_no_danger(depth: int) -> None:
    body = encode(event("X")).replace(b'"X"', b"[" * depth + b"]" * depth)
    assert isinstance(outcome(unwrap(body)[0]), str)


@settings(max_examples=150)
@given(requests, st.booleans(), st.booleans(), st.sampled_from([None, "", "x"]))
def test_any_request_is_the_same_in_a_notification(
    given: dict[str, Any], is_escaped: bool, is_marked: bool, subject: str | None
) -> None:
    plain = encode(given, escaped=is_escaped)
    message = ("\ufeff" if is_marked else "") + plain.decode()
    body, own_id = unwrap(encode(notification(message, Subject=subject), escaped=is_escaped))
    assert own_id == NOTIFICATION_ID
    assert outcome(body) == outcome(plain)


def test_nothing_of_a_notification_but_its_message_and_id_counts() -> None:
    # Given one that says of itself what it likes
    lies = {"Signature": "?", "TopicArn": "arn:aws:sns:us-east-1:999999999999:other", "requestId": "a", "account": "b"}
    body, own_id = unwrap(encode(notification(json.dumps(REQUEST), **lies)))
    assert (json.loads(body), own_id) == (REQUEST, NOTIFICATION_ID)


def test_an_event_in_a_notification_is_the_event() -> None:
    # Given a rule with a topic for its target, which may deliver the event to the topic twice
    body, own_id = unwrap(encode(notification(json.dumps(event(REQUEST)))))
    assert (json.loads(body), own_id) == (REQUEST, EVENT_ID)


@pytest.mark.parametrize("message", ["Hello", "", "[]", "null", '{"deviceId": "?"}'])
def test_a_message_that_is_no_request_has_the_faults_it_would_have_alone(message: str) -> None:
    body, own_id = unwrap(encode(notification(message)))
    assert (body, own_id) == (message.encode(), NOTIFICATION_ID)
    assert outcome(body) == outcome(message.encode())


@pytest.mark.parametrize(
    "members",
    [
        {"Type": "SubscriptionConfirmation"},
        {"Type": None},
        {"MessageId": None},
        {"MessageId": "#refused"},
        {"MessageId": 7},
        {"TopicArn": None},
        {"Message": None},
        {"Message": {"deviceId": DEVICE, "content": "a"}},
    ],
    ids=str,
)
def test_what_is_no_such_notification_stays_as_it_is(members: dict[str, Any]) -> None:
    body = encode(notification(json.dumps(REQUEST), **members))
    assert unwrap(body) == (body, None)
    assert isinstance(outcome(body), str)


def test_a_byte_order_mark_before_an_envelope_is_ignored() -> None:
    for body in (encode(REQUEST), encode(event(REQUEST)), encode(notification(json.dumps(REQUEST)))):
        assert unwrap(MARK + body) == unwrap(body)


@pytest.mark.parametrize("text", ["Hi \ud83d", "\ude00"])
@pytest.mark.parametrize("is_escaped", [True, False])
def test_half_of_a_surrogate_pair_is_a_fault_of_the_request_and_not_of_its_envelope(
    text: str, is_escaped: bool
) -> None:
    request = json.dumps(REQUEST | {"content": text})
    event_body = json.dumps(event(REQUEST | {"content": text}), ensure_ascii=is_escaped)
    for body, own_id in [
        (event_body.encode("utf-8", "surrogatepass"), EVENT_ID),
        (json.dumps(notification(request)).encode(), NOTIFICATION_ID),
        (json.dumps(notification(json.dumps(event(REQUEST | {"content": text})))).encode(), EVENT_ID),
    ]:
        unwrapped, found = unwrap(body)
        assert found == own_id
        assert outcome(unwrapped) == "content: holds half of a surrogate pair (an emoji cut in two)"
