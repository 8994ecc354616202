"""The handler of the REST API, with provider, queue and secret behind it."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin
from uuid import UUID

import pytest

from cube_sms.request.parsing import parse_send_request
from tests.integration.wire import FAILURE, Wire, answer
from tests.support import ACCESS_CODE, SECRET, load_event

if TYPE_CHECKING:
    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import ApiAnswer, Deployment

MESSAGE = {"deviceId": "89314404000939952217", "content": "Test message"}


def assert_problem(reply: ApiAnswer, status: int, **members: Any) -> None:
    assert reply.status == status
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json["status"] == status
    assert reply.json["title"]
    assert reply.json["detail"]
    assert members.items() <= reply.json.items()


class TestSend:
    def test_message_is_sent_at_once(self, cube: CubeSimulator, gateway: Deployment) -> None:
        reply = gateway.call(load_event("api-post-text"))
        assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
        assert reply.json == {
            "requestId": "order-7801-wakeup",
            "account": "default",
            "state": "SENT",
            "code": "0000",
            "attempts": 1,
            "possiblyDuplicated": False,
        }
        assert [request["contents"] for request in cube.requests()] == [["Wake up and report your temperature"]]

    def test_body_may_come_in_base64(self, cube: CubeSimulator, gateway: Deployment) -> None:
        event = load_event("api-post-text")
        event["body"] = base64.b64encode(
            json.dumps(MESSAGE | {"content": "温度 🌡️"}, ensure_ascii=False).encode()
        ).decode()
        event["isBase64Encoded"] = True
        assert gateway.call(event).status == 200
        assert cube.requests()[0]["contents"] == ["温度 🌡️"]

    @pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
    def test_idempotency_key_is_the_requests_id(self, gateway: Deployment, name: str) -> None:
        reply = gateway.post(MESSAGE, **{name.replace("-", "_"): "order-7801:retry.1"})
        assert (reply.status, reply.json["requestId"]) == (200, "order-7801:retry.1")

    def test_idempotency_key_may_repeat_the_id_of_the_body(self, gateway: Deployment) -> None:
        reply = gateway.post(MESSAGE | {"requestId": "order-1"}, Idempotency_Key="order-1")
        assert (reply.status, reply.json["requestId"]) == (200, "order-1")

    def test_request_without_an_id_gets_a_new_one_each_time(self, gateway: Deployment) -> None:
        replies = [gateway.post(MESSAGE).json["requestId"] for _ in range(2)]
        assert len({UUID(reply) for reply in replies}) == 2

    def test_event_without_headers_is_served(self, gateway: Deployment) -> None:
        # Given an event as the console's test button makes it
        event = load_event("api-post-text") | {"headers": None, "multiValueHeaders": None}
        assert gateway.call(event).status == 200

    def test_warm_invocations_share_a_connection(self, cube: CubeSimulator, gateway: Deployment) -> None:
        assert [gateway.post(MESSAGE).status for _ in range(5)] == [200] * 5
        assert cube.stats()["connections"] == 1

    @pytest.mark.parametrize(
        "key",
        [
            '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
            ' "8e03978e-40d5-43dd-bc93-6894a57f9324" ',
            '"8e03978e-40d5-43dd-bc93-6894a57f9324";v=1',
            '"8e03978e-40d5-43dd-bc93-6894a57f9324" ; v="1"',
            "8e03978e-40d5-43dd-bc93-6894a57f9324, 8e03978e-40d5-43dd-bc93-6894a57f9324",
            '"8e03978e-40d5-43dd-bc93-6894a57f9324",8e03978e-40d5-43dd-bc93-6894a57f9324',
        ],
    )
    def test_idempotency_key_in_quotes_is_the_text_in_them(
        self, cube: CubeSimulator, gateway: Deployment, key: str
    ) -> None:
        replies = [
            gateway.post(MESSAGE, Idempotency_Key=each) for each in (key, "8e03978e-40d5-43dd-bc93-6894a57f9324")
        ]
        assert {(reply.status, reply.json["requestId"]) for reply in replies} == {
            (200, "8e03978e-40d5-43dd-bc93-6894a57f9324")
        }
        assert cube.stats()["received"] == 1

    @pytest.mark.parametrize(
        ("lines", "status"),
        [(["order-1", "order-1"], 200), (['"order-1"', "order-1"], 200), (["order-1", "order-2"], 400)],
    )
    def test_idempotency_key_on_several_lines_is_one_key_or_none(
        self, gateway: Deployment, lines: list[str], status: int
    ) -> None:
        event = load_event("api-post-text") | {"body": json.dumps(MESSAGE)}
        event["headers"]["idempotency-KEY"], event["multiValueHeaders"]["idempotency-KEY"] = lines[-1], lines
        reply = gateway.call(event)
        assert reply.status == status
        if status == 400:
            assert [error["path"] for error in reply.json["errors"]] == ["Idempotency-Key"]

    def test_header_may_be_in_either_member_of_the_event(self, gateway: Deployment) -> None:
        # Given events as hand-made tests and API Gateway's own test button have them
        event = load_event("api-post-text") | {"body": json.dumps(MESSAGE)}
        for headers in (
            {"headers": {"Idempotency-Key": "order-1"}, "multiValueHeaders": None},
            {"headers": None, "multiValueHeaders": {"Idempotency-Key": ["order-1"]}},
        ):
            assert gateway.call(event | headers).json["requestId"] == "order-1"

    def test_byte_order_mark_before_the_json_is_ignored(self, gateway: Deployment) -> None:
        body = "\ufeff" + json.dumps(MESSAGE)
        event = load_event("api-post-text")
        assert gateway.call(event | {"body": body}).status == 200
        encoded = base64.b64encode(body.encode()).decode()
        assert gateway.call(event | {"body": encoded, "isBase64Encoded": True}).status == 200

    def test_fields_that_are_null_count_as_absent(self, cube: CubeSimulator, gateway: Deployment) -> None:
        # Given a caller whose serializer writes them, and one whose does not
        nulls = dict.fromkeys(["requestId", "expiresAt", "messageType", "smsContentList", "account", "taskToken"])
        replies = [gateway.post(body, Idempotency_Key="order-1") for body in (MESSAGE | nulls, MESSAGE)]
        # Then it is one request
        assert [reply.status for reply in replies] == [200, 200]
        assert cube.stats()["received"] == 1

    def test_message_is_sent_under_the_base_path_of_a_custom_domain(self, gateway: Deployment) -> None:
        event = load_event("api-post-text") | {"path": "/sms/messages", "body": json.dumps(MESSAGE)}
        assert gateway.call(event).status == 200


class TestQueue:
    @pytest.mark.parametrize(
        ("base", "path"),
        [
            # As API Gateway has it: `path` holds the base path of a custom domain, and no stage but one below that.
            ("/prod", "/messages"),
            ("", "/messages"),
            ("/sms", "/sms/messages"),
            ("/sms/prod", "/sms/prod/messages"),
            ("/prod", "/messages/"),
            ("/sms", "/sms/messages/"),
        ],
    )
    def test_location_can_be_followed_from_the_url_that_was_called(
        self, gateway: Deployment, base: str, path: str
    ) -> None:
        # Given a call, and the URL it was made to
        event = load_event("api-post-async") | {"path": path}
        url = f"https://sms.example.com{base}/messages" + ("/" if path.endswith("/") else "")
        # When
        reply = gateway.call(event)
        # Then
        assert reply.status == 202
        assert urljoin(url, reply.headers["Location"]) == f"https://sms.example.com{base}/messages/order-7802-wakeup"

    @pytest.mark.parametrize(
        ("lines", "status"),
        [
            (["respond-async", "wait=10"], 202),
            (["wait=10", "RESPOND-ASYNC"], 202),
            (["wait=10, respond-async", "return=minimal"], 202),
            (["wait=10", "return=minimal"], 200),
        ],
    )
    def test_preference_may_stand_on_any_line(self, gateway: Deployment, lines: list[str], status: int) -> None:
        event = load_event("api-post-text")
        event["headers"]["prefer"], event["multiValueHeaders"]["prefer"] = lines[-1], lines
        assert gateway.call(event).status == status

    def test_message_is_queued_where_the_caller_prefers_that(self, cube: CubeSimulator, gateway: Deployment) -> None:
        # When
        event = load_event("api-post-async")
        reply = gateway.call(event)
        # Then the answer says where the message is
        assert (reply.status, reply.headers["Content-Type"]) == (202, "application/json")
        assert reply.headers["Location"] == "messages/order-7802-wakeup"
        assert reply.headers["Preference-Applied"] == "respond-async"
        assert reply.json == {"requestId": "order-7802-wakeup", "account": "default"}
        # And the queue has the same request, which is still to be sent
        (body,) = gateway.queued()
        given = parse_send_request(event["body"].encode(), request_id="order-7802-wakeup")
        assert parse_send_request(body.encode()) == given
        assert cube.stats()["received"] == 0

    @pytest.mark.parametrize(
        "fields",
        [
            {"messageType": "Binary", "content": "00ff", "requestId": "order-1"},
            {"content": "温度 🌡️\n", "requestId": "order-1", "delivery": "at-most-once"},
            {"requestId": "order-1", "account": "fleet", "expiresAt": "2099-01-31T12:00:00.250+08:00"},
        ],
    )
    def test_queued_request_is_the_one_that_was_given(self, gateway: Deployment, fields: dict[str, Any]) -> None:
        given = MESSAGE | fields
        reply = gateway.post(given, Prefer="respond-async")
        account = "?account=fleet" if "account" in fields else ""
        assert (reply.status, reply.headers["Location"]) == (202, f"messages/order-1{account}")
        assert [parse_send_request(body.encode()) for body in gateway.queued()] == [
            parse_send_request(json.dumps(given).encode())
        ]

    def test_what_was_queued_by_one_handler_is_sent_by_the_other(
        self, cube: CubeSimulator, gateway: Deployment
    ) -> None:
        items = [{"smsType": "", "smsTemplateContent": "One", "smsNum": None}, {"smsTemplateContent": "Two"}]
        gateway.post({"deviceId": MESSAGE["deviceId"], "smsContentList": items}, Prefer="respond-async")
        event = load_event("sqs-text")
        (event["Records"][0]["body"],) = gateway.queued()
        assert gateway.consume(event) == []
        assert [(each["contents"], each["accepted"]) for each in cube.requests()] == [(["One", "Two"], True)]

    def test_invalid_request_is_not_queued(self, gateway: Deployment) -> None:
        assert_problem(gateway.post(MESSAGE | {"priority": "high"}, Prefer="respond-async"), 400)
        assert gateway.in_flight() == 0
        assert gateway.queued() == []

    def test_request_that_no_queue_takes_is_told_as_that(self, gateway: Deployment) -> None:
        items = [{"smsTemplateContent": "a", "smsNum": "1" * 2_000_000}]
        reply = gateway.post({"deviceId": MESSAGE["deviceId"], "smsContentList": items}, Prefer="respond-async")
        assert_problem(reply, 400, detail="smsContentList[0].smsNum: must have at most 256 characters, has 2000000")

    def test_queue_that_is_away_is_unavailable(self, gateway: Deployment) -> None:
        gateway.sqs.delete_queue(QueueUrl=gateway.send_queue)
        reply = gateway.call(load_event("api-post-async"))
        assert_problem(reply, 503)
        assert int(reply.headers["Retry-After"]) > 0
        assert "cube-sms-send" not in reply.text


class TestInvalid:
    def test_every_fault_is_told(self, cube: CubeSimulator, gateway: Deployment) -> None:
        reply = gateway.call(load_event("api-post-invalid"))
        assert_problem(reply, 400)
        paths = {error["path"] for error in reply.json["errors"]}
        assert paths == {"requestId", "deviceId", "messageType", "priority"}
        assert all(error["message"] for error in reply.json["errors"])
        assert cube.stats()["received"] == 0

    @pytest.mark.parametrize("body", ["", "{", "[]", "null", "deviceId=8931", "{}", "[" * 5000, '{"a": 1, "a": 2}'])
    def test_body_that_is_no_request(self, gateway: Deployment, body: str) -> None:
        event = load_event("api-post-text") | {"body": body}
        assert_problem(gateway.call(event), 400)

    def test_no_body(self, gateway: Deployment) -> None:
        assert_problem(gateway.call(load_event("api-post-text") | {"body": None}), 400)

    @pytest.mark.parametrize("body", [b"\xff", b'{"deviceId":"8931","content":"\xff"}', b"\x1f\x8b gzip"])
    def test_body_that_is_not_utf_8(self, gateway: Deployment, body: bytes) -> None:
        # API Gateway passes on in Base64 what is no text
        event = load_event("api-post-text") | {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        assert_problem(gateway.call(event), 400)

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "order 1",
            "x" * 129,
            "订单",
            '"order-1',
            'order-1"',
            '""',
            '"order\\"1"',
            '"a\\\\b"',
            "a, b",
            "'a'",
            "\ud83d",
        ],
    )
    def test_idempotency_key_that_is_invalid_is_named(self, cube: CubeSimulator, gateway: Deployment, key: str) -> None:
        reply = gateway.post(MESSAGE, Idempotency_Key=key)
        assert_problem(reply, 400)
        assert [error["path"] for error in reply.json["errors"]] == ["Idempotency-Key"]
        assert cube.stats()["received"] == 0

    def test_idempotency_key_that_differs_from_the_id_of_the_body(
        self, cube: CubeSimulator, gateway: Deployment
    ) -> None:
        reply = gateway.post(MESSAGE | {"requestId": "order-1"}, Idempotency_Key="order-2")
        assert_problem(reply, 400, detail="requestId: in the body differs from the Idempotency-Key beside it")
        assert cube.stats()["received"] == 0

    def test_number_for_a_device_id_is_told_as_that(self, gateway: Deployment) -> None:
        reply = gateway.post('{"deviceId": 89314404000939952215, "content": "Hello"}')
        assert_problem(reply, 400)
        assert "deviceId: must be a string" in reply.json["detail"]

    @pytest.mark.parametrize(
        "body", ['{"deviceId": "8931", "content": "Hi \\ud83d"}', '{"deviceId": "8931", "content": "\ude00"}']
    )
    def test_emoji_that_is_cut_in_two_is_told_as_that(
        self, cube: CubeSimulator, gateway: Deployment, body: str
    ) -> None:
        reply = gateway.post(body)
        assert_problem(reply, 400, detail="content: holds half of a surrogate pair (an emoji cut in two)")
        assert cube.stats()["received"] == 0

    @pytest.mark.parametrize("shape", ["members", "items", "long names", "quotes", "wide"])
    def test_answer_to_faults_by_the_thousand_is_short(self, gateway: Deployment, shape: str) -> None:
        # Given the most that Lambda hands over, about 6 MB
        names = {
            "members": [f"u{number:05d}" for number in range(60_000)],
            "items": [f"u{number:05d}" for number in range(60_000)],
            "long names": [f"u{number:05d}" + "x" * 90 for number in range(50_000)],
            "quotes": ['"' * 90 + f"{number:05d}" for number in range(25_000)],
            "wide": ["\U0001f600" * 80 + f"{number:05d}" for number in range(5_000)],
        }[shape]
        unknown = dict.fromkeys(names, "")
        # When
        began = time.process_time()
        if shape == "items":
            reply = gateway.post({"deviceId": "8931", "smsContentList": [{"smsTemplateContent": "a"} | unknown]})
        else:
            reply = gateway.post(MESSAGE | unknown)
        assert time.process_time() - began < 10
        # Then
        assert_problem(reply, 400)
        assert (len(reply.json["errors"]), reply.json["moreErrors"]) == (20, len(names) - 20)
        assert reply.size < 100_000

    def test_unknown_account(self, gateway: Deployment) -> None:
        reply = gateway.post(MESSAGE | {"account": "nobody"})
        assert_problem(reply, 400)
        assert [error["path"] for error in reply.json["errors"]] == ["account"]

    def test_request_that_has_expired(self, cube: CubeSimulator, gateway: Deployment) -> None:
        assert_problem(gateway.post(MESSAGE | {"expiresAt": "2026-01-12T10:00:00Z"}), 400, state="EXPIRED")
        assert cube.stats()["received"] == 0

    @pytest.mark.parametrize(("method", "resource"), [("GET", "/"), ("POST", "/message"), ("DELETE", "/messages")])
    def test_unknown_route(self, gateway: Deployment, method: str, resource: str) -> None:
        event = load_event("api-post-text") | {"httpMethod": method, "resource": resource}
        assert_problem(gateway.call(event), 404)

    def test_body_that_is_said_to_be_base64_and_is_not(self, gateway: Deployment) -> None:
        for body in ("a", "é", "{}"):
            event = load_event("api-post-text") | {"body": body, "isBase64Encoded": True}
            assert_problem(gateway.call(event), 400)


class TestProvider:
    @pytest.mark.parametrize(
        ("fault", "status", "members"),
        [
            ("rejected:7001", 422, {"state": "REJECTED", "code": "7001"}),
            ("status:400", 422, {"state": "REJECTED", "code": "9400"}),
            ("status:429", 429, {"state": "RETRYING", "code": "9429"}),
            ("status:503", 503, {"state": "RETRYING"}),
            ("status:502", 504, {"state": "RETRYING"}),
            ("status:503+none", 504, {"state": "RETRYING"}),
            ("status:500", 504, {}),
            ("lost", 504, {}),
            ("garbage", 504, {}),
        ],
    )
    def test_failure_is_a_problem(
        self, cube: CubeSimulator, gateway: Deployment, fault: str, status: int, members: dict[str, Any]
    ) -> None:
        cube.configure(next_faults=[fault])
        reply = gateway.call(load_event("api-post-text"))
        assert_problem(reply, status, requestId="order-7801-wakeup", account="default", **members)
        assert (int(reply.headers.get("Retry-After", 0)) > 0) is (status in (429, 503))
        assert cube.stats()["received"] == 1

    def test_words_of_the_provider_are_told_where_they_are_kept(self, cube: CubeSimulator, gateway: Deployment) -> None:
        gateway.configure(KEEP_PROVIDER_MESSAGES="true")
        cube.configure(next_faults=["rejected:7001"])
        assert_problem(gateway.post(MESSAGE), 422, code="7001", message="rejected")
        assert gateway.post(MESSAGE).json["message"] == "success"

    @pytest.mark.parametrize("status", [429, 503])
    def test_time_the_provider_asks_to_wait_is_passed_on(self, gateway: Deployment, status: int) -> None:
        with Wire(answer(FAILURE, status, Retry_After="77")) as wire:
            gateway.configure(CUBE_BASE_URL=wire.url)
            reply = gateway.post(MESSAGE)
        assert_problem(reply, status)
        assert reply.headers["Retry-After"] == "77"

    def test_unknown_outcome_that_is_final_is_told(self, cube: CubeSimulator, gateway: Deployment) -> None:
        cube.configure(next_faults=["lost"])
        assert_problem(gateway.post(MESSAGE | {"delivery": "at-most-once"}), 504, state="UNKNOWN")

    def test_credentials_that_are_refused_for_good(self, cube: CubeSimulator, gateway: Deployment) -> None:
        gateway.set_accounts(default=(ACCESS_CODE, "another-secret"))
        assert_problem(gateway.post(MESSAGE), 502, code="9403")
        assert [request["reason"] for request in cube.requests()] == ["signature", "signature"]

    def test_credentials_that_cannot_be_had(self, cube: CubeSimulator, gateway: Deployment) -> None:
        # Given a deployment whose secret does not exist, and one whose secret lacks a field
        for secret_id in ("cube-sms/other", "cube-sms/credentials"):
            gateway.set_accounts(default=("", SECRET))
            gateway.configure(CUBE_SECRET_ID=secret_id)
            # When
            reply = gateway.post(MESSAGE)
            # Then the caller does not learn its name
            assert_problem(reply, 503)
            assert int(reply.headers["Retry-After"]) > 0
            assert "cube-sms/" not in reply.text
        assert cube.stats()["received"] == 0
