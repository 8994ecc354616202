"""The handler of the REST API, with provider, queue and secret behind it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from cube_sms.models import parse_send_request
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


class TestQueue:
    def test_message_is_queued_where_the_caller_prefers_that(self, cube: CubeSimulator, gateway: Deployment) -> None:
        # When
        event = load_event("api-post-async")
        reply = gateway.call(event)
        # Then the answer tells where the message is
        assert (reply.status, reply.headers["Content-Type"]) == (202, "application/json")
        assert reply.headers["Location"] == "/messages/order-7802-wakeup"
        assert reply.headers["Preference-Applied"] == "respond-async"
        assert reply.json == {"requestId": "order-7802-wakeup", "account": "default"}
        # And the queue has the same request, which nobody has sent yet
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
        assert (reply.status, reply.headers["Location"]) == (202, f"/messages/order-1{account}")
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
        # API Gateway hands over in Base64 what is no text
        event = load_event("api-post-text") | {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        assert_problem(gateway.call(event), 400)

    @pytest.mark.parametrize("key", ["order-2", "order 1", "x" * 129, "订单"])
    def test_idempotency_key_that_is_invalid_or_differs(
        self, cube: CubeSimulator, gateway: Deployment, key: str
    ) -> None:
        reply = gateway.post(MESSAGE | {"requestId": "order-1"}, Idempotency_Key=key)
        assert_problem(reply, 400)
        assert [error["path"] for error in reply.json["errors"]] == ["requestId"]
        assert cube.stats()["received"] == 0

    def test_unknown_account(self, gateway: Deployment) -> None:
        reply = gateway.post(MESSAGE | {"account": "nobody"})
        assert_problem(reply, 400)
        assert [error["path"] for error in reply.json["errors"]] == ["account"]

    def test_request_that_has_expired(self, cube: CubeSimulator, gateway: Deployment) -> None:
        assert_problem(gateway.post(MESSAGE | {"expiresAt": "2026-01-12T10:00:00Z"}), 400, state="EXPIRED")
        assert cube.stats()["received"] == 0

    @pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/message"), ("DELETE", "/messages")])
    def test_unknown_route(self, gateway: Deployment, method: str, path: str) -> None:
        event = load_event("api-post-text") | {"httpMethod": method, "path": path}
        assert_problem(gateway.call(event), 404)


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
