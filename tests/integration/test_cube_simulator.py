"""The provider's simulator as its clients meet it: over a socket, with signatures made by other means."""

import base64
import contextlib
import gzip
import hmac
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from local.command import CommandError
from local.cube_simulator import CubeSimulator
from tests.integration.simulated import NOW, Answer, Simulated, request

ROOT = Path(__file__).parents[2]
PATH = "/cube/v4/sms/sendSms"
SUCCESS = {"code": "0000", "data": None, "message": "success", "success": True}

# Content and signature, made with: printf %s "$content" | openssl dgst -sha1 -hmac test-secret -binary | base64
PAGE = (
    '{"access_code":"P002276","deviceId":"89314404000939952215","messageType":"Text","smsContentList":'
    '[{"smsTemplateContent":"Test message","smsType":"","smsNum":"1"}],"timestamp":"1643253530","version":"2.0"}'
)
PAGE_SIGN = "ZRQ7VRiV08wHUq2DwpX+5A9iM1E="
UNICODE = (
    '{"access_code":"P002276","deviceId":"89860000000000000001","smsContentList":'
    '[{"smsNum":"1","smsType":"","smsTemplateContent":"温度/é 😀"}],"timestamp":"1643253530","version":"2.0"}'
)
UNICODE_SIGN = "YOyBsmyjmaaMU/rSPu9AW//Tu6E="
UNICODE_SIGN_WITH_NEXT_SECRET = "DpHQwX05mLOUX1ML9/bYZHEXOn4="


class Simulator(Simulated):
    """The simulator, as clients that use csss meet it."""

    def send(self, body: bytes | None = None, *, path: str = PATH, **headers: str) -> Answer:
        with self.connect() as connection:
            return send(connection, signed(now=self.now) if body is None else body, path=path, **headers)


def send(connection: http.client.HTTPConnection, body: bytes, *, path: str = PATH, **headers: str) -> Answer:
    given = {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
    return request(connection, "POST", path, body, given)


def with_sign(content: str, sign: str) -> bytes:
    return f'{content[:-1]},"sign":"{sign}"}}'.encode()


def signed(
    secret: str = "test-secret", *, device: str = "8931", text: str = "hello", now: float = NOW, **changes: Any
) -> bytes:
    """A request with some parameters changed; its keys are given in their sorted order."""
    parameters = {
        "access_code": "P002276",
        "deviceId": device,
        "messageType": "Text",
        "smsContentList": [{"smsTemplateContent": text, "smsType": "", "smsNum": "1"}],
        "timestamp": str(int(now)),
        "version": "2.0",
    } | changes
    content = json.dumps(parameters, separators=(",", ":"), ensure_ascii=False)
    return with_sign(content, base64.b64encode(hmac.digest(secret.encode(), content.encode(), "sha1")).decode())


def on_the_wire(body: bytes, *extra: str) -> bytes:
    head = [f"POST {PATH} HTTP/1.1", "Host: cube", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, *extra, "", ""]).encode() + body


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator.running() as running:
        yield running


