"""The provider's words, as the client passes them on: none by default, and never content, secret or device."""

from __future__ import annotations

import base64
import html
import json
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cube_sms.provider.base import CubeAnswer, CubeError, CubeRejected
from tests.integration.wire import FAILURE, SUCCESS, Wire, answer
from tests.support import ACCESS_CODE, DEVICE, SECRET, post, send_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from cube_sms.provider.csss.client import CubeClient
    from cube_sms.request.models import SendRequest
    from local.cube_simulator import CubeSimulator

REDACTED = "[redacted]"

# What a provider's libraries may do to a text before it is part of an answer.
QUOTES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "cut": lambda text: text[: -(len(text) // 4) or None],
    "a part": lambda text: text[len(text) // 4 :],
    "upper case": str.upper,
    "lower case": str.lower,
    "HTML": html.escape,
    "HTML entities": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "JSON": json.dumps,
    "URL": urllib.parse.quote,
    "collapsed spaces": lambda text: " ".join(text.split()),
    "no spaces": lambda text: "".join(text.split()),
    "Base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "reversed": lambda text: text[::-1],
    "one by one": " ".join,
    "a sentence": "'{}' is not allowed".format,
}


def refused(client: CubeClient, request: SendRequest) -> CubeRejected:
    with pytest.raises(CubeRejected) as caught:
        post(client, request)
    return caught.value


def said(client: CubeClient, request: SendRequest) -> tuple[type, str, str | None, str | None, int | None]:
    """Return all that the client passes on of an answer, except times."""
    try:
        accepted: CubeAnswer = post(client, request)
    except CubeError as error:
        return type(error), str(error), error.code, error.message, error.status
    return CubeAnswer, "", accepted.code, accepted.message, 200


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=140),
    what=st.sampled_from(["content", "secret", "access code"]),
    quote=st.sampled_from([*QUOTES.values()]),
    status=st.sampled_from([200, 400, 401, 404, 429, 500, 502, 503]),
    envelope=st.sampled_from([SUCCESS, FAILURE, FAILURE | {"code": "9404", "success": True}]),
)
def test_nothing_that_is_quoted_in_a_message_makes_a_difference(
    connect: Callable[..., CubeClient],
    content: str,
    what: str,
    quote: Callable[[str], str],
    status: int,
    envelope: dict[str, Any],
) -> None:
    # Given a provider that quotes the request, its secret or its access code in some form, in each field for words
    quoted = quote({"content": content, "secret": SECRET, "access code": ACCESS_CODE}[what])
    words = {"message": quoted, "data": {"detail": quoted}, "detail": [quoted]}
    with Wire(answer(envelope | words, status), answer(envelope, status)) as wire:
        client, request = connect(wire.url), send_request(content)
        # When, then what is passed on is the same as of an answer that quotes nothing
        assert said(client, request) == said(client, request)
    # And the same goes for a page that is no envelope
    page = f"<html>{quoted}</html>".encode(errors="replace")
    with Wire(answer(page, status), answer(b"<html></html>", status)) as wire:
        client = connect(wire.url)
        assert said(client, request) == said(client, request)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=140)
    | st.text("0123456789 -", min_size=1, max_size=20),
    what=st.sampled_from(["content", "secret", "access code"]),
    quote=st.sampled_from([*QUOTES.values()]),
    length=st.integers(1, 140),
)
def test_nothing_that_is_quoted_as_the_code_is_passed_on(
    connect: Callable[..., CubeClient], content: str, what: str, quote: Callable[[str], str], length: int
) -> None:
    # Given a provider whose code is a quotation, or the beginning of one
    hidden = {"content": content, "secret": SECRET, "access code": ACCESS_CODE}[what]
    code = quote(hidden)[:length]
    with Wire(answer(FAILURE | {"code": code})) as wire:
        told = said(connect(wire.url), send_request(content))[2]
    # Then it is not passed on, except some digits that are not in the text
    if told not in (None, REDACTED):
        assert told == code
        assert code.isdecimal()
        assert len(code) <= 6
        assert code not in "".join(character for character in hidden if character.isdecimal())


@pytest.mark.parametrize("code", ["7001", "9404", "404", "100042", "CB-01-0006", "9500"])
def test_code_of_the_provider_is_kept(connect: Callable[..., CubeClient], code: str) -> None:
    with Wire(answer(FAILURE | {"code": code})) as wire:
        caught = refused(connect(wire.url), send_request())
    assert (caught.code, caught.message) == (code, None)


