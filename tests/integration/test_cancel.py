"""Messages that wait: they are found, and can be cancelled, whichever way they came in."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.states import State
from cube_sms.platform import rfc3339
from cube_sms.request.parsing import parse_send_request
from tests.integration.days import DAY, avoid_midnight
from tests.integration.deployment import LEASE
from tests.integration.test_pacing import let_the_closing_end, write_gate
from tests.integration.wire import FAILURE, Wire, answer
from tests.support import DEVICE, Context, load_event, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import ApiAnswer, Deployment
    from tests.support import Printed

MESSAGE = {"deviceId": DEVICE, "content": "Wake up"}


def queued(*request_ids: str, **attributes: str) -> dict[str, Any]:
    """Return the event of messages with these ids."""
    return queue_event(*(MESSAGE | {"requestId": each} for each in request_ids), attributes=attributes)


def assert_cancelled(reply: ApiAnswer, request_id: str) -> None:
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert (reply.json["requestId"], reply.json["state"]) == (request_id, "CANCELLED")


def assert_too_late(reply: ApiAnswer, state: State) -> None:
    assert (reply.status, reply.headers["Content-Type"]) == (409, "application/problem+json")
    assert (reply.json["title"], reply.json["status"], reply.json["state"]) == ("Too late", 409, state)
    assert ("Retry-After" in reply.headers) is not state.is_final


class TestCancel:
    def test_message_on_the_queue_is_acknowledged_and_not_posted(
        self, cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
    ) -> None:
        # Given a message that the API has queued
        assert gateway.post(MESSAGE, Idempotency_Key="order-1", Prefer="respond-async").status == 202
        printed()
        # When
        reply = gateway.cancel("order-1")
        # Then
        assert_cancelled(reply, "order-1")
        assert (reply.json["deviceId"], reply.json["attempts"]) == (DEVICE, 0)
        assert gateway.get("order-1").json == reply.json
        output = printed()
        (line,) = output.logs
        assert (line["message"], line["message_id"], line["level"]) == ("message CANCELLED", "default#order-1", "INFO")
        assert DEVICE not in json.dumps(output.logs)
        assert output.values("MessagesCancelled") == [1]
        # And the worker that takes it acknowledges it
        assert gateway.consume(queue_event(*gateway.queued())) == []
        assert cube.stats()["received"] == 0
        output = printed()
        assert [line["message"] for line in output.logs] == ["message was cancelled"]
        assert (output.values("MessagesCancelled"), output.values("DuplicatesSuppressed")) == ([], [])

    def test_sample_event_cancels(self, gateway: Deployment) -> None:
        assert_cancelled(gateway.call(load_event("api-delete")), "order-7803-wakeup")

    def test_message_that_nobody_has_seen_is_stopped_when_it_comes(
        self, cube: CubeSimulator, gateway: Deployment
    ) -> None:
        # When it is cancelled while it is on the queue, or before it is there
        reply = gateway.cancel("order-1", account="default")
        assert_cancelled(reply, "order-1")
        assert reply.json["deviceId"] is None
        # Then neither the queue nor the API sends it, whatever is in it
        assert gateway.consume(queued("order-1")) == []
        for fields in ({}, {"content": "Go to sleep"}):
            posted = gateway.post(MESSAGE | fields, Idempotency_Key="order-1")
            assert (posted.status, posted.json["title"], posted.json["state"]) == (409, "Cancelled", "CANCELLED")
            assert "Retry-After" not in posted.headers
        assert (cube.stats()["received"], gateway.dead_letters()) == (0, [])

    def test_message_is_cancelled_once_however_often_it_is_asked(
        self, gateway: Deployment, printed: Callable[[], Printed]
    ) -> None:
        replies = [gateway.cancel("order-1") for _ in range(3)]
        assert replies[0].json == replies[1].json == replies[2].json
        assert printed().values("MessagesCancelled") == [1]

    def test_message_that_is_to_be_tried_again_is_not(self, cube: CubeSimulator, gateway: Deployment) -> None:
        # Given a message that could not be sent
        cube.configure(next_faults=["status:503"])
        event = gateway.deliver(queued("order-1"))
        assert len(gateway.consume(event)) == 1
        # When
        assert_cancelled(gateway.cancel("order-1"), "order-1")
        # Then
        assert gateway.consume(event) == []
        assert (cube.stats()["received"], gateway.record("order-1").attempts) == (1, 1)

    def test_message_that_may_have_been_sent_is_not_sent_again(self, cube: CubeSimulator, gateway: Deployment) -> None:
        cube.configure(next_faults=["lost"])
        event = gateway.deliver(queued("order-1"))
        assert len(gateway.consume(event)) == 1
        # When
        reply = gateway.cancel("order-1")
        # Then it is cancelled, and its reason says that it may have been sent
        assert_cancelled(reply, "order-1")
        assert reply.json["reason"].endswith(", after a POST whose outcome is unknown")
        assert gateway.consume(event) == []
        assert cube.stats()["accepted"] == 1

    @pytest.mark.parametrize(
        ("fault", "fields", "state"),
        [
            ("delay:0", {}, State.SENT),
            ("rejected:7001", {}, State.REJECTED),
            ("delay:0", {"expiresAt": "2020-01-01T00:00:00Z"}, State.EXPIRED),
        ],
    )
    def test_message_that_has_ended_stays_as_it_is(
        self, cube: CubeSimulator, gateway: Deployment, fault: str, fields: dict[str, Any], state: State
    ) -> None:
        cube.configure(next_faults=[fault])
        gateway.post(MESSAGE | fields, Idempotency_Key="order-1")
        record = gateway.record("order-1")
        assert_too_late(gateway.cancel("order-1"), state)
        assert gateway.record("order-1") == record

    def test_message_that_is_being_sent_stays_with_its_worker(
        self, gateway: Deployment, printed: Callable[[], Printed]
    ) -> None:
        record = gateway.store().claim(parse_send_request(queued("order-1")["Records"][0]["body"].encode())).record
        reply = gateway.cancel("order-1")
        assert_too_late(reply, State.SENDING)
        assert LEASE - 5 <= int(reply.headers["Retry-After"]) <= LEASE
        assert gateway.record("order-1") == record
        output = printed()
        assert [line["message"] for line in output.logs] == ["message not cancelled"]
        assert output.metrics == []

    @pytest.mark.parametrize(
        "request_id",
        ["order 1", "a" * 129, "..%2F"],
    )
    def test_what_can_be_no_message_is_not_found(self, gateway: Deployment, request_id: str) -> None:
        gateway.aws_calls.clear()
        assert gateway.cancel(request_id).status == 404
        assert gateway.aws_calls.operations == []

    @pytest.mark.parametrize("account", ["", "#refused", "no account"])
    def test_what_can_be_no_account_is_refused_by_name(self, gateway: Deployment, account: str) -> None:
        gateway.aws_calls.clear()
        reply = gateway.cancel("order-1", account=account)
        assert (reply.status, [error["path"] for error in reply.json["errors"]]) == (400, ["account"])
        assert gateway.aws_calls.operations == []

    def test_record_that_cannot_be_had_is_503(self, gateway: Deployment) -> None:
        gateway.aws_calls.fail("UpdateItem")
        reply = gateway.cancel("order-1")
        assert (reply.status, "InternalServerError" in reply.text) == (503, False)
        assert int(reply.headers["Retry-After"]) > 0

    def test_record_that_somebody_changed_is_500(self, gateway: Deployment) -> None:
        gateway.post(MESSAGE, Idempotency_Key="order-1")
        gateway.change("order-1", attempts=None)
        reply = gateway.cancel("order-1")
        assert (reply.status, reply.json["title"]) == (500, "Record cannot be read")

    def test_cancelled_message_is_sent_where_it_is_put_back_by_whoever_cancelled_it(
        self, cube: CubeSimulator, gateway: Deployment
    ) -> None:
        # Given a cancelled message, and one that was cancelled again after a copy of it was put onto the queue
        first = {each: gateway.store().cancel(f"default#{each}").record.owner for each in ("order-1", "order-2")}
        second = gateway.store().cancel("default#order-2").record.owner
        # When
        assert gateway.consume(queued("order-1", failedClaim=first["order-1"])) == []
        assert gateway.consume(queued("order-2", failedClaim=first["order-2"])) == []
        # Then
        assert (gateway.record("order-1").state, gateway.record("order-2").state) == (State.SENT, State.CANCELLED)
        assert gateway.consume(queued("order-2", failedClaim=second)) == []
        assert gateway.record("order-2").state is State.SENT
        assert cube.stats()["accepted"] == 2


class TestQueuedByTheApi:
    def test_message_is_found_while_it_waits(self, gateway: Deployment) -> None:
        before = time.time()
        assert gateway.post(MESSAGE, Idempotency_Key="order-1", Prefer="respond-async").status == 202
        shown = gateway.get("order-1").json
        assert (shown["state"], shown["attempts"], shown["expectedAt"]) == ("QUEUED", 0, None)
        assert before - 0.001 <= datetime.fromisoformat(shown["createdAt"]).timestamp() <= time.time()
        # And when it is sent, it was accepted then
        assert gateway.consume(queue_event(*gateway.queued())) == []
        sent = gateway.get("order-1").json
        assert (sent["state"], sent["createdAt"], "expectedAt" in sent) == ("SENT", shown["createdAt"], False)

    def test_word_that_cannot_be_left_holds_nothing_up(self, cube: CubeSimulator, gateway: Deployment) -> None:
        # Given a table that is unavailable: a worker that crashes between two writes leaves the same state
        gateway.aws_calls.fail("UpdateItem")
        assert gateway.post(MESSAGE, Idempotency_Key="order-1", Prefer="respond-async").status == 202
        assert gateway.get("order-1").status == 404
        gateway.aws_calls.recover()
        # When
        assert gateway.consume(queue_event(*gateway.queued())) == []
        # Then
        assert (gateway.record("order-1").state, cube.stats()["accepted"]) == (State.SENT, 1)

    def test_message_that_the_queue_does_not_take_is_not_said_to_wait(self, gateway: Deployment) -> None:
        gateway.aws_calls.fail("SendMessage")
        assert gateway.post(MESSAGE, Idempotency_Key="order-1", Prefer="respond-async").status == 503
        assert gateway.get("order-1").status == 404

    def test_record_that_there_is_stays(self, cube: CubeSimulator, gateway: Deployment) -> None:
        # Given a worker that is faster, messages that were sent and cancelled, and one that waits already
        gateway.post(MESSAGE, Idempotency_Key="order-1")
        gateway.cancel("order-2")
        gateway.post(MESSAGE, Idempotency_Key="order-3", Prefer="respond-async")
        before = [gateway.record(f"order-{number}") for number in (1, 2, 3)]
        # When
        for number in (1, 2, 3):
            assert gateway.post(MESSAGE, Idempotency_Key=f"order-{number}", Prefer="respond-async").status == 202
        # Then
        assert [gateway.record(f"order-{number}") for number in (1, 2, 3)] == before


class TestPutBack:
    @pytest.fixture(autouse=True)
    def _one_day(self) -> None:
        avoid_midnight()

    def test_message_that_waits_for_tomorrow_is_found_and_can_be_cancelled(
        self, cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
    ) -> None:
        # Given a quota that is spent
        gateway.configure(CUBE_DAILY_QUOTA="1")
        assert gateway.consume(queued("order-0")) == []
        printed()
        event = gateway.deliver(queued("order-1", "order-2", "order-3"))
        # When
        assert len(gateway.consume(event)) == 3
        # Then it is known until when, and since when
        midnight = (time.time() // DAY + 1) * DAY
        for number, record in enumerate(event["Records"], start=1):
            shown = gateway.get(f"order-{number}").json
            expected = datetime.fromisoformat(shown["expectedAt"]).timestamp()
            assert (shown["state"], shown["attempts"], shown["deviceId"]) == ("QUEUED", 0, DEVICE)
            assert midnight <= expected < midnight + 600
            assert shown["createdAt"] == rfc3339(int(record["attributes"]["SentTimestamp"]) / 1000)
        # And the log names them in one line
        output = printed()
        (line,) = [line for line in output.logs if line["message"] == "messages returned to the queue"]
        assert (line["level"], line["messages"], line["expected_at"]) == ("WARNING", 3, shown["expectedAt"])
        assert line["message_ids"] == [f"default#order-{number}" for number in (1, 2, 3)]
        # When one is cancelled, and the next day comes
        assert_cancelled(gateway.cancel("order-2"), "order-2")
        write_gate(gateway, day=time.time() // DAY - 1, used=1.0, closedUntil=time.time() - 1)
        gateway.configure(CUBE_DAILY_QUOTA="10")
        assert gateway.consume(event) == []
        # Then it alone is not sent
        states = [gateway.record(f"order-{number}").state for number in (1, 2, 3)]
        assert states == [State.SENT, State.CANCELLED, State.SENT]
        assert cube.stats()["accepted"] == 3

    def test_what_is_expected_is_brought_up_to_date(self, gateway: Deployment) -> None:
        event = gateway.deliver(queued("order-1"))
        expected = []
        for seconds in ("600", "1200"):
            with Wire(answer(FAILURE, 429, Retry_After=seconds)) as wire:
                gateway.configure(CUBE_BASE_URL=wire.url, CUBE_MAX_QPS="100")
                gateway.consume(queued(f"order-{seconds}"))
                assert len(gateway.consume(event)) == 1
                expected.append(datetime.fromisoformat(gateway.get("order-1").json["expectedAt"]).timestamp())
                let_the_closing_end(gateway)
        assert 550 < expected[1] - expected[0] < 650

    def test_message_that_waits_for_less_than_a_minute_leaves_no_record(
        self, gateway: Deployment, printed: Callable[[], Printed]
    ) -> None:
        with Wire(answer(FAILURE, 429, Retry_After="20")) as wire:
            gateway.configure(CUBE_BASE_URL=wire.url, CUBE_MAX_QPS="100")
            gateway.consume(queued("order-0"))
            assert len(gateway.consume(gateway.deliver(queued("order-1")))) == 1
        assert gateway.get("order-1").status == 404
        assert [
            line["message_ids"] for line in printed().logs if line["message"] == "messages returned to the queue"
        ] == [["default#order-1"]]

    def test_message_there_was_no_time_for_is_named(self, gateway: Deployment, printed: Callable[[], Printed]) -> None:
        event = gateway.deliver(queue_event(MESSAGE | {"requestId": "order-1"}, "no request"))
        assert len(gateway.consume(event, Context(1.0))) == 2
        (line,) = printed().logs
        assert (line["message"], line["level"], line["messages"]) == ("messages returned to the queue", "INFO", 2)
        assert line["message_ids"] == ["default#order-1", event["Records"][1]["messageId"]]
        assert "expected_at" not in line

    def test_message_that_cannot_be_noted_is_put_back_all_the_same(self, gateway: Deployment) -> None:
        # Given a gate that is closed, and a worker that knows it
        with Wire(answer(FAILURE, 429, Retry_After="600")) as wire:
            gateway.configure(CUBE_BASE_URL=wire.url, CUBE_MAX_QPS="100")
            gateway.consume(queued("order-0"))
            event = gateway.deliver(queued("order-1", "order-2"))
            # When DynamoDB is unavailable
            gateway.aws_calls.clear()
            gateway.aws_calls.fail("UpdateItem")
            assert len(gateway.consume(event)) == 2
        # Then they wait as long, and the worker has not waited for every single write
        assert [seconds > 500 for seconds in gateway.hidden() if seconds < 10_000] == [True, True]
        assert [gateway.get(f"order-{number}").status for number in (1, 2)] == [404, 404]
        gateway.aws_calls.recover()

    def test_message_that_was_cancelled_stays_so_while_the_gate_is_closed(
        self, cube: CubeSimulator, gateway: Deployment
    ) -> None:
        gateway.configure(CUBE_DAILY_QUOTA="1")
        gateway.consume(queued("order-0"))
        event = gateway.deliver(queued("order-1"))
        for _ in range(2):
            assert_cancelled(gateway.cancel("order-1"), "order-1")
            assert len(gateway.consume(event)) == 1
        assert gateway.record("order-1").state is State.CANCELLED
        assert cube.stats()["received"] == 1

    def test_good_path_of_the_queue_writes_no_more(self, gateway: Deployment) -> None:
        gateway.consume(queued("order-0"))
        gateway.aws_calls.clear()
        assert gateway.consume(gateway.deliver(queued("order-1"))) == []
        assert gateway.aws_calls.operations.count("UpdateItem") == 2