class TestSignature:
    @pytest.mark.parametrize("body", [with_sign(PAGE, PAGE_SIGN), with_sign(UNICODE, UNICODE_SIGN)])
    @pytest.mark.parametrize("path", ["/sms/sendSms", PATH])
    def test_vectors_made_with_openssl_are_accepted(self, simulator: Simulator, body: bytes, path: str) -> None:
        answer = simulator.send(body, path=path)
        assert (answer.status, answer.json) == (200, SUCCESS)
        assert answer.headers["Content-Type"] == "application/json"

    @pytest.mark.parametrize(
        "body",
        [
            with_sign(PAGE, UNICODE_SIGN),
            with_sign(PAGE, "签名"),
            with_sign(PAGE.replace("Test message", "Test massage"), PAGE_SIGN),
            with_sign(PAGE.replace('"smsType":"","smsNum":"1"', '"smsNum":"1","smsType":""'), PAGE_SIGN),
            with_sign(PAGE.replace(',"smsType":""', ""), PAGE_SIGN),
            with_sign(UNICODE, UNICODE_SIGN_WITH_NEXT_SECRET),
        ],
        ids=["of another", "not base64", "content", "item order", "item's empty field", "secret"],
    )
    def test_signature_of_anything_else_is_forbidden(self, simulator: Simulator, body: bytes) -> None:
        answer = simulator.send(body)
        assert (answer.status, answer.json["success"], answer.json["message"]) == (403, False, "签名错误")
        assert simulator.requests()[0]["reason"] == "signature"

    @pytest.mark.parametrize(
        "body",
        [
            f'{{"sign":"{PAGE_SIGN}",{PAGE[1:]}'.encode(),
            with_sign(PAGE, PAGE_SIGN).replace(b'","deviceId', b'", "deviceId'),
            with_sign(PAGE, PAGE_SIGN) + b"\n",
            with_sign(UNICODE, UNICODE_SIGN).replace("é".encode(), b"\\u00e9"),
            with_sign(UNICODE, UNICODE_SIGN).replace(b'"smsContentList"', b'"messageType":null,"smsContentList"'),
            with_sign(PAGE[:-1].replace('"version":"2.0"', '"extra":"","version":"2.0"') + "}", PAGE_SIGN),
        ],
        ids=["sign first", "space", "line end", "escape", "null parameter", "empty parameter"],
    )
    def test_body_must_be_the_signed_text_itself_unless_lenient(self, simulator: Simulator, body: bytes) -> None:
        # Given a body whose parameters are signed rightly, but that is not the text that was signed
        assert simulator.send(body).status == 403
        assert simulator.requests()[0]["reason"] == "body"

        # When the check of the bytes is off, then it is accepted
        simulator.configure(lenientBody=True)
        assert simulator.send(body).json == SUCCESS

    def test_both_secrets_are_valid_while_they_are_rotated(self, simulator: Simulator) -> None:
        bodies = [with_sign(UNICODE, UNICODE_SIGN), with_sign(UNICODE, UNICODE_SIGN_WITH_NEXT_SECRET)]
        for secrets, statuses in [
            (["test-secret"], [200, 403]),
            (["test-secret", "next-secret"], [200, 200]),
            ("next-secret", [403, 200]),
        ]:
            simulator.configure(accounts={"P002276": secrets})
            assert [simulator.send(body).status for body in bodies] == statuses

    @pytest.mark.parametrize(
        ("wanted", "content"),
        [
            (
                {"keyOrder": "page"},
                '{"version":"2.0","access_code":"P002276","timestamp":"1643253530","deviceId":"89860000000000000001",'
                '"smsContentList":[{"smsNum":"1","smsType":"","smsTemplateContent":"温度/é 😀"}]}',
            ),
            ({"escapeSlashes": True}, UNICODE.replace("/", r"\/")),
            (
                {"escapeNonAscii": True},
                UNICODE.replace("温度/é 😀", r"\u6e29\u5ea6/\u00e9 \ud83d\ude00"),
            ),
        ],
        ids=["the page's order", "slashes escaped", "ASCII alone"],
    )
    def test_text_to_sign_can_be_wanted_in_another_form(
        self, simulator: Simulator, wanted: dict[str, Any], content: str
    ) -> None:
        simulator.configure(**wanted)
        sign = base64.b64encode(hmac.digest(b"test-secret", content.encode(), "sha1")).decode()
        # It is taken in this form, and in no other
        assert simulator.send(with_sign(content, sign)).json == SUCCESS
        assert simulator.send(with_sign(UNICODE, UNICODE_SIGN)).status == 403


