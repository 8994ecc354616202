"""The client of Cube, over a socket: how answers of any encoding and content are read."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cube_sms.platform.settings import parse_answer_codes
from cube_sms.provider.base import (
    CubeAnswer,
    CubeAuthenticationError,
    CubeError,
    CubeOutcomeUnknown,
    CubeRejected,
    CubeThrottled,
    CubeUnavailable,
)
from tests.integration.wire import FAILURE, SUCCESS, Wire, answer
from tests.support import post, send_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from cube_sms.provider.csss.client import CubeClient

WORDS = "设备不存在"
REJECTED = FAILURE | {"code": "9404", "message": WORDS}
CODES = parse_answer_codes(
    '{"authentication": ["9401"], "throttled": ["9429", "HTTP 509"], "unavailable": ["9500", "BUSY", "HTTP 503"]}'
)


def send(client: CubeClient) -> CubeAnswer | CubeError:
    try:
        return post(client, send_request())
    except CubeError as error:
        return error


def text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize("said", [SUCCESS | {"message": "成功"}, REJECTED], ids=["success", "rejection"])
@pytest.mark.parametrize(
    ("encode", "content_type"),
    [
        (lambda told: told.encode(), "application/json"),
        (lambda told: codecs.BOM_UTF8 + told.encode(), "application/json"),
        (lambda told: told.encode("gbk"), "application/json;charset=GBK"),
        (lambda told: told.encode("gbk"), "application/json"),
        (lambda told: told.encode("gb18030"), "text/html; charset=gb2312"),
        (lambda told: told.encode(), "application/json;charset=GBK"),
        (lambda told: told.encode("utf-16"), "application/json; charset=utf-16"),
        (lambda told: told.encode("utf-16-be"), "application/json"),
        (lambda told: told.encode("utf-16-le"), "application/json"),
        (lambda told: told.encode("utf-32"), "application/json"),
    ],
    ids=["UTF-8", "BOM", "GBK", "GBK untold", "GB18030", "UTF-8 told as GBK", "UTF-16", "BE", "LE", "UTF-32"],
)
def test_answer_is_read_in_whatever_it_is_encoded(
    connect: Callable[..., CubeClient], said: dict[str, Any], encode: Callable[[str], bytes], content_type: str
) -> None:
    with Wire(answer(encode(text(said)), Content_Type=content_type)) as wire:
        told = send(connect(wire.url, keeps_messages=True))
    assert isinstance(told, CubeAnswer if said["success"] else CubeRejected)
    assert (told.code, told.message) == (said["code"], said["message"])


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        (b"\xff\xfe \x80", "\ufffd\ufffd \ufffd"),
        (WORDS.encode()[:-1], None),
        ("设备".encode("gbk") + "设备".encode(), None),
        # The second byte of this character is a backslash, which would hide the end of the text.
        ("誠".encode("gbk"), "誠"),
        (b"caf\xe9", "caf\ufffd"),
        (b"one\r\ntwo\x00", "one\r\ntwo\x00"),
        (b"\\ud83d", "?"),
    ],
    ids=["no text", "cut", "two encodings", "backslash", "Latin-1", "control characters", "half a pair"],
)
def test_words_that_are_broken_leave_code_and_success_legible(
    connect: Callable[..., CubeClient], message: bytes, kept: str | None
) -> None:
    for code, success, kind in (("0000", "true", CubeAnswer), ("9404", "false", CubeRejected)):
        body = b'{"code":"%s","message":"%s","success":%s}' % (code.encode(), message, success.encode())
        with Wire(answer(body)) as wire:
            told = send(connect(wire.url, keeps_messages=True))
        assert isinstance(told, kind)
        assert told.code == code
        assert kept is None or told.message == kept


@pytest.mark.parametrize(
    "body",
    [
        '{"code":"9404","success":false,"code":"0000","success":true}',
        '{"code":"0000","code":"0000","success":true}',
        '{"code":"0000","success":false,"success":true}',
        '{"success":true,"data":{"code":"0000"}}',
        '[["code","0000"],["success",true]]',
        '{"code":"0000","success":true}}',
        '{"code":"0000","success":true} null',
        '\ufeff\ufeff{"code":"0000","success":true}',
        '{"code":"0000","success":true,}',
        '{"code":0000,"success":true}',
        '{"code":0,"success":true}',
        '{"code":"0000","success":1}',
        '{"code":"0000","success":1.0}',
        '{"code":"0000","success":"true"}',
        '{"code":"0000","success":True}',
        '{"Code":"0000","Success":true}',
        '{"code":"0000","success":true,"data":NaN}',
        '{"code":"\uff10000","success":true}',
        '{"code":"0000\\u0000","success":true}',
        '"{\\"code\\":\\"0000\\",\\"success\\":true}"',
        "{'code':'0000','success':true}",
        '{"code":"9404","success":true}',
        '{"code":"0000","success":false}',
        '{"code":9404,"success":false}',
        '{"code":"9404","success":null}',
        '{"code":"0000","success":tru',
    ],
)
def test_answer_that_says_neither_yes_nor_no_leaves_the_outcome_unknown(
    connect: Callable[..., CubeClient], body: str
) -> None:
    with Wire(answer(body.encode())) as wire:
        assert type(send(connect(wire.url))) is CubeOutcomeUnknown


@pytest.mark.parametrize(
    "data", ["9" * 20_000, "1e999", '{"code":"9404","code":"9404","success":false}', '"\\u0000"', "[[[[]]]]"]
)
def test_members_that_nobody_reads_do_not_matter(connect: Callable[..., CubeClient], data: str) -> None:
    with Wire(answer(f'{{"code":"0000","data":{data},"success":true}}'.encode())) as wire:
        assert isinstance(send(connect(wire.url)), CubeAnswer)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "code": st.sampled_from(["0000", "9404", "0", 0, None]) | values,
        "success": st.sampled_from([True, False, 1, "true"]) | values,
        "message": values,
        "data": values,
    },
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=200)
    | envelopes.map(lambda told: json.dumps(told).encode())
    | st.tuples(envelopes, st.sampled_from(["utf-8-sig", "gbk", "utf-16", "utf-32", "latin-1"])).map(
        lambda both: text(both[0]).encode(both[1], "replace")
    )
    # A correct answer, some bytes of which are spoiled.
    | st.tuples(st.sampled_from([SUCCESS, REJECTED]), st.integers(0, 80), st.binary(max_size=4), st.integers(0, 4)).map(
        lambda one: (raw := text(one[0]).encode())[: one[1]] + one[2] + raw[one[1] + one[3] :]
    ),
    status=st.sampled_from([200, 200, 200, 201, 302, 400, 401, 404, 429, 500, 502, 503]),
    codes=st.sampled_from([None, CODES]),
    keeps=st.booleans(),
)
def test_any_answer_is_an_error_of_ours_or_a_success_that_says_so(
    connect: Callable[..., CubeClient], body: bytes, status: int, codes: Any, keeps: bool
) -> None:
    with Wire(answer(body, status)) as wire:
        told = send(connect(wire.url, answer_codes=codes, keeps_messages=keeps))
    if isinstance(told, CubeAnswer):
        # It is a success to a reader that is strict about everything but the encoding.
        read = json.loads(body.decode(json.detect_encoding(body), "replace"), strict=False)
        assert (status, read["code"], read["success"]) == (200, "0000", True)
        assert read["success"] is True
    else:
        assert type(told) is not CubeError


class TestListedCodes:
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("9401", CubeAuthenticationError),
            ("9429", CubeThrottled),
            ("9500", CubeUnavailable),
            ("BUSY", CubeUnavailable),
            ("9404", CubeRejected),
        ],
    )
    @pytest.mark.parametrize("status", [200, 400, 404])
    def test_code_means_what_its_list_says(
        self, connect: Callable[..., CubeClient], status: int, code: str, kind: type[CubeError]
    ) -> None:
        with Wire(answer(FAILURE | {"code": code}, status, Retry_After="7")) as wire:
            told = send(connect(wire.url, answer_codes=CODES))
        assert type(told) is kind
        assert (told.status, told.retry_after) == (status, 7.0)
        # And a code that the deployment knows is passed on, whatever its form
        assert told.code == code

    @pytest.mark.parametrize("said", [{"success": True}, {"code": "0000", "success": False}], ids=repr)
    def test_envelope_that_contradicts_itself_is_not_looked_up(
        self, connect: Callable[..., CubeClient], said: dict[str, Any]
    ) -> None:
        with Wire(answer(FAILURE | {"code": "9429"} | said)) as wire:
            assert type(send(connect(wire.url, answer_codes=CODES))) is CubeOutcomeUnknown

    @pytest.mark.parametrize("status", [301, 500, 502])
    def test_code_of_a_server_that_broke_is_not_looked_up(
        self, connect: Callable[..., CubeClient], status: int
    ) -> None:
        with Wire(answer(FAILURE | {"code": "9429"}, status)) as wire:
            assert type(send(connect(wire.url, answer_codes=CODES))) is CubeOutcomeUnknown

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(503, CubeUnavailable), (509, CubeThrottled), (502, CubeOutcomeUnknown), (429, CubeThrottled)],
    )
    def test_status_means_what_its_list_says(
        self, connect: Callable[..., CubeClient], status: int, kind: type[CubeError]
    ) -> None:
        with Wire(answer(b"<html></html>", status)) as wire:
            assert type(send(connect(wire.url, answer_codes=CODES))) is kind

    def test_success_is_never_looked_up(self, connect: Callable[..., CubeClient]) -> None:
        with Wire(answer()) as wire:
            assert isinstance(send(connect(wire.url, answer_codes=CODES)), CubeAnswer)
