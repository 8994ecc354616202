"""The REST API and the records: messages that are asked for, and messages that are posted again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.states import State
from cube_sms.request.parsing import parse_send_request
from tests.integration.deployment import LEASE
from tests.support import ACCESS_CODE, DEVICE, SECRET, load_event, queue_event

if TYPE_CHECKING:
    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import ApiAnswer, Deployment

MESSAGE = {"deviceId": DEVICE, "content": "Wake up"}

# How a message reaches each final state, and the HTTP status that its sender gets each time.
ENDS: list[tuple[str, dict[str, Any], State, int]] = [
    ("delay:0", {}, State.SENT, 200),
    ("rejected:7001", {}, State.REJECTED, 422),
    ("delay:0", {"expiresAt": "2020-01-01T00:00:00Z"}, State.EXPIRED, 400),
    ("lost", {"delivery": "at-most-once"}, State.UNKNOWN, 504),
]


def assert_problem(reply: ApiAnswer, status: int) -> None:
    assert (reply.status, reply.headers["Content-Type"]) == (status, "application/problem+json")
    assert reply.json["status"] == status
    assert reply.json["title"]
    assert reply.json["detail"]


class TestGet:
    def test_record_of_a_message_is_shown(self, gateway: Deployment) -> None:
        before = datetime.now(UTC)
        gateway.post(MESSAGE, Idempotency_Key="order-1")
        # When
        reply = gateway.get("order-1")
        # Then
        assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
        shown = reply.json
        times = [datetime.fromisoformat(shown.pop(name)) for name in ("createdAt", "updatedAt")]
        assert shown == {
            "requestId": "order-1",
            "account": "default",
            "deviceId": DEVICE,
            "state": "SENT",
            "attempts": 1,
            "possiblyDuplicated": False,
            "code": "0000",
            "message": None,
            "reason": None,
            "jobId": None,
        }
        assert before.timestamp() - 0.001 <= times[0].timestamp() <= times[1].timestamp()
        assert times[1] <= datetime.now(UTC)

    def test_location_of_a_queued_message_leads_to_it(self, gateway: Deployment) -> None:
        # Given a message that was queued for another account
        gateway.set_accounts(fleet=(ACCESS_CODE, SECRET))
        reply = gateway.post(MESSAGE | {"account": "fleet"}, Idempotency_Key="a.b:c-1", Prefer="respond-async")
        path, _, query = reply.headers["Location"].partition("?")
        assert (path, query) == ("messages/a.b:c-1", "account=fleet")
        waiting = gateway.get("a.b:c-1", account="fleet")
        assert (waiting.status, waiting.json["state"], waiting.json["expectedAt"]) == (200, "QUEUED", None)
        # When it has been sent
        assert gateway.consume(queue_event(*gateway.queued())) == []
        # Then
        shown = gateway.get("a.b:c-1", account="fleet").json
        assert (shown["requestId"], shown["account"], shown["state"]) == ("a.b:c-1", "fleet", "SENT")

    def test_percent_encoding_of_an_id_is_the_same_id(self, gateway: Deployment) -> None:
        gateway.post(MESSAGE, Idempotency_Key="a:1")
        assert gateway.get("a%3A1").status == 200

    def test_record_is_shown_under_the_base_path_of_a_custom_domain(self, gateway: Deployment) -> None:
        gateway.post(MESSAGE, Idempotency_Key="a:1")
        event = load_event("api-post-text") | {
            "resource": "/messages/{requestId}",
            "path": "/sms/messages/a%3A1",
            "httpMethod": "GET",
            "pathParameters": {"requestId": "a:1"},
            "body": None,
        }
        assert gateway.call(event).json["requestId"] == "a:1"

    def test_what_else_is_in_the_table_is_not_found(self, gateway: Deployment) -> None:
        # Given the item that records a refused request
        refused = {"requestId": "order-9", "deviceId": DEVICE, "taskToken": "token"}
        assert gateway.consume(queue_event(refused)) == []
        # When it is asked for as if it were a message, or the gate, or what can be no id
        for account in ("#refused", "%23refused", ""):
            # Then
            assert_problem(reply := gateway.get("order-9", account=account), 400)
            assert [error["path"] for error in reply.json["errors"]] == ["account"]
        for request_id in ("gate", "a" * 3000):
            assert_problem(gateway.get(request_id), 404)

    def test_messages_of_other_accounts_are_not_found(self, gateway: Deployment) -> None:
        gateway.post(MESSAGE, Idempotency_Key="order-1")
        for request_id, query in [("order-1", {"account": "fleet"}), ("order-2", {})]:
            assert_problem(gateway.get(request_id, **query), 404)

    def test_message_that_is_being_tried_is_shown(self, cube: CubeSimulator, gateway: Deployment) -> None:
        cube.configure(next_faults=["status:503"])
        gateway.post(MESSAGE, Idempotency_Key="order-1")
        shown = gateway.get("order-1").json
        assert (shown["state"], shown["attempts"], shown["reason"]) == ("RETRYING", 1, "HTTP 503")

    def test_records_that_are_away_are_unavailable(self, gateway: Deployment) -> None:
        gateway.aws_calls.fail("GetItem")
        reply = gateway.get("order-1")
        assert_problem(reply, 503)
        assert int(reply.headers["Retry-After"]) > 0
        assert "InternalServerError" not in reply.text


class TestPostAgain:
    @pytest.mark.parametrize(("fault", "fields", "state", "status"), ENDS)
    def test_recorded_outcome_is_the_answer(
        self,
        cube: CubeSimulator,
        gateway: Deployment,
        fault: str,
        fields: dict[str, Any],
        state: State,
        status: int,
    ) -> None:
        # Given
        cube.configure(next_faults=[fault])
        first = gateway.post(MESSAGE | fields, Idempotency_Key="order-1")
        posts = cube.stats()["received"]
        assert (first.status, first.json["state"]) == (status, state)
        # When
        gateway.cool_down()
        again = gateway.post(MESSAGE | fields, Idempotency_Key="order-1")
        # Then it answers the same
        same = ("requestId", "account", "state", "code", "message", "attempts", "possiblyDuplicated")
        assert again.status == status
        assert {name: again.json.get(name) for name in same} == {name: first.json.get(name) for name in same}
        assert cube.stats()["received"] == posts
        if status != 200:
            assert_problem(again, status)

    def test_message_whose_attempts_are_used_up(self, cube: CubeSimulator, gateway: Deployment) -> None:
        gateway.configure(MAX_ATTEMPTS="2")
        cube.configure(device_faults={DEVICE: "status:503"})
        states = [gateway.post(MESSAGE, Idempotency_Key="order-1").json["state"] for _ in range(2)]
        assert states == ["RETRYING", "FAILED"]
        reply = gateway.post(MESSAGE, Idempotency_Key="order-1")
        assert_problem(reply, 503)
        assert (reply.json["state"], reply.json["attempts"], cube.stats()["received"]) == ("FAILED", 2, 2)
        assert "Retry-After" not in reply.headers

    def test_message_that_is_to_be_tried_again_is_posted(self, cube: CubeSimulator, gateway: Deployment) -> None:
        cube.configure(next_faults=["status:503"])
        replies = [gateway.post(MESSAGE, Idempotency_Key="order-1") for _ in range(2)]
        assert [(reply.status, reply.json["attempts"]) for reply in replies] == [(503, 1), (200, 2)]

    def test_message_that_is_under_way(self, cube: CubeSimulator, gateway: Deployment) -> None:
        # Given a worker that has it
        (record,) = queue_event(MESSAGE | {"requestId": "order-1"})["Records"]
        gateway.store().claim(parse_send_request(record["body"].encode()))
        # When
        reply = gateway.post(MESSAGE, Idempotency_Key="order-1")
        # Then
        assert_problem(reply, 409)
        assert reply.json["state"] == "SENDING"
        assert LEASE - 5 <= int(reply.headers["Retry-After"]) <= LEASE
        assert cube.stats()["received"] == 0

    @pytest.mark.parametrize("fields", [{"content": "Go to sleep"}, {"delivery": "at-most-once"}])
    def test_other_request_is_a_conflict(
        self, cube: CubeSimulator, gateway: Deployment, fields: dict[str, Any]
    ) -> None:
        gateway.post(MESSAGE, Idempotency_Key="order-1")
        record = gateway.record("order-1")
        reply = gateway.post(MESSAGE | fields, Idempotency_Key="order-1")
        assert_problem(reply, 409)
        assert reply.json["requestId"] == "order-1"
        assert "Retry-After" not in reply.headers
        assert (cube.stats()["received"], gateway.record("order-1")) == (1, record)