class TestParameters:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b'"text"',
            b"\xff",
            b"[" * 100_000,
            b'{"a":' * 100_000,
            signed(extra=1).replace(b'"extra":1', b'"extra":NaN'),
            signed(text="x").replace(b'"x"', b'"\\ud800"'),
            signed().replace(b'"version"', b'"deviceId":"8931","version"'),
            signed().replace(b'"smsNum"', b'"smsType":"","smsNum"'),
        ],
        ids=["empty", "open", "array", "string", "utf-8", "deep", "deep object", "nan", "surrogate", "twice", "nested"],
    )
    def test_malformed_json_is_a_bad_request(self, simulator: Simulator, body: bytes) -> None:
        answer = simulator.send(body)
        assert (answer.status, answer.json["success"]) == (400, False)
        assert simulator.requests()[0]["reason"] == "json"

    @pytest.mark.parametrize(
        ("field", "values"),
        [
            ("version", [None, "", "1.0", 2.0]),
            ("access_code", [None, "", 7]),
            ("timestamp", [None, "", NOW, "now", "-1", "١٦٤٣٢٥٣٥٣٠", "1" * 17]),
            ("deviceId", [None, "", 8931, ["8931"]]),
            ("messageType", ["text", "", 1]),
            ("smsContentList", [None, "x", {}, [], ["x"], [{}] * 11]),
            ("smsTemplateContent", [1, ["x"]]),
            ("smsType", [False]),
            ("smsNum", [1]),
        ],
    )
    def test_each_field_is_required_in_its_type(self, simulator: Simulator, field: str, values: list[Any]) -> None:
        simulator.configure(qps=0)
        for value in values:
            changes = (
                {"smsContentList": [{field: value}]}
                if field in ("smsTemplateContent", "smsType", "smsNum")
                else {field: value}
            )
            answer = simulator.send(signed(**changes), Accept_Language="en-US")
            assert answer.status == 400, value
            assert field in answer.json["message"]

    def test_sign_is_required(self, simulator: Simulator) -> None:
        assert "sign" in simulator.send(PAGE.encode()).json["message"]

    @pytest.mark.parametrize(
        "changes",
        [
            {"messageType": "Binary", "text": "0a1b"},
            {"smsContentList": [{}] * 10},
            {"smsContentList": [{"smsTemplateContent": None, "smsType": None, "smsNum": None}]},
            {"zzz": {"b": [1, 2.5, True, None], "a": ""}},
        ],
    )
    def test_what_the_contract_leaves_open_is_accepted(self, simulator: Simulator, changes: dict[str, Any]) -> None:
        assert simulator.send(signed(**changes)).json == SUCCESS

    def test_message_type_may_be_absent(self, simulator: Simulator) -> None:
        assert "messageType" not in UNICODE
        assert simulator.send(with_sign(UNICODE, UNICODE_SIGN)).json == SUCCESS

    def test_unknown_access_code_is_unauthorised(self, simulator: Simulator) -> None:
        assert simulator.send(signed(access_code="P000000")).status == 401

    @pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000)])
    def test_timestamp_may_be_ten_minutes_off(self, simulator: Simulator, unit: str, factor: int) -> None:
        simulator.configure(timestampUnit=unit)
        statuses = [
            simulator.send(signed(timestamp=str((NOW + off) * factor))).status for off in (-601, -600, 600, 601)
        ]
        assert statuses == [400, 200, 200, 400]

    def test_timestamp_in_the_other_unit_is_refused(self, simulator: Simulator) -> None:
        assert simulator.send(signed(timestamp=str(NOW * 1000))).status == 400
        assert simulator.requests()[0]["reason"] == "timestamp"

    def test_content_type_must_be_json(self, simulator: Simulator) -> None:
        assert simulator.send(Content_Type="text/plain").status == 400
        assert simulator.requests()[0]["reason"] == "content-type"
        assert simulator.send(Content_Type="application/json; charset=utf-8").status == 200

    def test_unknown_device_is_told_in_the_envelope(self, simulator: Simulator) -> None:
        simulator.configure(unknownDevices=["8900"])
        answer = simulator.send(signed(device="8900"))
        assert answer.status == 200
        assert answer.json["success"] is False
        assert answer.json["code"] != "0000"
        assert simulator.send(signed(device="8931")).json == SUCCESS

    @pytest.mark.parametrize(
        ("language", "message"),
        [
            (None, "设备不存在"),
            ("zh-CN", "设备不存在"),
            ("en-US", "unknown device"),
            ("en-US,zh;q=0.5", "unknown device"),
        ],
    )
    def test_message_is_in_the_language_asked_for(
        self, simulator: Simulator, language: str | None, message: str
    ) -> None:
        simulator.configure(unknownDevices=["8931"])
        headers = {"Accept_Language": language} if language else {}
        assert simulator.send(signed(), **headers).json["message"] == message


