"""Delivery: a message is posted by one worker, as often as it may be, and has one outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.states import State
from cube_sms.request.parsing import parse_send_request
from tests.integration.deployment import LEASE, MAX_ATTEMPTS
from tests.support import DEVICE, Context, load_event, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment
    from tests.support import Printed

MESSAGE = {"requestId": "order-1", "deviceId": DEVICE, "content": "Wake up"}
PAST = "2020-01-01T00:00:00Z"
MAX_FIRST_DELAY = 2.0


def message(**fields: Any) -> dict[str, Any]:
    return queue_event(MESSAGE | fields)


def ids(event: dict[str, Any]) -> list[str]:
    return [record["messageId"] for record in event["Records"]]


def test_good_path_costs_two_writes_and_no_read_of_its_own(gateway: Deployment) -> None:
    # Given a warm function
    assert gateway.consume(message()) == []
    gateway.aws_calls.clear()
    # When
    assert gateway.consume(message(requestId="order-2")) == []
    assert gateway.post(MESSAGE | {"requestId": "order-3"}).status == 200
    # Then these are all, except that each worker looks for a pause now and then
    others = {"GetSecretValue", "GetItem"}
    assert [call for call in gateway.aws_calls.operations if call not in others] == ["UpdateItem"] * 4
    assert gateway.aws_calls.operations.count("GetItem") <= 2


class TestDuplicate:
    def test_message_is_posted_once_whichever_way_it_comes(
        self, cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
    ) -> None:
        # When the same request comes through the queue twice in a batch, once more, and twice through the API
        batch = {"Records": message()["Records"] + message()["Records"]}
        assert gateway.consume(batch) == []
        assert gateway.consume(message()) == []
        replies = [gateway.post(MESSAGE), gateway.post(MESSAGE, Idempotency_Key="order-1")]
        # Then
        assert [(reply.status, reply.json["state"]) for reply in replies] == [(200, "SENT")] * 2
        assert cube.stats()["received"] == 1
        output = printed()
        assert sum(output.values("MessagesSent")) == 1
        assert sum(output.values("DuplicatesSuppressed")) == 4
        assert (len(output.values("CubeLatency")), len(output.values("QueueAge"))) == (1, 1)
        record = gateway.record("order-1")
        assert (record.state, record.attempts, record.possibly_duplicated) == (State.SENT, 1, False)

    def test_message_that_came_through_the_api_is_a_duplicate_on_the_queue(
        self, cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
    ) -> None:
        assert gateway.post(MESSAGE, Prefer="respond-async").status == 202
        assert gateway.post(MESSAGE).status == 200
        assert gateway.consume(queue_event(*gateway.queued())) == []
        assert cube.stats()["received"] == 1
        assert printed().values("DuplicatesSuppressed") == [1]

    @pytest.mark.parametrize(
        ("fault", "fields", "state"),
        [
            ("rejected:7001", {}, State.REJECTED),
            ("lost", {"delivery": "at-most-once"}, State.UNKNOWN),
            ("delay:0", {"expiresAt": PAST}, State.EXPIRED),
        ],
    )
    def test_message_that_ended_otherwise_stays_as_it_is(
        self,
        cube: CubeSimulator,
        gateway: Deployment,
        printed: Callable[[], Printed],
        fault: str,
        fields: dict[str, Any],
        state: State,
    ) -> None:
        # Given
        cube.configure(next_faults=[fault])
        assert gateway.consume(message(**fields)) == []
        record, posts = gateway.record("order-1"), cube.stats()["received"]
        assert (record.state, record.attempts) == (state, posts)
        # When
        assert gateway.consume(message(**fields)) == []
        # Then
        assert (cube.stats()["received"], gateway.dead_letters()) == (posts, [])
        assert gateway.record("order-1") == record
        assert printed().values("DuplicatesSuppressed") == [1]

    def test_messages_without_an_id_are_different_ones(self, cube: CubeSimulator, gateway: Deployment) -> None:
        body = {"deviceId": DEVICE, "content": "Wake up"}
        event = queue_event(body, body)
        # When the queue delivers each of them twice
        for _ in range(2):
            assert gateway.consume(event) == []
        # Then
        assert cube.stats()["accepted"] == 2

    def test_message_that_another_worker_has_is_left_to_it(self, cube: CubeSimulator, gateway: Deployment) -> None:
        # Given a worker that has just claimed it
        gateway.store().claim(parse_send_request(message()["Records"][0]["body"].encode()))
        event = gateway.deliver(message(), receives=50)
        # When
        assert gateway.consume(event) == ids(event)
        reply = gateway.post(MESSAGE)
        # Then it is visible again when the lease of that worker is over, at the latest
        assert cube.stats()["received"] == 0
        assert gateway.hidden()[0] <= LEASE
        assert (reply.status, reply.json["state"]) == (409, "SENDING")
        assert 1 <= int(reply.headers["Retry-After"]) <= LEASE


class TestConflict:
    def test_other_request_under_the_same_id_is_refused(
        self, cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
    ) -> None:
        # Given
        assert gateway.consume(message()) == []
        record = gateway.record("order-1")
        # When
        other = message(content="Go to sleep")
        assert gateway.consume(other) == []
        reply = gateway.post(MESSAGE | {"delivery": "at-most-once"})
        # Then
        (letter,) = gateway.dead_letters()
        assert letter.body == other["Records"][0]["body"]
        assert (letter.attributes["reason"], letter.attributes["requestId"]) == ("Conflict", "order-1")
        assert "failedClaim" not in letter.attributes
        assert (reply.status, reply.headers["Content-Type"]) == (409, "application/problem+json")
        assert reply.json["requestId"] == "order-1"
        assert cube.stats()["received"] == 1
        assert gateway.record("order-1") == record
        assert printed().values("MessagesInvalid", "unknown") == [1, 1]

    def test_same_id_of_another_account_is_another_message(self, cube: CubeSimulator, gateway: Deployment) -> None:
        gateway.set_accounts(default=("P002276", "one"), fleet=("P002276", "one"))
        cube.configure(accounts={"P002276": "one"})
        for account in ("default", "fleet"):
            assert gateway.consume(message(account=account, content=account)) == []
        assert cube.stats()["accepted"] == 2
        assert gateway.record("order-1", "fleet").state is State.SENT


class TestAttempts:
    def test_posts_are_counted_over_all_deliveries(self, cube: CubeSimulator, gateway: Deployment) -> None:
        # Given a provider that is unavailable for one POST less than there may be
        event = gateway.deliver(message())
        cube.configure(device_faults={DEVICE: f"status:503*{MAX_ATTEMPTS - 1}"})
        # When each delivery meets a new execution environment
        for attempts in range(1, MAX_ATTEMPTS):
            gateway.cool_down()
            assert gateway.consume(event) == ids(event)
            # Then
            record = gateway.record("order-1")
            assert (record.state, record.attempts, record.reason) == (State.RETRYING, attempts, "HTTP 503")
        assert gateway.consume(event) == []
        record = gateway.record("order-1")
        assert (record.state, record.attempts, record.code, record.reason) == (State.SENT, MAX_ATTEMPTS, "0000", None)
        assert (record.unsettled, record.possibly_duplicated) == (False, False)

    def test_second_post_with_fresh_credentials_counts(self, cube: CubeSimulator, gateway: Deployment) -> None:
        cube.configure(next_faults=["status:401"])
        assert gateway.consume(message()) == []
        record = gateway.record("order-1")
        assert (record.state, record.attempts) == (State.SENT, cube.stats()["received"]) == (State.SENT, 2)

    def test_delay_grows_with_the_attempts_in_the_record_alone(self, cube: CubeSimulator, gateway: Deployment) -> None:
        # Given messages that were posted nine times each, and come for the first time as far as SQS knows
        gateway.configure(MAX_ATTEMPTS="1000")
        cube.configure(faults={"status:503": 1.0})
        bodies = [MESSAGE | {"requestId": f"order-{number}"} for number in range(10)]
        for body in bodies:
            store = gateway.store()
            claim = store.claim(parse_send_request(queue_event(body)["Records"][0]["body"].encode()))
            store.finish(claim.record, State.RETRYING, attempts=9)
        event = gateway.deliver(queue_event(*bodies))
        # When
        assert gateway.consume(event) == ids(event)
        # Then none of them would be hidden for longer than the first delay after one attempt
        assert MAX_FIRST_DELAY < max(gateway.hidden()) <= MAX_FIRST_DELAY * 2**9

    def test_message_that_is_handed_back_uses_up_no_attempt(self, cube: CubeSimulator, gateway: Deployment) -> None:
        event = gateway.deliver(message())
        for _ in range(MAX_ATTEMPTS + 1):
            assert gateway.consume(event, Context(1.0)) == ids(event)
        assert gateway.get("order-1").status == 404
        assert gateway.consume(event) == []
        assert gateway.record("order-1").attempts == 1

    def test_sample_of_a_duplicate_is_one(self, cube: CubeSimulator, gateway: Deployment) -> None:
        assert gateway.consume(load_event("sqs-duplicate")) == []
        assert cube.stats()["accepted"] == 1
