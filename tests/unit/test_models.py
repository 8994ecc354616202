"""The send request's rules, one by one, with what is said about each fault."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cube_sms.delivery.records import hash_of
from cube_sms.request.errors import InvalidRequestError
from cube_sms.request.models import SendRequest, mask_device_id
from cube_sms.request.parsing import parse_send_request

ICCID = "89314404000939952215"
ITEM = {"smsTemplateContent": "Test message", "smsType": "", "smsNum": "1"}
# Each wrong value contains it, so that a test finds a fault that quotes the value.
MARK = "Zebra"


def encode(**fields: Any) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


def parse(**fields: Any) -> SendRequest:
    return parse_send_request(encode(**fields))


def faults_of(body: bytes, **beside: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        parse_send_request(body, **beside)
    faults = caught.value.faults
    assert str(caught.value) == "; ".join(f"{fault.path}: {fault.message}" for fault in faults)
    assert MARK not in "".join(fault.message for fault in faults)
    assert all(fault.message for fault in faults)
    assert len({fault.path for fault in faults}) == len(faults)
    return {fault.path: fault.message for fault in faults}


def paths(**fields: Any) -> list[str]:
    return list(faults_of(encode(**fields)))


def test_smallest_request_has_the_defaults() -> None:
    request = parse(deviceId=ICCID, content="Test message")

    assert request.device_id == ICCID
    assert request.texts == ["Test message"]
    assert request.message_type == "Text"
    assert request.account == "default"
    assert request.delivery == "at-least-once"
    assert not request.request_id
    assert not request.expires_at


def test_every_field_is_read() -> None:
    request = parse(
        requestId="order-7781-wakeup",
        account="fleet-2",
        deviceId=ICCID,
        messageType="Binary",
        content="00ff",
        expiresAt="2027-01-31T12:00:00Z",
        delivery="at-most-once",
    )

    assert request.request_id == "order-7781-wakeup"
    assert request.account == "fleet-2"
    assert request.message_type == "Binary"
    assert request.texts == ["00ff"]
    assert request.expires_at == datetime(2027, 1, 31, 12, tzinfo=UTC)
    assert request.delivery == "at-most-once"
    assert request.message_id == "fleet-2#order-7781-wakeup"


@pytest.mark.parametrize(
    "fields",
    [
        {"deviceId": "1"},
        {"deviceId": "aZ9" * 21 + "z"},
        {"requestId": "a"},
        {"requestId": "Aa0._:-" + "x" * 121},
        {"account": "a"},
        {"account": "a-0" + "b" * 29},
        {"messageType": "Text"},
        {"messageType": "Binary", "content": "0a"},
        {"messageType": "Binary", "content": "aF" * 140},
        {"content": "a"},
        {"content": "a" * 140},
        {"content": "漢" * 140},
        {"content": "😀" * 140},
        {"content": 'line\nline\r\n\ttab \\ " / \u00a0 \u2028'},
        {"delivery": "at-least-once"},
    ],
)
def test_value_at_the_border_is_accepted(fields: dict[str, str]) -> None:
    request = parse(**{"deviceId": ICCID, "content": "a", **fields})
    assert json.loads(request.to_json()).items() >= fields.items()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("deviceId", ["", "a" * 65, "89 31", "8931-1", "é", "٣", "8931\n", "\n", 8931, None, ["8931"]]),
        ("requestId", ["", "a" * 129, "a b", "a/b", "a#b", "é", "a\n", 1]),
        ("account", ["", "a" * 33, "Default", "a_b", "a b", "default\n", 1]),
        ("messageType", ["", "text", "BINARY", "Text ", "Text\n", 1]),
        ("delivery", ["", "exactly-once", "At-least-once", "at-most-once\n", True]),
        ("content", ["", "a" * 141, "😀" * 141, "\x00", "a\x1b", "\x7f", "\u0085", "\u009f", "a\b", 1, None, [], {}]),
    ],
)
def test_value_beyond_the_border_is_the_one_fault(name: str, values: list[Any]) -> None:
    for value in values:
        assert paths(**{"deviceId": ICCID, "content": "a", name: value}) == [name], value


@pytest.mark.parametrize("text", ["", "0", "0g", "00 ", "0x00", "aF" * 140 + "00", "00\n", "é0", "٣٣"])
def test_binary_content_is_an_even_number_of_at_most_280_hexadecimal_digits(text: str) -> None:
    assert paths(deviceId=ICCID, messageType="Binary", content=text) == ["content"]
    item = {"smsTemplateContent": text}
    assert paths(deviceId=ICCID, messageType="Binary", smsContentList=[ITEM | {"smsTemplateContent": "00"}, item]) == [
        "smsContentList[1].smsTemplateContent"
    ]


FULL = {
    "content": "a",
    "messageType": "Text",
    "requestId": "order-1",
    "account": "default",
    "expiresAt": "2027-01-31T12:00:00Z",
    "delivery": "at-least-once",
    "taskToken": "token",
}


@pytest.mark.parametrize("names", [[name] for name in FULL if name != "content"] + [[*FULL][1:]], ids=",".join)
def test_optional_field_that_is_null_counts_as_absent(names: list[str]) -> None:
    # As serializers of Java, Go and .NET write it
    absent = {name: value for name, value in FULL.items() if name not in names}
    same = parse(deviceId=ICCID, **absent, **dict.fromkeys(names), smsContentList=None)
    assert same == parse(deviceId=ICCID, **absent)
    # And so it is the same request under its id
    assert hash_of(same) == hash_of(parse(deviceId=ICCID, **absent))


def test_content_that_is_null_counts_as_absent() -> None:
    items = [{"smsTemplateContent": "a", "smsType": None}]
    assert parse(deviceId=ICCID, content=None, smsContentList=items) == parse(deviceId=ICCID, smsContentList=items)
    assert paths(deviceId=ICCID, content=None) == ["content"]
    assert paths(deviceId=ICCID, content=None, smsContentList=None) == ["content"]


def test_null_helps_neither_what_is_required_nor_what_is_unknown() -> None:
    assert faults_of(encode(deviceId=None, content="a", x=None)) == {
        "deviceId": "is required",
        "x": "is not a field of a send request",
    }


@pytest.mark.parametrize("name", [*FULL, "deviceId"])
@pytest.mark.parametrize("number", ["89314404000939952215", "1", "1.5", "1e999", "9" * 5000])
def test_number_for_a_string_is_told_as_that(name: str, number: str) -> None:
    # Given a number that fits into no type of any machine, too
    fields = {"deviceId": ICCID, "content": "a", name: MARK}
    body = json.dumps(fields).replace(f'"{MARK}"', number).encode()
    assert faults_of(body)[name].startswith("must be a string")


def test_number_for_a_string_of_an_item_is_told_as_that() -> None:
    items = [ITEM, {"smsTemplateContent": 5, "smsNum": 1}]
    assert faults_of(encode(deviceId=ICCID, smsContentList=items)) == {
        "smsContentList[1].smsTemplateContent": "must be a string",
        "smsContentList[1].smsNum": "must be a string",
    }


HALF = "holds half of a surrogate pair (an emoji cut in two)"


@pytest.mark.parametrize("text", ["Hi \ud83d", "\ude00 Hi", "\ude00\ud83d", "\ud83d \ude00"])
@pytest.mark.parametrize("is_escaped", [True, False])
def test_half_of_a_surrogate_pair_is_told_where_it_is(text: str, is_escaped: bool) -> None:
    def body(**fields: Any) -> bytes:
        return json.dumps({"deviceId": ICCID, **fields}, ensure_ascii=is_escaped).encode("utf-8", "surrogatepass")

    assert faults_of(body(content=text)) == {"content": HALF}
    assert faults_of(body(content=text, messageType="Binary")) == {"content": HALF}
    assert faults_of(body(smsContentList=[ITEM, {"smsTemplateContent": text, "smsNum": text}])) == {
        "smsContentList[1].smsTemplateContent": HALF,
        "smsContentList[1].smsNum": HALF,
    }
    for name in ("requestId", "account", "expiresAt", "messageType", "delivery", "taskToken"):
        assert faults_of(body(content="a", **{name: text})) == {name: HALF}
    assert faults_of(body(content="a", **{"x\ud83d": 1})) == {"x?": "is not a field of a send request"}
    assert faults_of(body(smsContentList=[ITEM | {"x\ud83d": "a"}])).keys() == {"smsContentList[0].x?"}


def test_byte_order_mark_before_the_json_is_ignored() -> None:
    for body in (encode(deviceId=ICCID, content="a"), encode(deviceId=ICCID, content="a", account=None)):
        assert parse_send_request(b"\xef\xbb\xbf" + body) == parse_send_request(body)


def test_byte_order_mark_elsewhere_is_none() -> None:
    assert parse(deviceId=ICCID, content="\ufeffa").texts == ["\ufeffa"]
    assert list(faults_of(b"\xef\xbb\xbf" * 2 + encode(deviceId=ICCID, content="a"))) == ["$"]


def test_length_of_a_text_is_the_deployments_and_that_of_binary_content_is_not() -> None:
    body = encode(deviceId=ICCID, content="😀" * 5)
    assert parse_send_request(body, max_content_length=5).texts == ["😀" * 5]
    assert "4" in faults_of(body, max_content_length=4)["content"]

    binary = encode(deviceId=ICCID, messageType="Binary", content="00" * 140)
    assert parse_send_request(binary, max_content_length=4).texts == ["00" * 140]


def test_content_comes_in_exactly_one_way() -> None:
    assert paths(deviceId=ICCID) == ["content"]
    assert paths(deviceId=ICCID, content="a", smsContentList=[ITEM]) == ["content"]


@pytest.mark.parametrize("value", [[], {}, "a", 1, [ITEM] * 11, ["a"], [None], [[]], [ITEM, 1]])
def test_content_list_is_an_array_of_1_to_10_objects(value: Any) -> None:
    assert all(path.startswith("smsContentList") for path in paths(deviceId=ICCID, smsContentList=value))


@pytest.mark.parametrize("count", [1, 10])
def test_content_list_of_1_to_10_items_is_accepted(count: int) -> None:
    assert len(parse(deviceId=ICCID, smsContentList=[ITEM] * count).texts) == count


def test_content_list_is_passed_on_with_the_order_of_fields_and_the_empty_fields_as_given() -> None:
    # Given items with their fields in several orders, some empty, null or absent
    items: list[dict[str, str | None]] = [
        {"smsNum": "", "smsTemplateContent": "a\n", "smsType": None},
        {"smsType": "", "smsTemplateContent": "温度 😀"},
        {"smsTemplateContent": "c"},
    ]

    # When they go through the parser, and through the queue
    request = parse(deviceId=ICCID, smsContentList=items)
    again = parse_send_request(request.to_json())

    # Then they are the same, byte for byte
    assert json.dumps(request.sms_content_list) == json.dumps(again.sms_content_list) == json.dumps(items)
    assert request.texts == ["a\n", "温度 😀", "c"]


@pytest.mark.parametrize(
    ("item", "path"),
    [
        ({"smsTemplateContent": ""}, "smsTemplateContent"),
        ({"smsTemplateContent": None}, "smsTemplateContent"),
        ({"smsType": "", "smsNum": "1"}, "smsTemplateContent"),
        ({"smsTemplateContent": "a" * 141}, "smsTemplateContent"),
        ({"smsTemplateContent": f"{MARK}\x07"}, "smsTemplateContent"),
        ({"smsTemplateContent": "a", "smsNum": f"{MARK}\x00"}, "smsNum"),
        ({"smsTemplateContent": "a", "smsType": "\u0085"}, "smsType"),
        ({"smsTemplateContent": "a", "smsKind": MARK}, "smsKind"),
        ({"smsTemplateContent": "a", "smsNum": "1" * 257}, "smsNum"),
        ({"smsTemplateContent": "a", "smsType": "1" * 2_000_000}, "smsType"),
    ],
)
def test_fault_of_an_item_is_named_with_its_index(item: dict[str, Any], path: str) -> None:
    assert paths(deviceId=ICCID, smsContentList=[ITEM, item]) == [f"smsContentList[1].{path}"]


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2027-01-31T12:00:00Z", 12),
        ("2027-01-31t12:00:00z", 12),
        ("2027-01-31T12:00:00.5Z", 12),
        ("2027-01-31T12:00:00.123456789Z", 12),
        ("2027-01-31T12:00:00+02:00", 10),
        ("2027-01-31T12:00:00-05:30", 17),
        ("2027-01-31T12:00:00-00:00", 12),
    ],
)
def test_expiry_is_an_rfc_3339_time(text: str, hour: int) -> None:
    request = parse(deviceId=ICCID, content="a", expiresAt=text)

    assert isinstance(request.expires_at, datetime)
    assert request.expires_at.astimezone(UTC).hour == hour
    assert parse_send_request(request.to_json()).expires_at == request.expires_at


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
def test_expiry_at_the_ends_of_time_can_be_reckoned_with(text: str) -> None:
    request = parse(deviceId=ICCID, content="a", expiresAt=text)
    assert isinstance(request.expires_at, datetime)
    assert abs(request.expires_at.timestamp()) > timedelta(days=365).total_seconds()


@pytest.mark.parametrize(
    "value",
    [
        "2027-01-31T12:00:00",
        "2027-01-31T12:00:00+02",
        "2027-01-31T12:00:00+24:00",
        "2027-01-31T12:00Z",
        "2027-01-31",
        "20270131T120000Z",
        "2027-02-30T12:00:00Z",
        "2027-01-31T25:00:00Z",
        "2027-01-31T12:00:00Z\n",
        " 2027-01-31T12:00:00Z",
        "tomorrow",
        "",
        1801396800,
    ],
)
def test_expiry_that_is_no_rfc_3339_time_with_an_offset_is_refused(value: Any) -> None:
    assert paths(deviceId=ICCID, content="a", expiresAt=value) == ["expiresAt"]


@pytest.mark.parametrize(
    ("device_id", "masked"), [(ICCID, "*" * 16 + "2215"), ("89312", "*9312"), ("8931", "8931"), ("1", "1")]
)
def test_device_id_is_shown_by_its_last_four_characters(device_id: str, masked: str) -> None:
    assert mask_device_id(device_id) == masked


@pytest.mark.parametrize("field", ["content", "smsContentList"])
def test_request_does_not_show_its_content_or_token(field: str) -> None:
    text = "the PIN is 4711"
    content = {"content": text} if field == "content" else {"smsContentList": [{"smsTemplateContent": text}]}
    request = parse(deviceId=ICCID, requestId="order-1", taskToken="AQC-token", **content)

    for shown in (repr(request), str(request), f"{request}", repr([request])):
        assert "order-1" in shown
        assert not [hidden for hidden in ("4711", "AQC-token", ICCID[:-4]) if hidden in shown]
