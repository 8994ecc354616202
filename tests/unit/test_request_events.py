"""Send requests as events: what is in one is what would have come without it, and all else is nothing special."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cube_sms.errors import InvalidRequestError
from cube_sms.models import SendRequest, parse_send_request
from cube_sms.request_events import DETAIL_TYPE, unwrap
from tests.support import DEVICE

EVENT_ID = "6a7e8feb-b491-4cf7-a9f1-bf3703467718"
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


@settings(deadline=None, max_examples=150, database=None)
@given(requests, st.booleans())
def test_any_request_is_the_same_in_an_event(given: dict[str, Any], escaped: bool) -> None:
    plain = encode(given, escaped=escaped)
    body, event_id = unwrap(encode(event(given), escaped=escaped))
    assert event_id == EVENT_ID
    assert outcome(body) == outcome(plain)
    # And a request that is none of an event stays what it is
    assert unwrap(plain) == (plain, None)


@settings(deadline=None, max_examples=150, database=None)
@given(anything)
def test_a_detail_that_is_no_request_has_the_faults_it_would_have_alone(detail: Any) -> None:
    body, event_id = unwrap(encode(event(detail) | {"detail": detail}))
    assert event_id == EVENT_ID
    assert json.loads(body) == detail
    assert outcome(body) == outcome(encode(detail))


@settings(deadline=None, max_examples=300, database=None)
@given(
    st.one_of(
        st.binary(max_size=80),
        st.binary(max_size=40).map(lambda noise: noise + b'"detail-type"' + noise),
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
        assert request == body
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