@pytest.mark.parametrize(
    ("code", "content"),
    [
        ("", "text"),
        ("4711", "Your PIN is 4711"),
        ("4711", "Your PIN is 47 11"),
        ("4711", "Your PIN is \uff14\uff17\uff11\uff11"),
        ("CB-00-4711", "4711"),
        ("42", "text"),
        ("1234567", "text"),
        ("PIN4711", "text"),
        ("7001\n", "text"),
        ("\ud800", "text"),
        ("٤٧١١", "text"),
        ("9" * 60_000, "text"),
    ],
)
def test_code_that_may_be_something_else_is_not_kept(
    connect: Callable[..., CubeClient], code: str, content: str
) -> None:
    body = json.dumps(FAILURE | {"code": code}).encode()
    with Wire(answer(body)) as wire:
        assert refused(connect(wire.url), send_request(content)).code == REDACTED


class TestKeptMessages:
    """A deployment that keeps the provider's words has them without what they quote verbatim."""

    @pytest.mark.parametrize(
        ("contents", "quoted", "hidden"),
        [
            (["Your PIN is 4711"], "invalid content: Your PIN is 4711!", "4711"),
            (["Your PIN", "Your PIN is 4711"], "invalid: Your PIN Your PIN is 4711", "4711"),
            (["4711"], "invalid content (4711)", "4711"),
            (["hi"], "invalid content: hi", ": hi"),
            (["你的密码"], "短信内容你的密码包含敏感词", "密码"),
            (["密码"], "短信内容密码包含敏感词", "密码"),
            (["kX7"], f"cannot sign with {SECRET}", SECRET[4:]),
            (["0009399522"], f"no such device {DEVICE}", DEVICE[:-4]),
            (["text"], f"no permission for {ACCESS_CODE}", ACCESS_CODE),
        ],
        ids=[
            *("one", "one in another", "digits", "short", "chinese", "short chinese"),
            *("part of the secret", "of the device", "access code"),
        ],
    )
    def test_message_is_without_content_secret_and_device(
        self, connect: Callable[..., CubeClient], contents: list[str], quoted: str, hidden: str
    ) -> None:
        # Given a provider that quotes what it refuses
        items = [{"smsTemplateContent": content, "smsType": "", "smsNum": "1"} for content in contents]
        with Wire(answer(FAILURE | {"message": quoted})) as wire:
            # When
            caught = refused(connect(wire.url, keeps_messages=True), send_request(smsContentList=items))
        # Then its words are kept, and nothing of what they are about
        assert (caught.message or "").startswith(quoted[:4])
        assert hidden not in f"{caught} {caught.message}"

    def test_message_that_echoes_the_request_is_redacted_and_bounded(
        self, cube: CubeSimulator, connect: Callable[..., CubeClient]
    ) -> None:
        cube.configure(device_faults={DEVICE: "echo"})
        caught = refused(connect(cube.url, keeps_messages=True), send_request("Wake up and report"))
        assert caught.message == f"{'*' * 16}{DEVICE[-4:]}: [redacted]"
        with Wire(answer(FAILURE | {"message": "m" * 5000})) as wire:
            caught = refused(connect(wire.url, keeps_messages=True), send_request())
        assert len(caught.message or "") <= 256

    @pytest.mark.parametrize(
        ("code", "kept"),
        [
            ("E_BUSY", "E_BUSY"),
            (SECRET, REDACTED),
            ("x" * 5000, "x" * 32),
            ("\x00\ufffe\ud800", "?"),
            ("\r\n", REDACTED),
            ("", REDACTED),
        ],
    )
    def test_code_is_kept_as_a_word_that_every_queue_takes(
        self, connect: Callable[..., CubeClient], code: str, kept: str
    ) -> None:
        body = json.dumps(FAILURE | {"code": code}).encode()
        with Wire(answer(body)) as wire:
            assert refused(connect(wire.url, keeps_messages=True), send_request()).code == kept

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(message=st.text(st.characters(), max_size=300))
    def test_message_has_a_form_in_utf_8(self, connect: Callable[..., CubeClient], message: str) -> None:
        body = json.dumps(FAILURE | {"message": message}).encode()
        with Wire(answer(body)) as wire:
            caught = refused(connect(wire.url, keeps_messages=True), send_request())
        assert len((caught.message or "").encode().decode()) <= 256
