"""The client of Cube, over a socket: what it sends, and what it takes for success."""

from __future__ import annotations

import gzip
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cube_sms.provider.base import CubeOutcomeUnknown, CubeRejected
from tests.integration.wire import SUCCESS, Wire, answer
from tests.support import ACCESS_CODE, DEVICE, load_event, post, send_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from cube_sms.provider.csss.client import CubeClient
    from local.cube_simulator import CubeSimulator

CONTENTS = {
    "chinese": "设备温度过高 请检查",
    "emoji": "🌡️👩‍👩‍👧 hot 🥵",
    "longest": "é" * 140,
    "json": 'He said "C:\\temp" </script> \\u0041 {"a":[1]}',
    "lines": "one\r\ntwo\tthree\n",
    "separators": "\u2028\u2029\ufeff\u00ad\U0010ffff",
    "combining": "e\u0301 \u00e9 \ufb01",
}

valid_text = st.text(
    st.one_of(st.characters(exclude_categories=["Cc", "Cs"]), st.sampled_from("\n\r\t\"\\/<&'")),
    min_size=1,
    max_size=140,
)
valid_item = st.fixed_dictionaries(
    {"smsTemplateContent": valid_text},
    optional={"smsType": st.none() | valid_text | st.just(""), "smsNum": st.sampled_from(["1", ""])},
).flatmap(lambda item: st.permutations(list(item.items())).map(dict))


def test_many_messages_share_one_connection(cube: CubeSimulator, connect: Callable[..., CubeClient]) -> None:
    # Given
    client = connect(cube.url)
    # When
    answers = [post(client, send_request(f"Message {n}")) for n in range(20)]
    # Then
    assert {(answer.code, answer.message) for answer in answers} == {("0000", None)}
    assert all(0 < answer.latency < 20 for answer in answers)
    assert (cube.stats()["accepted"], cube.stats()["connections"]) == (20, 1)


@pytest.mark.parametrize(
    ("base", "path"), [("", "/"), ("/", "/"), ("/cube/v4", "/cube/v4/"), ("/cube/v4/", "/cube/v4/")]
)
def test_path_follows_the_base_url_with_and_without_a_slash(
    connect: Callable[..., CubeClient], base: str, path: str
) -> None:
    with Wire(answer()) as wire:
        post(connect(wire.url + base, language="en-US"), send_request())
        head, _ = wire.requests[0]
    lines = head.splitlines()
    assert lines[0] == f"POST {path}sms/sendSms HTTP/1.1"
    assert {"Content-Type: application/json", "Accept-Language: en-US", f"Host: 127.0.0.1:{wire.port}"} < {*lines}


@pytest.mark.parametrize(("unit", "digits"), [("s", 10), ("ms", 13)])
def test_timestamp_is_in_the_unit_of_the_deployment(
    cube: CubeSimulator, connect: Callable[..., CubeClient], unit: str, digits: int
) -> None:
    # Given a provider that expects the unit
    cube.configure(timestamp_unit=unit)
    # When, then
    post(connect(cube.url, timestamp_unit=unit), send_request())
    with Wire(answer()) as wire:
        post(connect(wire.url, timestamp_unit=unit), send_request())
    assert len(json.loads(wire.requests[0][1])["timestamp"]) == digits


@pytest.mark.parametrize(("language", "message"), [("zh-CN", "设备不存在"), ("en-US", "unknown device")])
def test_provider_answers_in_the_language_of_the_deployment(
    cube: CubeSimulator, connect: Callable[..., CubeClient], language: str, message: str
) -> None:
    cube.configure(unknown_devices=[DEVICE])
    with pytest.raises(CubeRejected) as caught:
        post(connect(cube.url, language=language, keeps_messages=True), send_request())
    assert caught.value.message == message


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_content_arrives_as_it_was_given(cube: CubeSimulator, connect: Callable[..., CubeClient], content: str) -> None:
    post(connect(cube.url), send_request(content))
    assert [(request["contents"], request["accepted"]) for request in cube.requests(DEVICE)] == [([content], True)]


def test_binary_content_is_told_from_text(cube: CubeSimulator, connect: Callable[..., CubeClient]) -> None:
    post(connect(cube.url), send_request("0A1b", messageType="Binary"))
    (request,) = cube.requests(DEVICE)
    assert (request["messageType"], request["contents"], request["accessCode"]) == ("Binary", ["0A1b"], ACCESS_CODE)


def test_providers_array_is_passed_on_byte_for_byte(cube: CubeSimulator, connect: Callable[..., CubeClient]) -> None:
    # Given an array whose fields are in no certain order, one of them empty and one null
    items = json.loads(load_event("sqs-provider-array")["Records"][0]["body"])["smsContentList"]
    items.append({"smsType": None, "smsTemplateContent": "Third"})
    request = send_request(smsContentList=items)
    # When
    post(connect(cube.url), request)
    with Wire(answer()) as wire:
        post(connect(wire.url), request)
    # Then
    expected = json.dumps(items, separators=(",", ":"), ensure_ascii=False).encode()
    assert b'"smsContentList":' + expected + b',"timestamp"' in wire.requests[0][1]
    assert cube.requests()[0]["contents"] == [item["smsTemplateContent"] for item in items]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=valid_text)