class TestLimits:
    def test_rate(self, simulator: Simulator) -> None:
        # Given ten requests within a second, when more follow, then they are refused, with a time to wait
        assert [simulator.send().status for _ in range(12)] == [200] * 10 + [429] * 2
        assert simulator.send().headers["Retry-After"] == "1"

        # When the second is over, then requests are accepted again
        simulator.now += 1
        assert simulator.send().status == 200
        stats = simulator.stats()
        assert (stats["highestRate"], stats["highestAcceptedRate"], stats["quotaUsed"]) == (13, 10, 11)
        assert (stats["refused"], stats["reasons"]) == ({"429": 3}, {"qps": 3})

    def test_quota(self, simulator: Simulator) -> None:
        simulator.configure(quota=2)
        assert [simulator.send().status for _ in range(3)] == [200, 200, 429]
        seconds = int(simulator.send().headers["Retry-After"])
        assert (NOW + seconds) % 86400 == 0
        simulator.now += seconds
        assert simulator.send().status == 200

    @pytest.mark.parametrize("form", ["seconds", "date", "none"])
    def test_forms_of_retry_after(self, simulator: Simulator, form: str) -> None:
        simulator.configure(qps=1, retryAfter=form)
        simulator.send()
        value = simulator.send().headers["Retry-After"]
        if form == "date":
            assert parsedate_to_datetime(value).timestamp() == NOW + 1
        else:
            assert value == {"seconds": "1", "none": None}[form]

    def test_connections(self, simulator: Simulator) -> None:
        with contextlib.ExitStack() as stack:
            # Given three idle connections that have carried a message, and administrative ones beside them
            admin = stack.enter_context(simulator.connect())
            held = [stack.enter_context(simulator.connect()) for _ in range(3)]
            for connection in held:
                assert request(admin, "GET", "/_health").json == {"status": "ok"}
                assert send(connection, signed()).status == 200

            # When a fourth sends, then it is refused and closed, and the three go on
            with simulator.raw() as surplus:
                surplus.sendall(on_the_wire(signed()))
                assert read_all(surplus).startswith(b"HTTP/1.1 429 ")
            assert send(held[0], signed()).status == 200

            # When one of the three closes, then another may take its place
            held[1].close()
            assert simulator.send().status == 200

        stats = simulator.stats()
        assert (stats["highestConcurrency"], stats["connections"]) == (4, 5)
        assert stats["reasons"] == {"connections": 1}

    def test_zero_switches_the_limits_off(self, simulator: Simulator) -> None:
        simulator.configure(qps=0, connections=0, quota=0)
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(simulator.connect()) for _ in range(15)]
            assert {send(connection, signed()).status for connection in connections} == {200}


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "status", "content_type"),
        [
            ("status:503", 503, "text/html"),
            ("status:400", 400, "application/json"),
            ("status=500", 500, "text/html"),
            ("status:204", 204, None),
            ("status-after:502", 502, "text/html"),
            ("status-after:403", 403, "application/json"),
        ],
    )
    def test_status(self, simulator: Simulator, fault: str, status: int, content_type: str | None) -> None:
        simulator.configure(deviceFaults={"8931": fault})
        answer = simulator.send()
        assert (answer.status, answer.headers["Content-Type"]) == (status, content_type)
        if content_type == "application/json":
            assert answer.json["success"] is False
        self.booked(simulator, accepted="after" in fault, status=status)

    @pytest.mark.parametrize(
        ("fault", "seconds"),
        [
            ("status:429", "1"),
            ("status:429+30", "30"),
            ("status:503", "1"),
            ("status:503+0", "0"),
            ("status:503+none", None),
            ("status:500", None),
            ("status-after:502", None),
            ("status-after:503", None),
            ("status-after:503+7", "7"),
        ],
    )
    def test_status_says_when_to_retry(self, simulator: Simulator, fault: str, seconds: str | None) -> None:
        simulator.configure(nextFaults=[fault])
        assert simulator.send().headers["Retry-After"] == seconds

    @pytest.mark.parametrize("fault", ["reset", "lost"])
    def test_reset(self, simulator: Simulator, fault: str) -> None:
        simulator.configure(deviceFaults={"8931": fault})
        with simulator.raw() as connection:
            connection.sendall(on_the_wire(signed()))
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        self.booked(simulator, accepted=fault == "lost", status=None)

    def test_drop(self, simulator: Simulator) -> None:
        simulator.configure(deviceFaults={"8931": "drop"})
        with simulator.raw() as connection:
            connection.sendall(on_the_wire(signed()))
            assert connection.recv(1) == b""
        self.booked(simulator, accepted=False, status=None)

    def test_rejected(self, simulator: Simulator) -> None:
        simulator.configure(deviceFaults={"8931": "rejected:4711"})
        answer = simulator.send()
        assert (answer.status, answer.json["code"], answer.json["success"]) == (200, "4711", False)
        self.booked(simulator, accepted=False, status=200)

    def test_echo(self, simulator: Simulator) -> None:
        simulator.configure(deviceFaults={"8931": "echo"})
        answer = simulator.send(signed(text="my secret"))
        assert answer.json["success"] is False
        assert "my secret" in answer.json["message"]
        assert "8931" in answer.json["message"]
        self.booked(simulator, accepted=False, status=200)

    @pytest.mark.parametrize(
        ("form", "quote"),
        [
            ("plain", "My  <b>PIN</b> 温度"),
            ("cut", "My  <b>PIN</b"),
            ("upper", "MY  <B>PIN</B> 温度"),
            ("html", "My  &lt;b&gt;PIN&lt;/b&gt; &#28201;&#24230;"),
            ("json", '"My  <b>PIN</b> \\u6e29\\u5ea6"'),
            ("spaces", "My <b>PIN</b> 温度"),
            ("base64", "TXkgIDxiPlBJTjwvYj4g5rip5bqm"),
        ],
    )
    def test_echo_in_another_form(self, simulator: Simulator, form: str, quote: str) -> None:
        simulator.configure(nextFaults=[f"echo:{form}"])
        answer = simulator.send(signed(text="My  <b>PIN</b> 温度"))
        assert answer.json["message"] == f"8931: {quote}"

    @pytest.mark.parametrize("content", ["4711", "0000"])
    def test_echo_as_the_code(self, simulator: Simulator, content: str) -> None:
        simulator.configure(nextFaults=["echo:code"])
        answer = simulator.send(signed(text=content))
        assert (answer.json["code"], answer.json["success"]) == (content, False)
        self.booked(simulator, accepted=False, status=200)

    def test_refusals_may_come_as_envelopes_alone(self, simulator: Simulator) -> None:
        # Given a provider that says all with HTTP 200
        simulator.configure(envelopeOnly=True, qps=1)
        # When a request is refused, and one is over the limit
        answers = [simulator.send(signed(access_code="P9")), simulator.send()]
        # Then its codes show why
        assert [(answer.status, answer.json["code"]) for answer in answers] == [(200, "9401"), (200, "9429")]
        assert answers[1].headers["Retry-After"] == "1"

    def test_redirect(self, simulator: Simulator) -> None:
        simulator.configure(deviceFaults={"8931": "redirect:http://127.0.0.1:9/x"})
        answer = simulator.send()
        assert (answer.status, answer.headers["Location"]) == (302, "http://127.0.0.1:9/x")
        self.booked(simulator, accepted=False, status=302)

    def test_garbage(self, simulator: Simulator) -> None:
        simulator.configure(deviceFaults={"8931": "garbage"})
        answer = simulator.send()
        assert answer.status == 200
        with pytest.raises(json.JSONDecodeError):
            json.loads(answer.body)
        self.booked(simulator, accepted=True, status=200)

    def test_truncated(self, simulator: Simulator) -> None:
        simulator.configure(deviceFaults={"8931": "truncated"})
        with pytest.raises(http.client.IncompleteRead) as caught:
            simulator.send()
        assert caught.value.partial
        self.booked(simulator, accepted=True, status=200)

    def test_huge(self, simulator: Simulator) -> None:
        simulator.configure(deviceFaults={"8931": "huge"})
        answer = simulator.send()
        assert len(answer.body) > 1024 * 1024
        assert answer.json["success"] is True
        self.booked(simulator, accepted=True, status=200)

    def test_bomb(self, simulator: Simulator) -> None:
        simulator.configure(deviceFaults={"8931": "bomb"})
        answer = simulator.send()
        assert answer.headers["Content-Encoding"] == "gzip"
        assert len(answer.body) < 64 * 1024
        assert len(gzip.decompress(answer.body)) > 10 * 1024 * 1024
        self.booked(simulator, accepted=True, status=200)

    @pytest.mark.parametrize("change", [{"deviceFaults": {"8931": "delay:0.2"}}, {"latency": 0.2}])
    def test_delay(self, simulator: Simulator, change: dict[str, Any]) -> None:
        simulator.configure(**change)
        started = time.monotonic()
        assert simulator.send().json == SUCCESS
        assert time.monotonic() - started > 0.19

    def test_trickle(self, simulator: Simulator) -> None:
        # Given an answer of which every byte takes 5 ms, when it is read, then it took that long and is whole
        simulator.configure(deviceFaults={"8931": "trickle:0.005"})
        with simulator.raw() as connection:
            started = time.monotonic()
            connection.sendall(on_the_wire(signed(), "Connection: close"))
            answer = read_all(connection)
        assert time.monotonic() - started > 0.004 * len(answer)
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == SUCCESS
        self.booked(simulator, accepted=True, status=200)

    def test_client_that_gives_up_is_in_the_books_without_a_status(self, simulator: Simulator) -> None:
        # Given two requests whose answers are a minute away
        simulator.configure(deviceFaults={"8931": "delay:60"})
        with simulator.raw() as first, simulator.raw() as second:
            for connection in (first, second):
                connection.sendall(on_the_wire(signed()))
            eventually(lambda: bool(simulator.stats()["received"] == 2))

        # When their clients leave, then both were accepted, neither was answered, and their connections are free
        assert [(entry["accepted"], entry["status"]) for entry in simulator.requests()] == [(True, None)] * 2
        assert simulator.stats()["highestInFlight"] == 2
        simulator.call("POST", "/_reset")
        assert simulator.stats()["highestInFlight"] == 0

    def test_fault_after_processing_does_not_accept_what_is_wrong(self, simulator: Simulator) -> None:
        simulator.configure(deviceFaults={"8931": "status-after:500"})
        assert simulator.send(signed(secret="wrong")).status == 500
        entry = simulator.requests()[0]
        assert (entry["accepted"], entry["reason"], entry["fault"]) == (False, "signature", "status-after:500")

    def test_provider_that_recovers(self, simulator: Simulator) -> None:
        # Given a device whose first two requests fail
        simulator.configure(deviceFaults={"8931": "status:503*2"})
        statuses = [simulator.send(signed(device=device)).status for device in ("8931", "8932", "8931", "8931")]
        assert statuses == [503, 200, 503, 200]

        # When the simulator is reset, then they fail once more
        simulator.call("POST", "/_reset")
        assert [simulator.send().status for _ in range(3)] == [503, 503, 200]

    def test_queue_of_faults_for_the_next_requests(self, simulator: Simulator) -> None:
        simulator.configure(nextFaults=["status:500*2", "status:502"], deviceFaults={"8931": "status:418*1"})
        assert simulator.call("GET", "/_config").json["nextFaults"] == ["status:500*2", "status:502*1"]
        assert [simulator.send().status for _ in range(5)] == [500, 500, 502, 418, 200]
        assert simulator.stats()["faults"] == {"status": 4}

    def test_rates_are_repeatable(self, simulator: Simulator) -> None:
        # Given faults by rate, when the same requests come after a reset, then the same of them are struck
        simulator.configure(qps=0, faults={"status:503": 0.3, "rejected": 0.2})

        def faults() -> list[str | None]:
            for _ in range(200):
                simulator.send()
            return [entry["fault"] for entry in simulator.requests()]

        first = faults()
        simulator.call("POST", "/_reset")
        assert faults() == first
        assert 30 < first.count("status:503") < 90
        assert 15 < first.count("rejected:9500") < 70

    def test_limits_come_before_faults(self, simulator: Simulator) -> None:
        simulator.configure(qps=1, nextFaults=["status:503*2"])
        assert [simulator.send().status for _ in range(3)] == [503, 429, 429]

    def booked(self, simulator: Simulator, *, accepted: bool, status: int | None) -> None:
        [entry] = simulator.requests()
        stats = simulator.stats()
        assert (entry["accepted"], entry["status"]) == (accepted, status)
        assert stats["accepted"] == accepted
        assert stats["refused"] == ({} if accepted else {str(status or "none"): 1})
        assert stats["faults"] == {entry["fault"].partition(":")[0]: 1}


