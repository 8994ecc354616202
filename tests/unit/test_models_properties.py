"""The parser on input of any kind: a request or faults, and no fault that quotes a value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cube_sms.request.errors import InvalidRequestError
from cube_sms.request.parsing import parse_send_request

if TYPE_CHECKING:
    from cube_sms.request.models import SendRequest

ICCID = "89314404000939952215"
GOOD = b'{"deviceId": "89314404000939952215", "content": "a"}'


def encode(**fields: Any) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


def outcome(body: bytes, request_id: str | None = None) -> SendRequest | InvalidRequestError:
    try:
        return parse_send_request(body, request_id=request_id)
    except InvalidRequestError as error:
        return error


fields_of_any_kind = st.dictionaries(
    st.sampled_from(["deviceId", "content", "smsContentList", "messageType", "requestId", "account", "expiresAt", "x"]),
    st.recursive(
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.sampled_from(["Text", "8931", "default"])
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(["smsTemplateContent", "smsType", "smsNum", "y"]), inner, max_size=4),
        ),
        max_leaves=8,
    ),
)
bodies = st.one_of(
    st.binary(max_size=64),
    fields_of_any_kind.map(lambda fields: json.dumps(fields).encode()),
    st.builds(lambda at, byte: GOOD[:at] + byte + GOOD[at + 1 :], st.integers(0, len(GOOD)), st.binary(max_size=2)),
)


@settings(max_examples=200)
@given(bodies, st.one_of(st.none(), st.text(max_size=6)))
def test_any_bytes_are_a_request_or_faults(body: bytes, beside: str | None) -> None:
    result = outcome(body, beside)
    if isinstance(result, InvalidRequestError):
        assert result.faults
        assert str(result)
    else:
        assert parse_send_request(result.to_json()) == result


characters = st.characters(exclude_categories=["Cs", "Cc"])


@settings(max_examples=60)
@given(st.text(characters, min_size=1, max_size=140), st.sampled_from(["Text", "Binary"]), st.integers(1, 10))
def test_any_printable_text_is_accepted_and_unchanged(text: str, message_type: str, count: int) -> None:
    content = text if message_type == "Text" else text.encode().hex()[:280]
    single = encode(deviceId=ICCID, messageType=message_type, content=content)
    several = encode(deviceId=ICCID, messageType=message_type, smsContentList=[{"smsTemplateContent": content}] * count)

    assert parse_send_request(single).texts == [content]
    assert parse_send_request(several).texts == [content] * count


@settings(max_examples=60)
@given(st.text("ZQXJ", min_size=6, max_size=6), st.sampled_from(["\x00", "\n", "é", "?", "", "a" * 200]))
def test_no_fault_quotes_a_value(mark: str, more: str) -> None:
    wrong = mark + more
    names = ["deviceId", "content", "messageType", "requestId", "account", "expiresAt", "delivery", "unknown"]
    for body in (
        encode(**dict.fromkeys(names, wrong + "?")),
        encode(deviceId=ICCID, messageType="Binary", content=wrong),
        encode(deviceId="?", smsContentList=[{"smsTemplateContent": wrong, "smsNum": wrong, "x": wrong}]),
        encode(deviceId=ICCID, content={wrong: wrong}),
        wrong.encode() + b"{",
    ):
        with pytest.raises(InvalidRequestError) as caught:
            parse_send_request(body, request_id=f"{mark} ")
        assert mark not in str(caught.value)
