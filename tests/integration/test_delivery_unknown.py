"""Delivery: messages whose outcome is unknown, messages that expire, and workers that crash."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.states import State
from cube_sms.provider.base import CubeAuthenticationError
from cube_sms.request.parsing import parse_send_request
from tests.integration.deployment import LEASE, MAX_ATTEMPTS
from tests.integration.worker import Worker
from tests.support import DEVICE, START, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment
    from tests.support import Clock, Printed

MESSAGE = {"requestId": "order-1", "deviceId": DEVICE, "content": "Wake up"}
UNKNOWN_OUTCOMES = ["lost", "garbage", "drop", "status-after:500", "status-after:502", "status-after:503"]
UNKNOWN_OUTCOMES += ["status:502", "status:503+none"]


def message(**fields: Any) -> dict[str, Any]:
    return queue_event(MESSAGE | fields)


def at(seconds: float) -> str:
    return (datetime.fromtimestamp(START, UTC) + timedelta(seconds=seconds)).isoformat()


def die(gateway: Deployment, event: dict[str, Any], *, ago: float = 3600.0) -> None:
    """Leave the claim of a worker that crashed a while ago."""
    assert gateway.store(ago=ago).claim(parse_send_request(event["Records"][0]["body"].encode())).is_held


class TestUnknownOutcome:
    @pytest.mark.parametrize("fault", UNKNOWN_OUTCOMES)
    def test_message_sent_at_least_once_is_posted_again(
        self, cube: CubeSimulator, gateway: Deployment, fault: str
    ) -> None:
        cube.configure(next_faults=[fault])
        event = gateway.deliver(message())
        # When
        assert len(gateway.consume(event)) == 1
        # Then
        record = gateway.record("order-1")
        assert (record.state, record.attempts) == (State.RETRYING, 1)
        assert (record.unsettled, record.possibly_duplicated) == (True, False)
        # And again
        assert gateway.consume(event) == []
        record = gateway.record("order-1")
        assert (record.state, record.attempts, record.possibly_duplicated) == (State.SENT, 2, True)
        assert gateway.get("order-1").json["possiblyDuplicated"] is True

    @pytest.mark.parametrize("fault", UNKNOWN_OUTCOMES)
    @pytest.mark.parametrize("way", ["queue", "api"])
    def test_message_sent_at_most_once_is_never_posted_again(
        self, cube: CubeSimulator, gateway: Deployment, fault: str, way: str
    ) -> None:
        cube.configure(next_faults=[fault])
        body = MESSAGE | {"delivery": "at-most-once"}
        if way == "queue":
            assert gateway.consume(queue_event(body)) == []
        else:
            assert gateway.post(body).status == 504
        # When it comes again in every way
        gateway.cool_down()
        assert gateway.consume(queue_event(body)) == []
        assert gateway.consume(queue_event(body, attributes={"failedClaim": gateway.record("order-1").owner})) == []
        assert gateway.post(body).status == 504
        # Then
        record = gateway.record("order-1")
        assert (record.state, record.attempts, record.possibly_duplicated) == (State.UNKNOWN, 1, False)
        assert (cube.stats()["received"], gateway.dead_letters()) == (1, [])

    @pytest.mark.parametrize("delivery", ["at-least-once", "at-most-once"])
    def test_gateway_that_loses_its_server_after_the_commit_duplicates_nothing_untold(
        self, cube: CubeSimulator, gateway: Deployment, delivery: str
    ) -> None:
        # Given a gateway that answers 502 or 503 for half of what the provider has accepted
        cube.configure(faults={"status-after:502": 0.25, "status-after:503": 0.25})
        gateway.configure(MAX_ATTEMPTS="50")
        bodies = [
            {"requestId": f"order-{n}", "deviceId": f"8931440400093995{n:04d}", "content": "Hi", "delivery": delivery}
            for n in range(50)
        ]
        events = [queue_event(*bodies[n : n + 10]) for n in range(0, 50, 10)]
        # When each message comes until it is done
        for event in events:
            while left := gateway.consume(event):
                event["Records"] = [record for record in event["Records"] if record["messageId"] in left]
        # Then each was accepted, and what was accepted twice says so
        accepted = Counter(post["deviceId"] for post in cube.requests() if post["accepted"])
        records = {body["deviceId"]: gateway.record(body["requestId"]) for body in bodies}
        assert accepted.keys() == records.keys()
        twice = {device for device, times in accepted.items() if times > 1}
        assert twice == {device for device, record in records.items() if record.possibly_duplicated}
        states = Counter(record.state for record in records.values())
        if delivery == "at-most-once":
            assert not twice
            assert states.keys() == {State.SENT, State.UNKNOWN}
        else:
            assert twice
            assert states.keys() == {State.SENT}

    def test_refusal_after_an_unknown_outcome_leaves_it_possibly_duplicated(
        self, cube: CubeSimulator, gateway: Deployment
    ) -> None:
        cube.configure(next_faults=["lost", "rejected:7001"])
        event = gateway.deliver(message())
        for _ in range(2):
            gateway.consume(event)
        record = gateway.record("order-1")
        assert (record.state, record.code, record.possibly_duplicated) == (State.REJECTED, "7001", True)


class TestExpiry:
    @pytest.fixture
    def hasty(self, cube: CubeSimulator, gateway: Deployment) -> Iterator[Worker]:
        """A worker to whom each POST takes ten seconds."""
        worker = Worker(lambda: START + 10 * cube.stats()["received"])
        yield worker
        worker.provider.close()

    def test_message_that_has_expired_is_recorded_and_not_posted(
        self, cube: CubeSimulator, gateway: Deployment, worker: Worker
    ) -> None:
        consumed = worker.consume(message(expiresAt=at(0)))
        assert consumed.acknowledged
        record = gateway.record("order-1")
        assert (record.state, record.attempts, cube.stats()["received"]) == (State.EXPIRED, 0, 0)

    def test_message_that_expires_between_its_attempts(
        self, cube: CubeSimulator, gateway: Deployment, worker: Worker, clock: Clock
    ) -> None:
        cube.configure(next_faults=["status:429"])
        event = gateway.deliver(message(expiresAt=at(60)))
        assert not worker.consume(event).acknowledged
        clock.now += 60
        # When
        assert worker.consume(event).acknowledged
        # Then what the provider said last is kept
        record = gateway.record("order-1")
        assert (record.state, record.attempts, record.code) == (State.EXPIRED, 1, "9429")
        assert cube.stats()["received"] == 1

    def test_message_that_expires_before_it_is_repeated_with_fresh_credentials(
        self, cube: CubeSimulator, gateway: Deployment, hasty: Worker
    ) -> None:
        cube.configure(next_faults=["status:401"])
        # When
        consumed = hasty.consume(message(expiresAt=at(5)))
        # Then it was posted once
        assert consumed.acknowledged
        assert consumed.outcome
        assert [type(post) for post in consumed.outcome.posts] == [CubeAuthenticationError]
        record = gateway.record("order-1")
        assert (record.state, record.attempts, cube.stats()["received"]) == (State.EXPIRED, 1, 1)

    def test_message_with_time_for_both_is_posted_twice(
        self, cube: CubeSimulator, gateway: Deployment, hasty: Worker
    ) -> None:
        cube.configure(next_faults=["status:401"])
        assert hasty.consume(message(expiresAt=at(11))).acknowledged
        assert (gateway.record("order-1").state, cube.stats()["received"]) == (State.SENT, 2)

    def test_message_that_expires_after_an_unknown_outcome_is_unknown(
        self, cube: CubeSimulator, gateway: Deployment, worker: Worker, clock: Clock
    ) -> None:
        cube.configure(next_faults=["lost"])
        event = gateway.deliver(message(expiresAt=at(60)))
        assert not worker.consume(event).acknowledged
        clock.now += 60
        assert worker.consume(event).acknowledged
        record = gateway.record("order-1")
        assert (record.state, record.attempts, cube.stats()["received"]) == (State.UNKNOWN, 1, 1)

    def test_message_that_expires_after_its_worker_died_is_unknown(
        self, cube: CubeSimulator, gateway: Deployment
    ) -> None:
        event = message(expiresAt="2021-01-01T00:00:00Z")
        die(gateway, event)
        assert gateway.consume(event) == []
        assert (gateway.record("order-1").state, cube.stats()["received"]) == (State.UNKNOWN, 0)


class TestDeadWorker:
    def test_message_sent_at_least_once_is_posted_by_the_next_one(
        self, cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
    ) -> None:
        event = message()
        die(gateway, event)
        assert gateway.consume(event) == []
        record = gateway.record("order-1")
        assert (record.state, record.attempts, record.possibly_duplicated) == (State.SENT, 2, True)
        assert cube.stats()["received"] == 1
        assert printed().values("MessagesSent") == [1]

    @pytest.mark.parametrize("way", ["queue", "api"])
    def test_message_sent_at_most_once_ends(
        self, cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed], way: str
    ) -> None:
        event = message(delivery="at-most-once")
        die(gateway, event)
        # When it comes twice
        for _ in range(2):
            if way == "queue":
                assert gateway.consume(event) == []
            else:
                assert gateway.post(event["Records"][0]["body"]).status == 504
        # Then it ended once
        record = gateway.record("order-1")
        assert (record.state, record.attempts, cube.stats()["received"]) == (State.UNKNOWN, 1, 0)
        output = printed()
        assert (output.values("MessagesUnknown"), output.values("DuplicatesSuppressed")) == ([1], [1])

    @pytest.mark.parametrize("delivery", ["at-least-once", "at-most-once"])
    def test_message_waits_until_the_lease_is_over(
        self, cube: CubeSimulator, gateway: Deployment, delivery: str
    ) -> None:
        event = gateway.deliver(message(delivery=delivery), receives=30)
        die(gateway, event, ago=LEASE - 10)
        assert len(gateway.consume(event)) == 1
        assert cube.stats()["received"] == 0
        assert 0 < gateway.hidden()[0] <= 10

    def test_message_that_every_worker_dies_of_is_given_up(self, cube: CubeSimulator, gateway: Deployment) -> None:
        # Given workers that crashed with it as often as it may be posted
        event = message()
        for number in range(MAX_ATTEMPTS):
            die(gateway, event, ago=3600.0 * (MAX_ATTEMPTS - number))
        # When
        assert gateway.consume(event) == []
        # Then it is not posted once more
        assert cube.stats()["received"] == 0
        assert gateway.record("order-1").state is State.FAILED
        assert [letter.attributes["reason"] for letter in gateway.dead_letters()] == ["AttemptsUsedUp"]