def test_any_valid_content_is_sent_and_accepted(
    cube: CubeSimulator, connect: Callable[..., CubeClient], content: str
) -> None:
    cube.reset()
    assert post(connect(cube.url), send_request(content)).code == "0000"
    assert [request["contents"] for request in cube.requests()] == [[content]]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.lists(valid_item, min_size=1, max_size=10))
def test_any_valid_array_is_sent_and_accepted(
    cube: CubeSimulator, connect: Callable[..., CubeClient], items: list[dict[str, Any]]
) -> None:
    cube.reset()
    assert post(connect(cube.url), send_request(smsContentList=items)).code == "0000"
    assert cube.requests()[0]["contents"] == [item["smsTemplateContent"] for item in items]


@pytest.mark.parametrize("content", ["0000", "success", "true", "code", "P002276"])
def test_content_that_looks_like_the_answer_is_no_reason_to_misread_it(
    cube: CubeSimulator, connect: Callable[..., CubeClient], content: str
) -> None:
    assert post(connect(cube.url), send_request(content)).code == "0000"
    assert cube.stats()["accepted"] == 1


COMPRESSED = gzip.compress(json.dumps(SUCCESS).encode())
PADDING = "x" * (64 * 1024 - len(json.dumps(SUCCESS | {"data": ""})))


@pytest.mark.parametrize(
    "successful",
    [
        answer({"success": True, "code": "0000"}),
        answer(SUCCESS | {"message": None}),
        answer(SUCCESS | {"data": {"code": "9999", "success": False}, "more": [1]}),
        answer(SUCCESS | {"data": PADDING}),
        answer(SUCCESS, Content_Type="text/plain"),
        answer(COMPRESSED, Content_Encoding="gzip"),
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1e\r\n{"code":"0000","success":true}\r\n0\r\n\r\n',
    ],
    ids=["least", "no message", "more members", "64 KiB", "other media type", "gzip", "chunked"],
)
def test_success_in_any_form_of_http(connect: Callable[..., CubeClient], successful: bytes) -> None:
    with Wire(successful) as wire:
        client = connect(wire.url)
        assert [post(client, send_request()).code for _ in range(2)] == ["0000", "0000"]
        assert wire.connections == 1


def test_success_that_ends_with_the_connection(connect: Callable[..., CubeClient]) -> None:
    with Wire(b'HTTP/1.0 200 OK\r\n\r\n{"code":"0000","success":true}', hang_up=True) as wire:
        assert post(connect(wire.url), send_request()).code == "0000"


@pytest.mark.parametrize(
    "contradiction",
    [
        {"success": "true"},
        {"success": 1},
        {"success": None},
        {"success": False},
        {"code": 0},
        {"code": "0"},
        {"code": "00000"},
        {"code": "0000 "},
        {"code": ["0000"]},
        {"code": None},
        {"code": "9500"},
    ],
    ids=repr,
)
def test_contradictory_envelope_is_never_success(
    connect: Callable[..., CubeClient], contradiction: dict[str, Any]
) -> None:
    with Wire(answer(SUCCESS | contradiction)) as wire, pytest.raises((CubeRejected, CubeOutcomeUnknown)):
        post(connect(wire.url), send_request())


@pytest.mark.parametrize("absent", ["code", "success"])
def test_envelope_without_a_member_leaves_the_outcome_unknown(connect: Callable[..., CubeClient], absent: str) -> None:
    envelope = {name: value for name, value in SUCCESS.items() if name != absent}
    with Wire(answer(envelope)) as wire, pytest.raises(CubeOutcomeUnknown):
        post(connect(wire.url), send_request())


@pytest.mark.parametrize("status", [201, 202, 204, 301, 307, 404, 418, 500, 504])
def test_success_under_another_status_leaves_the_outcome_unknown(
    connect: Callable[..., CubeClient], status: int
) -> None:
    with (
        Wire(answer(b"" if status == 204 else SUCCESS, status, Location="/elsewhere")) as wire,
        pytest.raises(CubeOutcomeUnknown) as caught,
    ):
        post(connect(wire.url), send_request())
    assert caught.value.status == status
    assert len(wire.requests) == 1


def test_clock_of_the_client_signs_and_dates(cube: CubeSimulator, connect: Callable[..., CubeClient]) -> None:
    # Given a clock that is 11 minutes off, when it is sent, then the provider refuses the timestamp
    with pytest.raises(CubeRejected):
        post(connect(cube.url, clock=lambda: time.time() + 660), send_request())
    assert cube.requests()[0]["reason"] == "timestamp"
