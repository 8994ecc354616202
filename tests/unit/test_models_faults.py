"""What the parser makes of input that is wrong as a whole, or in several places, or has an id beside it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from cube_sms.request.errors import InvalidRequestError
from cube_sms.request.parsing import parse_send_request

ICCID = "89314404000939952215"
ITEM = {"smsTemplateContent": "Test message", "smsType": "", "smsNum": "1"}
GOOD = b'{"deviceId": "89314404000939952215", "content": "a"}'


def encode(**fields: Any) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


def refusal(body: bytes, **beside: Any) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        parse_send_request(body, **beside)
    return caught.value


def paths(body: bytes, **beside: Any) -> list[str]:
    return sorted(fault.path for fault in refusal(body, **beside).faults)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"deviceId=8931",
        b"{'deviceId': '8931'}",
        b'{"deviceId": "8931",}',
        GOOD + b"x",
        GOOD + GOOD,
        GOOD.decode().encode("utf-16"),
        b'{"deviceId": "8931", "content": "caf\xe9"}',
        b'{"deviceId": "8931", "content": "a", "caf\xe9": 1}',
        b'{"deviceId": "8931", "content": NaN}',
        b'{"deviceId": "8931", "content": "a\nb"}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"deviceId": "8931", "content": "a", "unknown": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b"[]",
        b"[" + GOOD + b"]",
        b'"text"',
        b"null",
        b"1",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_body_that_is_no_json_object_is_one_fault_of_the_whole(body: bytes) -> None:
    assert paths(body) == ["$"]


@pytest.mark.parametrize("depth", [100, 1_000, 5_000, 200_000])
def test_nesting_of_any_depth_is_refused_as_a_fault(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    assert refusal(b'{"deviceId": "8931", "content": %s}' % nested).faults
    assert refusal(b'{"deviceId": "8931", "content": "a", "x": %s}' % nested).faults
    assert refusal(b'{"deviceId": "8931", "smsContentList": %s}' % nested).faults


def test_empty_object_lacks_what_is_required() -> None:
    assert paths(b"{}") == ["content", "deviceId"]


def test_white_space_and_escapes_are_json() -> None:
    body = b' \r\n{"\\u0064eviceId" : "8931" ,\t"content": "\\ud83d\\ude00"}\n'
    assert parse_send_request(body).texts == ["😀"]


def test_every_fault_is_reported_at_once() -> None:
    body = encode(
        deviceId="89 31",
        content=5,
        messageType="text",
        requestId="",
        account="A",
        expiresAt="soon",
        delivery="twice",
        phone="1",
        Content="a",
    )
    assert paths(body) == sorted(json.loads(body))


def test_faults_of_fields_and_of_the_content_come_together() -> None:
    body = encode(deviceId="?", requestId="?", content="\x00" + "a" * 140)
    faults = [(fault.path, fault.message) for fault in refusal(body).faults]

    # Then the content has two faults, and the fields one each
    assert sorted(path for path, _ in faults) == ["content", "content", "deviceId", "requestId"]
    assert len({message for _, message in faults}) == 4


def test_faults_of_several_items_come_together() -> None:
    items = [ITEM, {"smsTemplateContent": "", "smsKind": ""}, ITEM, {"smsTemplateContent": "a", "smsNum": "\x00"}]
    assert paths(encode(deviceId="?", smsContentList=items, x=1)) == [
        "deviceId",
        "smsContentList[1].smsKind",
        "smsContentList[1].smsTemplateContent",
        "smsContentList[3].smsNum",
        "x",
    ]


@pytest.mark.parametrize("content", [{}, {"content": "a", "smsContentList": [ITEM]}])
def test_content_missing_or_given_twice_is_reported_beside_a_wrong_message_type(content: dict[str, Any]) -> None:
    assert paths(encode(deviceId=ICCID, messageType="text", **content)) == ["content", "messageType"]


def test_item_of_a_wrong_type_hides_no_fault_of_another() -> None:
    # Given one item with a number for a string, and another that is too long
    items = [{"smsTemplateContent": "a", "smsNum": 1}, {"smsTemplateContent": "a" * 141}]

    # Then both are found, each where it is
    assert paths(encode(deviceId=ICCID, smsContentList=items)) == [
        "smsContentList[0].smsNum",
        "smsContentList[1].smsTemplateContent",
    ]


def test_unknown_field_is_refused_by_name() -> None:
    assert paths(encode(deviceId=ICCID, content="a", messagetype="Text", zzz=None)) == ["messagetype", "zzz"]


def test_name_of_an_unknown_field_is_cut_to_a_readable_length() -> None:
    assert paths(encode(deviceId=ICCID, content="a", **{"x" * 10_000: 1})) == ["x" * 64]


def test_of_a_field_given_twice_the_last_counts_where_both_are_valid() -> None:
    assert parse_send_request(b'{"deviceId": "1", "deviceId": "2", "content": "a"}').device_id == "2"


@pytest.mark.parametrize(
    "body",
    [
        b'{"deviceId": "?", "deviceId": "8931", "content": "a"}',
        b'{"deviceId": "8931", "content": null, "content": "a"}',
        b'{"deviceId": "8931", "content": "a", "account": null, "account": null}',
        b'{"deviceId": "8931", "smsContentList": [{"smsTemplateContent": 1, "smsTemplateContent": "a"}]}',
    ],
)
def test_field_given_twice_and_once_wrong_is_refused(body: bytes) -> None:
    assert paths(body) == ["$"]


def test_of_faults_by_the_thousand_the_first_are_told_and_how_many_there_are() -> None:
    # Given as many unknown members as a request of the API can hold
    body = encode(deviceId="?", content="a", **{f"{number:05d}" + "x" * 80: number for number in range(60_000)})
    began = time.process_time()
    error = refusal(body)
    assert time.process_time() - began < 5
    assert (len(error.faults), error.more) == (20, 59_981)
    assert str(error).startswith("60001 faults, the first 20: deviceId: must be ")
    assert len(str(error)) < 5_000


def test_twenty_faults_are_told_one_by_one() -> None:
    error = refusal(encode(deviceId=ICCID, content="a", **{f"x{number}": 1 for number in range(20)}))
    assert (len(error.faults), error.more) == (20, 0)
    assert str(error).startswith("x0: ")


@pytest.mark.parametrize("name", ["Idempotency-Key", "requestId"])
def test_fault_of_the_id_beside_the_body_has_the_name_its_sender_knows(name: str) -> None:
    assert paths(GOOD, request_id="a b", request_id_name=name) == [name]
    own = encode(deviceId=ICCID, content="a", requestId="order-1")
    (fault,) = refusal(own, request_id="order-2", request_id_name=name).faults
    assert str(fault) == f"requestId: in the body differs from the {name} beside it"


def test_id_beside_the_body_becomes_the_requests_own() -> None:
    assert parse_send_request(GOOD, request_id="order-1").request_id == "order-1"
    same = encode(deviceId=ICCID, content="a", requestId="order-1")
    assert parse_send_request(same, request_id="order-1").request_id == "order-1"


def test_id_beside_the_body_has_to_be_the_one_in_it() -> None:
    error = refusal(encode(deviceId=ICCID, content="a", requestId="order-1"), request_id="order-2")
    assert [fault.path for fault in error.faults] == ["requestId"]
    assert error.request_id == "order-1"


@pytest.mark.parametrize("beside", ["", "a b", "a" * 129, "order-1\n", "é"])
def test_invalid_id_beside_the_body_is_refused_with_every_other_fault(beside: str) -> None:
    assert paths(GOOD, request_id=beside) == ["requestId"]
    assert paths(b"{}", request_id=beside) == ["content", "deviceId", "requestId"]
    assert paths(b"?", request_id=beside) == ["$", "requestId"]


def test_error_carries_the_requests_id_where_it_is_valid() -> None:
    assert refusal(encode(requestId="order-1")).request_id == "order-1"
    assert refusal(b"?", request_id="order-1").request_id == "order-1"
    assert refusal(encode(requestId="order 1")).request_id is None
    assert refusal(encode(requestId="order 1"), request_id="order-1").request_id == "order-1"


@pytest.mark.parametrize("beside", ["order 1", "a" * 129, "order-1\n"])
def test_error_never_carries_an_id_that_is_not_valid(beside: str) -> None:
    # A dead-letter message under such an id could never be sent again.
    assert refusal(GOOD, request_id=beside).request_id is None
    assert refusal(b"{}", request_id=beside).request_id is None


def test_request_is_given_an_id_only_where_it_has_none() -> None:
    assert parse_send_request(GOOD).identified("generated").message_id == "default#generated"
    assert parse_send_request(GOOD, request_id="own").identified("generated").message_id == "default#own"


@pytest.mark.parametrize(
    "fields",
    [
        {"content": '温度 "\\/\n\r\t😀'},
        {"content": "00fF", "messageType": "Binary", "delivery": "at-most-once", "account": "b"},
        {
            "smsContentList": [ITEM, {"smsNum": "", "smsTemplateContent": "b"}],
            "expiresAt": "2027-01-31T12:00:00.5+02:00",
        },
    ],
)
def test_request_survives_the_way_through_the_queue(fields: dict[str, Any]) -> None:
    request = parse_send_request(encode(deviceId=ICCID, requestId="order-1", **fields))
    assert parse_send_request(request.to_json()) == request