class TestHttp:
    def test_other_paths_and_methods(self, simulator: Simulator) -> None:
        assert simulator.send(path="/sms/sendSmsTo").status == 404
        answer = simulator.call("GET", PATH)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        assert (simulator.call("HEAD", PATH).status, simulator.call("HEAD", PATH).body) == (405, b"")
        assert simulator.call("DELETE", "/_stats").status == 405
        assert simulator.stats()["received"] == 0

    def test_many_requests_share_one_connection(self, simulator: Simulator) -> None:
        with simulator.connect() as connection:
            assert [send(connection, signed()).status for _ in range(5)] == [200] * 5
        assert simulator.stats()["connections"] == 1

    def test_requests_sent_ahead_are_answered_in_order(self, simulator: Simulator) -> None:
        with simulator.raw() as connection:
            connection.sendall(on_the_wire(signed()) + on_the_wire(b"{") + on_the_wire(signed(), "Connection: close"))
            answers = read_all(connection).split(b"HTTP/1.1 ")[1:]
        assert [answer[:3] for answer in answers] == [b"200", b"400", b"200"]

    def test_idle_connection_is_closed(self, simulator: Simulator) -> None:
        with simulator.raw() as connection:
            # Given a connection that is answered while idle ones are kept for a minute
            connection.sendall(on_the_wire(signed()))
            assert connection.recv(12) == b"HTTP/1.1 200"

            # When it is answered again after that time was cut, then it is closed without another request
            simulator.configure(keepAlive=0.05)
            connection.sendall(on_the_wire(b"{"))
            assert b"HTTP/1.1 400" in read_all(connection)

    def test_client_that_waits_for_a_word_is_told_to_go_on(self, simulator: Simulator) -> None:
        with simulator.raw() as connection:
            head, _, body = on_the_wire(signed(), "Expect: 100-continue", "Connection: close").partition(b"\r\n\r\n")
            connection.sendall(head + b"\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 100"
            connection.sendall(body)
            assert b"HTTP/1.1 200" in read_all(connection)

    @pytest.mark.parametrize(
        ("sent", "status"),
        [(b"nonsense\r\n\r\n", b"400"), (on_the_wire(b" " * (1024 * 1024 + 1)), b"413")],
        ids=["malformed", "too large"],
    )
    def test_what_is_not_http_is_refused(self, simulator: Simulator, sent: bytes, status: bytes) -> None:
        with simulator.raw() as connection:
            connection.sendall(sent)
            assert connection.recv(12) == b"HTTP/1.1 " + status


class TestAdministration:
    def test_requests_are_listed_in_order(self, simulator: Simulator) -> None:
        # Given an accepted request, one that is refused, and one that cannot be read
        simulator.send(signed(device="8931", text="one"))
        simulator.now += 2
        simulator.send(signed(secret="wrong", device="8932", messageType="Binary"))
        simulator.send(b"{")

        # Then each is listed with all that is known of it
        first, second, third = simulator.requests()
        assert first == {
            "n": 1,
            "at": NOW,
            "deviceId": "8931",
            "accessCode": "P002276",
            "messageType": "Text",
            "contents": ["one"],
            "status": 200,
            "accepted": True,
            "reason": None,
            "fault": None,
            "connection": first["connection"],
            "nonce": None,
            "jobId": None,
        }
        assert (second["at"], second["status"], second["messageType"]) == (NOW + 2, 403, "Binary")
        assert (third["n"], third["deviceId"], third["contents"], third["reason"]) == (3, None, [], "json")
        assert len({entry["connection"] for entry in (first, second, third)}) == 3
        assert simulator.requests("?deviceId=8932") == [second]

    def test_reset_clears_the_books_and_limits_and_keeps_the_configuration(self, simulator: Simulator) -> None:
        simulator.configure(qps=1)
        assert [simulator.send().status for _ in range(2)] == [200, 429]
        assert simulator.call("POST", "/_reset").status == 200
        assert simulator.requests() == []
        assert simulator.stats() == {
            "received": 0,
            "accepted": 0,
            "repeated": 0,
            "messages": 0,
            "read": 0,
            "refused": {},
            "reasons": {},
            "faults": {},
            "highestRate": 0,
            "highestAcceptedRate": 0,
            "highestConcurrency": 0,
            "highestInFlight": 0,
            "connections": 0,
            "quotaUsed": 0,
        }
        assert [simulator.send().status for _ in range(2)] == [200, 429]

    def test_configuration_is_shown_without_secrets(self, simulator: Simulator) -> None:
        simulator.configure(accounts={"P1": ["hush-1", "hush-2"]}, faults={"delay:2": 0.5}, unknownDevices=["1"])
        simulator.configure(callbackUrl="http://127.0.0.1:9/hush", callbackKey="hush-3")
        answer = simulator.call("GET", "/_config")
        assert b"hush" not in answer.body
        assert answer.json == {
            "qps": 10,
            "connections": 3,
            "quota": 5000,
            "latency": 0,
            "keepAlive": 60,
            "retryAfter": "seconds",
            "timestampUnit": "s",
            "keyOrder": "sorted",
            "escapeSlashes": False,
            "escapeNonAscii": False,
            "lenientBody": False,
            "envelopeOnly": False,
            "accounts": {"P1": 2},
            "keys": {},
            "signedSpaces": "keep",
            "unknownDevices": ["1"],
            "foreignDevices": [],
            "sentStatuses": {},
            "receiptDelay": 0.0,
            "receiptDelays": {},
            "faults": {"delay:2": 0.5},
            "deviceFaults": {},
            "nextFaults": [],
            "replyDevices": {},
            "callbackUrl": True,
            "callbackV4Url": False,
            "callbackKeyId": "",
            "callbackKey": True,
            "callbackCa": "",
            "callbackTries": 3,
            "callbackPause": 0.5,
            "seed": 7,
        }

    @pytest.mark.parametrize(
        ("name", "value", "fault"),
        [
            ("qps", -1, "whole number"),
            ("qps", True, "whole number"),
            ("quota", "5", "whole number"),
            ("latency", "fast", "number"),
            ("retryAfter", "later", "seconds, date, none"),
            ("timestampUnit", "us", "s, ms"),
            ("lenientBody", 1, "true or false"),
            ("accounts", {"P1": []}, "secret"),
            ("accounts", ["P1"], "object"),
            ("unknownDevices", "8931", "list"),
            ("faults", {"delay": 0.6, "reset": 0.5}, "add up"),
            ("faults", {"sulk": 0.5}, "sulk"),
            ("deviceFaults", {"1": "status:99"}, "99"),
            ("deviceFaults", {"1": "status"}, "status"),
            ("deviceFaults", {"1": "reset:1"}, "reset"),
            ("callbackUrl", "https://example.com/token", "this machine"),
            ("callbackV4Url", "https://example.com/token", "this machine"),
            ("callbackUrl", 1, "string"),
            ("replyDevices", {"1": 1}, "string"),
            ("deviceFaults", {"1": 7}, "string"),
            ("nextFaults", ["rejected:0000"], "0000"),
            ("qpx", 1, "no such setting"),
        ],
    )
    def test_wrong_setting_is_named_and_nothing_is_changed(
        self, simulator: Simulator, name: str, value: Any, fault: str
    ) -> None:
        before = simulator.call("GET", "/_config").json
        answer = simulator.call("PUT", "/_config", {"connections": 9, name: value})
        assert answer.status == 400
        assert answer.json["error"].startswith(f"{name}: ")
        assert fault in answer.json["error"]
        assert simulator.call("GET", "/_config").json == before

    def test_configuration_must_be_an_object(self, simulator: Simulator) -> None:
        assert simulator.call("PUT", "/_config", [1]).status == 400


class TestProcess:
    def test_helper_runs_the_simulator_with_options(self) -> None:
        # Given a simulator of its own process with an account, a fault for a device and a seed
        with CubeSimulator(
            qps=0,
            connections=None,
            seed=3,
            lenient_body=True,
            account=["P1=one", "P1=two"],
            fault_device=["8931=status:503*1"],
        ) as cube:
            assert cube.seed == 3
            simulator = Simulator(port=int(cube.url.rpartition(":")[2]), now=time.time())
            body = signed("two", access_code="P1", now=time.time())

            # When a message is sent twice, then the first fails and the second is accepted
            assert [simulator.send(body).status for _ in range(2)] == [503, 200]
            assert [entry["accepted"] for entry in cube.requests("8931")] == [False, True]
            assert cube.requests("8932") == []

            # When it is configured and reset at run time, then it is so, and a wrong setting is an error
            config = cube.configure(device_faults={}, keep_alive=5)
            assert (config["keepAlive"], config["qps"], config["lenientBody"], config["accounts"]) == (
                5,
                0,
                True,
                {"P1": 2},
            )
            cube.reset()
            assert cube.stats()["received"] == 0
            with pytest.raises(ValueError, match=r"^latency: "):
                cube.configure(latency=-1)
        assert cube.stop() == 0

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_clean_exit_on_a_signal_with_a_connection_open(self, number: signal.Signals) -> None:
        with self.started("--seed", "5") as child:
            assert child.stdout is not None
            ready = json.loads(child.stdout.readline())
            assert (ready["event"], ready["seed"]) == ("listening", 5)
            with Simulator(port=int(ready["url"].rpartition(":")[2])).raw():
                child.send_signal(number)
                assert child.wait(30) == 0

    def test_log_has_a_line_for_each_request(self) -> None:
        with self.started("--log", "--fault", "drop=1") as child:
            assert child.stdout is not None
            simulator = Simulator(port=int(json.loads(child.stdout.readline())["url"].rpartition(":")[2]))
            with pytest.raises(http.client.RemoteDisconnected):
                simulator.send()
            child.terminate()
            [line] = child.communicate(timeout=30)[1].splitlines()
        assert (json.loads(line)["deviceId"], json.loads(line)["fault"]) == ("8931", "drop")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--host", "0.0.0.0"], "not a loopback address"),
            (["--host", "example.org"], "not a loopback address"),
            (["--qps", "-1"], "qps: must be a whole number"),
            (["--fault", "status:503"], "KIND[:ARGUMENT]=RATE"),
            (["--fault-device", "8931=sulk"], "sulk"),
            (["--account", "P1"], "NAME=VALUE"),
        ],
    )
    def test_wrong_options_are_refused(self, arguments: list[str], message: str) -> None:
        with self.started(*arguments) as child:
            _, errors = child.communicate(timeout=30)
        assert child.returncode == 2
        assert message in errors

    def test_helper_reports_a_simulator_that_does_not_start(self) -> None:
        with pytest.raises(CommandError, match="did not start"):
            CubeSimulator(qps=-1)

    def test_simulator_ends_with_a_parent_that_is_killed(self) -> None:
        # Given a parent that runs a simulator
        script = "from local.cube_simulator import CubeSimulator as C; c = C(); print(c.url, flush=True); input()"
        with subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as parent:
            assert parent.stdout is not None
            simulator = Simulator(port=int(parent.stdout.readline().strip().rpartition(":")[2]))
            simulator.raw().close()

            # When the parent is killed without a chance to clean up, then the simulator stops listening
            parent.kill()

        def gone() -> bool:
            try:
                simulator.raw().close()
            except ConnectionRefusedError:
                return True
            return False

        eventually(gone)

    @contextlib.contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "local.cube_simulator", *arguments]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            try:
                yield child
            finally:
                child.kill()
