"""The JSON Schema of a send request: printed from the model, and of one mind with the parser.

from __future__ import annotations

The schema is weaker than the parser in what it cannot say or leaves to the deployment: the length of a text
(`MaxContentLength`), the digits of binary content, control characters, and UTF-8. It is never stricter.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from cube_sms.request.errors import InvalidRequestError
from cube_sms.request.models import FIELDS
from cube_sms.request.parsing import parse_send_request
from cube_sms.request.schema import send_request_schema

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "send-request.schema.json"
VALIDATOR = Draft202012Validator(
    json.loads(SCHEMA_FILE.read_text("utf-8")), format_checker=Draft202012Validator.FORMAT_CHECKER
)
ICCID = "89314404000939952215"
ITEM = {"smsTemplateContent": "Test message", "smsType": "", "smsNum": "1"}
OPTIONAL = [name for name in FIELDS if name not in ("deviceId", "content", "smsContentList")]


def schema_accepts(request: object) -> bool:
    return bool(VALIDATOR.is_valid(request))


def parser_accepts(request: object) -> bool:
    try:
        parse_send_request(json.dumps(request).encode())
    except InvalidRequestError:
        return False
    return True


def test_file_is_what_the_model_prints() -> None:
    # To write it: print the right-hand side into the file.
    assert SCHEMA_FILE.read_text("utf-8") == json.dumps(send_request_schema(), indent=2, ensure_ascii=False) + "\n"


def test_schema_is_itself_valid_and_describes_every_field() -> None:
    schema = send_request_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert all(field["description"] for field in schema["properties"].values())


def test_schema_can_be_changed_by_its_caller_alone() -> None:
    send_request_schema()["properties"].clear()
    assert send_request_schema()["properties"]


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "a"},
        {"content": "温度 😀" * 20},
        {"content": "00ff", "messageType": "Binary"},
        {"smsContentList": [ITEM]},
        {"smsContentList": [{**ITEM, "smsNum": "1" * 256}]},
        {"smsContentList": [{"smsNum": None, "smsTemplateContent": "a", "smsType": None}] * 10},
        {"content": "a", "requestId": "order-1._:" + "x" * 118, "account": "a-1", "delivery": "at-most-once"},
        {"content": "a", "expiresAt": "2027-01-31T12:00:00Z"},
        {"content": "a", "expiresAt": "2027-01-31t12:00:00.123456789+02:00"},
        {"content": "a", **dict.fromkeys(OPTIONAL)},
        {"content": None, "smsContentList": [ITEM], **dict.fromkeys(OPTIONAL)},
        {"content": "a", "smsContentList": None},
    ],
)
def test_both_accept(fields: dict[str, Any]) -> None:
    request = {"deviceId": ICCID, **fields}
    assert parser_accepts(request)
    assert schema_accepts(request)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        [],
        None,
        {"content": "a"},
        {"deviceId": ICCID},
        {"deviceId": ICCID, "content": "a", "smsContentList": [ITEM]},
        {"deviceId": ICCID, "content": ""},
        {"deviceId": ICCID, "content": None},
        {"deviceId": ICCID, "content": None, "smsContentList": None},
        {"deviceId": ICCID, "content": "a", "unknown": None},
        {"deviceId": ICCID, "content": "a", "unknown": 1},
        {"deviceId": ICCID, "smsContentList": []},
        {"deviceId": ICCID, "smsContentList": [ITEM] * 11},
        {"deviceId": ICCID, "smsContentList": [{"smsType": "", "smsNum": "1"}]},
        {"deviceId": ICCID, "smsContentList": [{**ITEM, "smsTemplateContent": ""}]},
        {"deviceId": ICCID, "smsContentList": [{**ITEM, "smsTemplateContent": None}]},
        {"deviceId": ICCID, "smsContentList": [{**ITEM, "smsNum": 1}]},
        {"deviceId": ICCID, "smsContentList": [{**ITEM, "unknown": ""}]},
        {"deviceId": ICCID, "smsContentList": [{**ITEM, "smsNum": "1" * 257}]},
        *({"deviceId": value, "content": "a"} for value in ("", "a" * 65, "a-b", "a\n", 1, None)),
        *({"deviceId": ICCID, "content": "a", "requestId": value} for value in ("", "a" * 129, "a#", "a\n", 1)),
        *({"deviceId": ICCID, "content": "a", "account": value} for value in ("", "a" * 33, "A", "a\n", 1)),
        *({"deviceId": ICCID, "content": "a", "messageType": value} for value in ("text", "", 1)),
        *({"deviceId": ICCID, "content": "a", "delivery": value} for value in ("never", "", 1)),
        *({"deviceId": ICCID, "content": "a", "expiresAt": value} for value in ("soon", "2027-01-31", 1)),
        {"deviceId": ICCID, "content": "a", "expiresAt": "2027-01-31T12:00:00"},
    ],
    ids=repr,
)
def test_both_refuse(request_: object) -> None:
    assert not parser_accepts(request_)
    assert not schema_accepts(request_)


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "a" * 141},
        {"smsContentList": [{"smsTemplateContent": "a" * 141}]},
        {"content": "0", "messageType": "Binary"},
        {"content": "zz", "messageType": "Binary"},
        {"content": "00" * 141, "messageType": "Binary"},
        {"content": "a\x00"},
        {"smsContentList": [{**ITEM, "smsNum": "\x7f"}]},
    ],
)
def test_schema_is_weaker_where_it_is_said_to_be(fields: dict[str, Any]) -> None:
    request = {"deviceId": ICCID, **fields}
    assert not parser_accepts(request)
    assert schema_accepts(request)


# Values for each field, right and wrong, but none that is wrong only by a rule the schema cannot express.
CANDIDATES: dict[str, list[Any]] = {
    "deviceId": [ICCID, "a", "a" * 64, "a" * 65, "a_b", "a\n", "", None, 1],
    "content": ["00ff", "", None, 1, []],
    "smsContentList": [
        *(
            [{"smsTemplateContent": "00", name: value}]
            for name in ("smsType", "smsNum", "x")
            for value in ("", None, 1)
        ),
        *([{"smsType": "", "smsTemplateContent": value}] for value in ("00", "", None, 1)),
        *([{"smsTemplateContent": "00"}] * count for count in (0, 1, 10, 11)),
        [{}],
        [None],
        {},
        None,
    ],
    "messageType": ["Text", "Binary", "text", "", None, 1],
    "requestId": ["a.b:c-d_e", "a" * 128, "a" * 129, "a b", "a\n", "", None, 1],
    "account": ["a-1", "a" * 32, "a" * 33, "A", "a_b", "a\n", "", None, 1],
    "delivery": ["at-least-once", "at-most-once", "never", "", None, 1],
    "priority": ["normal", "bulk", "high", "", None, 1],
    "expiresAt": [
        *("2027-01-31T12:00:00" + end for end in ("Z", "z", ".5Z", "+02:00", "-00:00", "", "+02", " Z")),
        *("2027-01-31t12:00:00Z", "2027-02-30T12:00:00Z", "2027-01-31T25:00:00Z"),
        *("2027-01-31", "soon", "", None, 1),
    ],
    "taskToken": ["AQ", "a" * 2048, "a" * 2049, "", None, 1],
    "awaitReply": [1, 86_400, 60.0, 0, 86_401, -1, 1.5, "60", "", None, True],
    "unknown": [None, ""],
}
PAIRS = [(name, value) for name, values in CANDIDATES.items() for value in values]
BASES: list[dict[str, Any]] = [
    {"content": "00ff"},
    {"content": "00ff", "taskToken": "AQ"},
    {"smsContentList": [ITEM | {"smsTemplateContent": "00"}]},
    {},
]


def test_there_are_values_for_every_field() -> None:
    assert set(FIELDS) - CANDIDATES.keys() == set()


@pytest.mark.parametrize(("name", "value"), PAIRS, ids=repr)
def test_schema_and_parser_agree_on_each_value(name: str, value: Any) -> None:
    for base in BASES:
        request = {"deviceId": ICCID, **base, name: value}
        assert schema_accepts(request) == parser_accepts(request), request


@settings(max_examples=200)
@given(st.sampled_from(BASES), st.lists(st.sampled_from(PAIRS), max_size=4))
def test_schema_and_parser_agree_on_any_combination_of_them(base: dict[str, Any], pairs: list[tuple[str, Any]]) -> None:
    request = {"deviceId": ICCID, **base, **dict(pairs)}
    assert schema_accepts(request) == parser_accepts(request), request
