"""Whether a callback is the provider's: the provider's own vector, and whatever differs from it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cube_sms.replies.verification import (
    FURTHEST_AHEAD,
    OLDEST,
    Signature,
    is_genuine,
    is_timely,
    matching,
    read_signature,
)
from tests.support import START

# The provider's: apidoc-cn.iotcube.link/doc-3110841.
KEY_ID = "Ou8a5lyzPjN86ikmLeFC"
KEY = "3QY0I6jA6jOfeIQbOde3CG2DeOllV1zufpFR393my78h3tCn7P1IfyUIhV3cS8ks"
BODY = b'{"name": "liguoli","age": 18}'
HEADERS = {
    "x-lf-notification-version": "1.0",
    "x-lf-algo": "HMAC-SHA1",
    "x-lf-timestamp": "12345648444",
    "x-lf-signature": f"{KEY_ID}/pnWR3hcrEXQWV8S+RY0DMjEN9ec=",
}
SIGNATURE = Signature("1.0", "12345648444", KEY_ID, "pnWR3hcrEXQWV8S+RY0DMjEN9ec=")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(texts, values, max_size=5)
digits = st.integers(0, 10**13).map(str)


def sign(body: Any, timestamp: str = "1", key: str = KEY, *, is_deep: bool = True) -> Signature:
    """Sign a body as the provider describes it."""
    value = body if is_deep else {name: body[name] for name in sorted(body)}
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=is_deep)
    digest = hmac.new(key.encode(), f"1.0:HMAC-SHA1:{timestamp}{text}".encode(), hashlib.sha1).digest()
    return Signature("1.0", timestamp, KEY_ID, base64.b64encode(digest).decode())


def shuffled(value: Any, data: st.DataObject) -> Any:
    """Return a value with the keys of its objects in another order, at every level."""
    if isinstance(value, list):
        return [shuffled(item, data) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: shuffled(value[name], data) for name in data.draw(st.permutations(list(value)))}


class TestGenuine:
    def test_providers_own_vector_is(self) -> None:
        assert read_signature(HEADERS.get) == SIGNATURE
        assert is_genuine(SIGNATURE, BODY, KEY_ID, KEY)

    @given(body=bodies, timestamp=digits, is_deep=st.booleans(), escapes=st.booleans(), data=st.data())
    def test_whatever_the_order_of_the_keys_and_however_the_body_is_written(
        self, body: dict[str, Any], timestamp: str, is_deep: bool, escapes: bool, data: st.DataObject
    ) -> None:
        # Given a signature over keys that are sorted at every level, or at the top alone
        signature = sign(body, timestamp, is_deep=is_deep)
        # When the body has its keys in another order: below the top, only what is sorted there may have
        wire = shuffled(body, data) if is_deep else {key: body[key] for key in data.draw(st.permutations(list(body)))}
        written = json.dumps(wire, ensure_ascii=escapes, indent=data.draw(st.sampled_from([None, 2])))
        # Then
        assert is_genuine(signature, written.encode(), KEY_ID, KEY)

    @given(body=bodies, other=bodies)
    def test_another_body_is_not(self, body: dict[str, Any], other: dict[str, Any]) -> None:
        # As JSON: Python's True is 1
        assume(json.dumps(body, sort_keys=True) != json.dumps(other, sort_keys=True))
        assert not is_genuine(sign(body), json.dumps(other).encode(), KEY_ID, KEY)

    @given(body=bodies, timestamp=digits, other=digits)
    def test_another_timestamp_is_not(self, body: dict[str, Any], timestamp: str, other: str) -> None:
        assume(timestamp != other)
        signature = sign(body, timestamp)._replace(timestamp=other)
        assert not is_genuine(signature, json.dumps(body).encode(), KEY_ID, KEY)

    @given(body=bodies, name=st.sampled_from(["version", "key_id", "digest"]), text=st.text())
    def test_another_header_is_not(self, body: dict[str, Any], name: str, text: str) -> None:
        right = sign(body)
        assume(getattr(right, name) != text)
        assert not is_genuine(right._replace(**{name: text}), json.dumps(body).encode(), KEY_ID, KEY)

    @given(body=bodies, key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
    def test_another_key_is_not(self, body: dict[str, Any], key: str) -> None:
        # A key that ends in NUL is the same to HMAC without it.
        assume(key.rstrip("\0") != KEY)
        assert not is_genuine(sign(body, key=key), json.dumps(body).encode(), KEY_ID, KEY)

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"\xff", b'{"a": NaN}', b"[" * 60_000, b'{"a":' + b"1" * 5000 + b"}", b'{"a" 1}']
    )
    def test_what_is_no_json_is_told_without_a_quote(self, body: bytes) -> None:
        with pytest.raises(ValueError, match=r"^the body is not JSON$") as caught:
            is_genuine(SIGNATURE, body, KEY_ID, KEY)
        assert caught.value.__suppress_context__

    @given(body=st.binary(max_size=200))
    def test_no_body_breaks_it(self, body: bytes) -> None:
        with suppress(ValueError):
            assert not is_genuine(SIGNATURE, body, KEY_ID, KEY)

    def test_lone_surrogate_is_none_of_ours(self) -> None:
        assert not is_genuine(SIGNATURE, rb'{"a": "\ud800"}', KEY_ID, KEY)


class TestSignature:
    def test_base64_may_hold_a_slash(self) -> None:
        read = read_signature((HEADERS | {"x-lf-signature": "id/a/b+/c="}).get)
        assert read == SIGNATURE._replace(key_id="id", digest="a/b+/c=")

    def test_call_without_one_has_none(self) -> None:
        assert read_signature({name: HEADERS[name] for name in HEADERS if name != "x-lf-signature"}.get) is None

    @pytest.mark.parametrize(
        "changed",
        [
            {"x-lf-signature": "without-a-slash"},
            {"x-lf-algo": None},
            {"x-lf-algo": "HMAC-SHA256"},
            {"x-lf-timestamp": None},
            {"x-lf-timestamp": "-1"},
            {"x-lf-timestamp": "12e3"},
            {"x-lf-timestamp": "\uff11"},
            {"x-lf-timestamp": "1" * 16},
            {"x-lf-timestamp": "1\n"},
            {"x-lf-notification-version": None},
        ],
    )
    def test_header_that_is_missing_or_malformed_is_a_fault(self, changed: dict[str, str | None]) -> None:
        with pytest.raises(ValueError, match=r"header is missing|algorithm"):
            read_signature({**HEADERS, **changed}.get)


class TestTime:
    @pytest.mark.parametrize(
        ("age", "expected"),
        [(0, True), (OLDEST, True), (OLDEST + 1, False), (-FURTHEST_AHEAD, True), (-FURTHEST_AHEAD - 1, False)],
    )
    def test_window_has_two_borders(self, age: int, expected: bool) -> None:
        signature = SIGNATURE._replace(timestamp=str(int((START - age) * 1000)))
        assert is_timely(signature, START) is expected

    def test_resends_of_a_day_are_within(self) -> None:
        assert OLDEST >= 24 * 3600


class TestToken:
    TOKENS = (("a" * 32, "first"), ("b" * 32, "second"), ("c" * 32, "second"))

    @pytest.mark.parametrize(("token", "owner"), TOKENS)
    def test_owner_is_found(self, token: str, owner: str) -> None:
        assert matching(token, self.TOKENS) == owner

    @given(token=st.text(max_size=40))
    def test_no_other_token_has_one(self, token: str) -> None:
        assume(token not in dict(self.TOKENS))
        assert matching(token, self.TOKENS) is None
