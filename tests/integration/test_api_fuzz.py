"""The handler of the REST API with any event of API Gateway's shape: each gets an answer, and a true one."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import DEVICE, load_event

if TYPE_CHECKING:
    from tests.integration.deployment import Deployment

# Halves of surrogate pairs included: Python's decoder makes them of escapes in the event.
texts = st.text(st.characters(), max_size=12)
ids = st.sampled_from(["order-1", "a.b:c-1", ".", "..", '"order-1"', "order 1", "", "%", "%ff", "x" * 129]) | texts
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts, st.just(DEVICE), st.just("Text")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["smsTemplateContent", "smsType", "smsNum", "x"]), inner, max_size=4),
    ),
    max_leaves=6,
)
REQUEST = {"deviceId": DEVICE, "content": "Wake up"}
requests = st.dictionaries(
    st.sampled_from(
        [
            *("requestId", "account", "deviceId", "messageType", "content", "smsContentList"),
            *("expiresAt", "delivery", "taskToken", "unknown"),
        ]
    ),
    values,
    max_size=4,
).map(lambda fields: REQUEST | fields)
bodies = st.one_of(
    st.none(),
    texts,
    st.just(json.dumps(REQUEST)),
    st.builds(json.dumps, requests, ensure_ascii=st.booleans()),
    st.builds(lambda request, at: json.dumps(request)[:at], requests, st.integers(0, 80)),
    st.just("\ufeff" + json.dumps(REQUEST)),
    st.just(
        json.dumps({"deviceId": DEVICE, "smsContentList": [{"smsTemplateContent": "a", "smsNum": "1" * 2_000_000}]})
    ),
)
lines = st.lists(
    st.sampled_from(["respond-async", "wait=10", "order-1", '"order-1"', "order 1", ""]) | texts, min_size=1
)
headers = st.dictionaries(
    st.sampled_from(["Prefer", "prefer", "PREFER", "Idempotency-Key", "idempotency-key", "X-Else"]), lines, max_size=4
)
queries = st.none() | st.dictionaries(
    st.sampled_from(["account", "limit", "next", "x"]),
    st.sampled_from(["default", "#refused", "7", "W10=", "WyIyMDI3LTAxLTE1VDEyOjAwOjAwLjAwMFoiLCJhI2IiXQ=="]) | texts,
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """Return an event as API Gateway makes it."""
    event = load_event("api-post-text")
    base, own_id = draw(st.sampled_from(["", "/sms", "/sms/prod"])), draw(ids)
    route = draw(st.sampled_from(["/messages", "/messages/{requestId}", "/devices/{deviceId}/messages", "/other"]))
    names = re.findall(r"\{(\w+)\}", route)
    given, query = draw(headers), draw(queries)
    # One that the test button makes has none of them.
    is_bare = draw(st.booleans())
    body = draw(bodies)
    event |= {
        "resource": route,
        "path": base + re.sub(r"\{\w+\}", lambda _: own_id, route) + draw(st.sampled_from(["", "/"])),
        "httpMethod": draw(st.sampled_from(["GET", "POST", "POST", "DELETE"])),
        "headers": None if is_bare else {name: each[-1] for name, each in given.items()},
        "multiValueHeaders": None if is_bare else given,
        "pathParameters": dict.fromkeys(names, own_id) or None,
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} if query else None,
        "body": body,
    }
    if body is not None and draw(st.booleans()):
        raw = body.encode("utf-8", "surrogatepass") + draw(st.sampled_from([b"", b"\xff"]))
        event |= {"body": base64.b64encode(raw).decode(), "isBase64Encoded": True}
    elif draw(st.integers(0, 9)) == 0:
        event["isBase64Encoded"] = True
    return event


@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(events())
def test_any_event_is_answered_with_json_and_bad_input_is_told_as_that(
    gateway_with_history: Deployment, event: dict[str, Any]
) -> None:
    # When
    reply = gateway_with_history.call(event)
    # Then a request that can never be sent is refused as such, rather than to be tried again
    assert reply.status in (200, 202, 400, 404, 409)
    assert reply.json
    is_problem = reply.status >= 400
    assert reply.headers["Content-Type"] == ("application/problem+json" if is_problem else "application/json")
    assert all(value.isascii() and value.isprintable() for value in reply.headers.values())
    assert reply.size < 100_000
