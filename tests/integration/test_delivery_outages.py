"""Delivery while DynamoDB is unavailable: before the POST, and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.sending import FINISH_PAUSES
from cube_sms.delivery.states import State
from cube_sms.platform.errors import RecordsUnavailableError
from tests.integration.deployment import LEASE
from tests.support import DEVICE, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment
    from tests.integration.worker import Worker
    from tests.support import Clock, Printed

MESSAGE = {"requestId": "order-1", "deviceId": DEVICE, "content": "Wake up"}
MAX_FIRST_DELAY = 2.0


def message(**fields: Any) -> dict[str, Any]:
    return queue_event(MESSAGE | fields)


class TestClaim:
    def test_message_is_not_posted_and_stays(
        self, cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
    ) -> None:
        # Given
        event = gateway.deliver(message())
        gateway.aws_calls.fail("UpdateItem")
        # When
        failures = gateway.consume(event)
        reply = gateway.post(MESSAGE)
        # Then
        assert failures == [event["Records"][0]["messageId"]]
        assert gateway.hidden()[0] <= MAX_FIRST_DELAY
        assert (reply.status, reply.json["state"]) == (503, "RETRYING")
        assert int(reply.headers["Retry-After"]) > 0
        assert "InternalServerError" not in reply.text
        assert (cube.stats()["received"], gateway.dead_letters()) == (0, [])
        assert sum(printed().values("MessagesRetried")) == 2
        # And it is sent when DynamoDB is back
        gateway.aws_calls.recover()
        assert gateway.consume(event) == []
        assert gateway.record("order-1").attempts == 1

    def test_table_that_is_gone_is_the_same(self, cube: CubeSimulator, gateway: Deployment) -> None:
        gateway.configure(MESSAGES_TABLE="another-table")
        event = gateway.deliver(message())
        assert len(gateway.consume(event)) == 1
        reply = gateway.post(MESSAGE)
        assert (reply.status, "another-table" in reply.text) == (503, False)
        assert cube.stats()["received"] == 0

    def test_outage_of_any_length_uses_up_no_attempt(self, cube: CubeSimulator, gateway: Deployment) -> None:
        event = gateway.deliver(message())
        gateway.aws_calls.fail("UpdateItem")
        for _ in range(10):
            assert len(gateway.consume(event)) == 1
        gateway.aws_calls.recover()
        assert gateway.consume(event) == []
        assert (gateway.record("order-1").attempts, cube.stats()["received"]) == (1, 1)


class TestFinish:
    @pytest.mark.parametrize("failures", range(1, len(FINISH_PAUSES) + 1))
    def test_outcome_is_written_until_it_is_recorded(
        self, cube: CubeSimulator, gateway: Deployment, worker: Worker, failures: int
    ) -> None:
        gateway.aws_calls.fail("UpdateItem", after=1, times=failures)
        consumed = worker.consume(message())
        assert consumed.acknowledged
        assert worker.pauses == list(FINISH_PAUSES[:failures])
        record = gateway.record("order-1")
        assert (record.state, record.attempts, cube.stats()["received"]) == (State.SENT, 1, 1)

    @pytest.mark.parametrize("delivery", ["at-least-once", "at-most-once"])
    def test_message_that_cannot_be_recorded_waits_for_the_end_of_its_lease(
        self, cube: CubeSimulator, gateway: Deployment, worker: Worker, clock: Clock, delivery: str
    ) -> None:
        # Given
        event = gateway.deliver(message(delivery=delivery), receives=30)
        gateway.aws_calls.fail("UpdateItem", after=1)
        # When it was posted and nothing of that can be written
        consumed = worker.consume(event)
        # Then it stays in the queue
        assert not consumed.acknowledged
        assert consumed.outcome
        assert consumed.outcome.state is State.SENDING
        assert isinstance(consumed.outcome.error, RecordsUnavailableError)
        assert worker.pauses == list(FINISH_PAUSES)
        assert gateway.hidden()[0] <= LEASE
        # And is not posted again while the lease lasts, although DynamoDB is back
        gateway.aws_calls.recover()
        clock.now += LEASE - 0.001
        assert not worker.consume(event).acknowledged
        assert cube.stats()["received"] == 1
        # And after the lease, its field `delivery` decides
        clock.now += 0.001
        assert worker.consume(event).acknowledged
        record = gateway.record("order-1")
        if delivery == "at-most-once":
            assert (record.state, record.attempts, cube.stats()["received"]) == (State.UNKNOWN, 1, 1)
        else:
            assert (record.state, record.attempts, cube.stats()["received"]) == (State.SENT, 2, 2)
            assert record.possibly_duplicated

    def test_refusal_that_cannot_be_recorded_is_taken_for_a_post(
        self, cube: CubeSimulator, gateway: Deployment, worker: Worker, clock: Clock
    ) -> None:
        # Given a provider that refuses, and a refusal that cannot be recorded
        event = gateway.deliver(message())
        cube.configure(next_faults=["status:503"])
        gateway.aws_calls.fail("UpdateItem", after=1)
        assert not worker.consume(event).acknowledged
        gateway.aws_calls.recover()
        clock.now += LEASE
        assert worker.consume(event).acknowledged
        record = gateway.record("order-1")
        assert (record.state, record.attempts, record.possibly_duplicated) == (State.SENT, 2, True)

    def test_dead_letter_is_not_written_before_the_record(
        self, cube: CubeSimulator, gateway: Deployment, worker: Worker
    ) -> None:
        gateway.configure(MAX_ATTEMPTS="1")
        cube.configure(device_faults={DEVICE: "status:503"})
        event = gateway.deliver(message())
        gateway.aws_calls.fail("UpdateItem", after=1)
        assert not worker.consume(event).acknowledged
        assert gateway.dead_letters() == []

    def test_api_tells_that_the_outcome_is_unknown(
        self, cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
    ) -> None:
        # Given a function that has to wait for real
        gateway.aws_calls.fail("UpdateItem", after=1)
        # When
        reply = gateway.post(MESSAGE)
        # Then
        assert (reply.status, reply.json["state"]) == (504, "SENDING")
        assert "InternalServerError" not in reply.text
        output = printed()
        assert (output.values("MessagesSent"), output.values("MessagesRetried")) == ([], [1])
        # And a caller who asks again has to wait for the lease
        gateway.aws_calls.recover()
        again = gateway.post(MESSAGE)
        assert again.status == 409
        assert 0 < int(again.headers["Retry-After"]) <= LEASE
        assert cube.stats()["received"] == 1
