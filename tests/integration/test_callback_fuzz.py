"""The handler of callbacks on all that a stranger may send: it never fails, and takes only what the provider sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.cube_simulator.callbacks import signed
from tests.integration.called_back import DEVICE, KEY, KEY_ID, OLDER, SIGNED_TOKEN, TOKEN, V4, Callbacks

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support import Printed

# So many of an example that there are 10,000 in all: an example has a price of its own.
EXAMPLES, CALLS = 500, 20

SIGNATURE = "x-lf-signature"
GENUINE = [json.dumps(each).encode() for each in (OLDER, V4)]

texts = st.text(max_size=12)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from([DEVICE, "Text", "1768212019000"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
messages = st.builds(
    lambda message, changed: json.dumps({**message, **changed}).encode(),
    st.sampled_from([OLDER, V4]),
    st.dictionaries(st.sampled_from([*OLDER, *V4]), values, max_size=2),
)
bodies = st.one_of(
    st.sampled_from(
        [*GENUINE, b"", b"{}", b"[]", b"null", b"\xff", b"\xef\xbb\xbf{}", b"[" * 50_000, b"NaN", b'"\\ud800"']
    ),
    st.binary(max_size=40),
    messages,
    st.builds(lambda body, at: body[:at], messages, st.integers(0, 120)),
    values.map(lambda value: json.dumps(value).encode()),
)
names = st.sampled_from(["x-lf-notification-version", "x-lf-algo", "x-lf-timestamp", SIGNATURE])
lines = st.sampled_from(["", "/", f"{KEY_ID}/", f"{KEY_ID}/AAAA", "1.0", "HMAC-SHA1", "0", "9" * 20, "\ud800"]) | texts
tokens = st.sampled_from([TOKEN, TOKEN, SIGNED_TOKEN, SIGNED_TOKEN, TOKEN[:-1], SIGNED_TOKEN.upper(), ""]) | texts


class Call(NamedTuple):
    """A call, and whether it has the provider's key or token."""

    token: str
    body: bytes
    headers: dict[str, str]
    is_genuine: bool


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Return a call: signed or not, and then perhaps changed on its way."""
    token, body = draw(tokens), draw(bodies)
    is_signed = draw(st.booleans()) and json_of(body) is not None
    headers = dict(signed(body, KEY_ID, KEY)) if is_signed else {}
    if changed := draw(st.none() | st.dictionaries(names, lines, max_size=2)):
        is_signed = is_signed and all(headers[name] == line for name, line in changed.items())
        headers |= changed
    if is_signed and draw(st.booleans()):
        # Another body under a right signature, which may say the same.
        other = draw(bodies)
        is_signed, body = json_of(other) == json_of(body), other
    is_genuine = is_signed if token == SIGNED_TOKEN else token == TOKEN and SIGNATURE not in headers
    if draw(st.booleans()):
        headers = {name.title(): line for name, line in headers.items()}
    return Call(token, body, headers, is_genuine and bool(body))


def json_of(body: bytes) -> str | None:
    """Return what a body says, whatever the order of its keys; None if it is no JSON that can be signed."""
    try:
        text = json.dumps(json.loads(body.decode()), ensure_ascii=False, allow_nan=False, sort_keys=True)
        text.encode()
    except (ValueError, RecursionError):
        return None
    return text


@settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(some=st.lists(calls(), min_size=CALLS, max_size=CALLS))
def test_no_call_breaks_it_and_none_but_the_providers_is_taken(
    callbacks: Callbacks, printed: Callable[[], Printed], some: list[Call]
) -> None:
    for call in some:
        callbacks.aws_calls.clear()
        # When anybody calls
        status, answer = callbacks.call(call.body, call.token, **call.headers)
        # Then what is genuine is published or kept, and nothing else is
        published = callbacks.published()
        kept = callbacks.aws_calls.operations.count("SendMessage")
        if call.is_genuine:
            assert (status, answer) == (200, {"status": "received"})
            assert len(published) + kept == 1
        else:
            assert status in (400, 401, 404, 413)
            assert (published, kept) == ([], 0)
    # And the log has neither a fault of ours nor a secret
    shown = json.dumps(printed(), default=list)
    assert not any(hidden in shown for hidden in (KEY, TOKEN, SIGNED_TOKEN, "unexpected error"))
