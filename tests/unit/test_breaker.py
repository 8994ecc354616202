"""The gate closes for all workers while Cube refuses or is unavailable, and one query opens it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from cube_sms.pacing.breaker import (
    FAILURES,
    MOST_CLOSED_SECONDS,
    MOST_RETRY_AFTER,
    PROBE_MARGIN,
    PROBING_SECONDS,
    THROTTLED_SECONDS,
    UNAVAILABLE_SECONDS,
)
from cube_sms.pacing.errors import GateClosedError
from cube_sms.pacing.gate_item import GATE_KEY, REMEMBERED_SECONDS
from tests.unit.gate_table import (
    LONGEST_POST,
    accepted,
    broken,
    gate,
    item_of,
    nothing,
    post,
    rejected,
    take,
    throttled,
    unauthenticated,
    unavailable,
    unknown,
)
from tests.unit.records_table import TABLE

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.pacing.gate import Gate
    from cube_sms.provider.base import CubeAnswer, CubeError
    from tests.support import Clock

CLOSED = {"closedUntil", "closedFor", "strikes"}


@pytest.fixture(autouse=True)
def _no_gate(dynamodb: DynamoDBClient) -> None:
    dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": GATE_KEY}})


def closing(dynamodb: DynamoDBClient) -> dict[str, str]:
    return {name: value for name, value in item_of(dynamodb).items() if name in CLOSED}


def test_reason_that_somebody_has_written_by_hand_is_one() -> None:
    error = GateClosedError("maintenance", 1.0)  # type: ignore[arg-type]
    assert str(error) == "not sent: the gate is closed"


def assert_closed(gate: Gate, clock: Clock, reason: str, seconds: float) -> None:
    with pytest.raises(GateClosedError) as caught:
        gate.take(latest=clock() + 3000.0)
    assert caught.value.reason == reason
    assert caught.value.until - clock() == pytest.approx(seconds, abs=0.002)


def close(dynamodb: DynamoDBClient, clock: Clock, answer: CubeError | None = None) -> Gate:
    """Let a worker close the gate."""
    closer = gate(dynamodb, clock)
    post(closer, clock, answer or throttled())
    return closer


class TestClosing:
    @pytest.mark.parametrize(
        ("retry_after", "seconds"),
        [
            (None, THROTTLED_SECONDS),
            (0.0, THROTTLED_SECONDS),
            (0.3, THROTTLED_SECONDS),
            (7.0, 7.0),
            (3600.0, 3600.0),
            (86_400.0, MOST_RETRY_AFTER),
            (999_999_999.0, MOST_RETRY_AFTER),
        ],
    )
    def test_one_429(self, dynamodb: DynamoDBClient, clock: Clock, retry_after: float | None, seconds: float) -> None:
        closer = close(dynamodb, clock, throttled(retry_after))
        # Closed for itself, and for a new worker
        for worker in (closer, gate(dynamodb, clock)):
            assert_closed(worker, clock, "throttled", seconds)
            assert worker.status.closed_for == "throttled"

    def test_who_has_slots_left_sees_it_at_the_next_reservation(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        other = gate(dynamodb, clock)
        other.reserve(2, latest=clock() + 5.0)
        close(dynamodb, clock, throttled(60.0))
        for _ in range(2):
            post(other, clock)
        assert_closed(other, clock, "throttled", 60.0)

    def test_worker_that_waits_for_its_slot_does_not_use_it(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = gate(dynamodb, clock, connections=3)
        worker.reserve(3, latest=clock() + 5.0)
        first, second = take(worker, clock), worker.take(latest=clock() + 5.0)
        worker.report(first, throttled(30.0))
        assert second
        with pytest.raises(GateClosedError, match="throttled"):
            worker.wait(second, nothing)

    def test_slots_from_before_are_not_used_after(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        # Given slots for a while, one of them in a thread's hands
        worker = gate(dynamodb, clock, qps=1, connections=2)
        worker.reserve(10, latest=clock() + 30.0)
        first = take(worker, clock)
        waiting = worker.take(latest=clock() + 30.0)
        # When the gate was closed for a second
        worker.report(first, throttled())
        clock.now += 1.5
        # Then that one and the others cannot be used, except for one probe
        assert waiting
        assert worker.wait(waiting, nothing) is False
        take(worker, clock)
        assert closing(dynamodb)["closedFor"] == "probing"
        with pytest.raises(GateClosedError, match="probing"):
            worker.take(latest=clock() + 30.0)

    @pytest.mark.parametrize("retry_after", [None, 120.0])
    def test_unavailable_several_times_in_a_row(
        self, dynamodb: DynamoDBClient, clock: Clock, retry_after: float | None
    ) -> None:
        worker = gate(dynamodb, clock)
        for _ in range(FAILURES - 1):
            post(worker, clock, unavailable(retry_after))
            assert not closing(dynamodb)
        post(worker, clock, unavailable(retry_after))
        assert_closed(worker, clock, "unavailable", retry_after or UNAVAILABLE_SECONDS)
        assert_closed(gate(dynamodb, clock), clock, "unavailable", retry_after or UNAVAILABLE_SECONDS)

    @pytest.mark.parametrize("answer", [accepted(), rejected(), unauthenticated()])
    def test_any_answer_in_between_counts_from_the_start(
        self, dynamodb: DynamoDBClient, clock: Clock, answer: CubeAnswer | CubeError
    ) -> None:
        worker = gate(dynamodb, clock)
        for _ in range(FAILURES - 1):
            post(worker, clock, unavailable())
        post(worker, clock, answer)
        for _ in range(FAILURES - 1):
            post(worker, clock, unavailable())
        assert not closing(dynamodb)

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_servers_that_break_several_times_in_a_row(
        self, dynamodb: DynamoDBClient, clock: Clock, status: int
    ) -> None:
        # Given a gateway that answers with 5xx, whatever became of the requests
        worker = gate(dynamodb, clock)
        for _ in range(FAILURES - 1):
            post(worker, clock, broken(status))
            assert not closing(dynamodb)
        # When it does once more, then it is left alone
        post(worker, clock, broken(status, retry_after=40.0))
        assert_closed(gate(dynamodb, clock), clock, "unavailable", 40.0)

    def test_answers_that_are_lost_do_not_close(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = gate(dynamodb, clock)
        for _ in range(3 * FAILURES):
            post(worker, clock, unknown())
        assert not closing(dynamodb)

    def test_answer_that_is_lost_neither_counts_nor_starts_the_count_anew(
        self, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        worker = gate(dynamodb, clock)
        for failure in [*[broken()] * (FAILURES - 1), unknown()]:
            post(worker, clock, failure)
        assert not closing(dynamodb)
        post(worker, clock, unavailable())
        assert_closed(worker, clock, "unavailable", UNAVAILABLE_SECONDS)

    def test_longer_closing_stays(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        # Given two queries under way
        one, two = gate(dynamodb, clock), gate(dynamodb, clock)
        slots = [take(one, clock), take(two, clock)]
        # When both are refused, the one for longer first
        one.report(slots[0], throttled(60.0))
        two.report(slots[1], throttled(2.0))
        # Then
        assert_closed(gate(dynamodb, clock), clock, "throttled", 60.0)
        assert_closed(two, clock, "throttled", 60.0)

    def test_shorter_closing_is_made_longer(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        one, two = gate(dynamodb, clock), gate(dynamodb, clock)
        slots = [take(one, clock), take(two, clock)]
        one.report(slots[0], throttled(2.0))
        two.report(slots[1], throttled(60.0))
        assert_closed(gate(dynamodb, clock), clock, "throttled", 60.0)

    @pytest.mark.parametrize("limits", [{"qps": 0, "quota": 100}, {"qps": 10, "quota": 0}, {"qps": 10, "quota": 100}])
    def test_every_kind_of_gate(self, dynamodb: DynamoDBClient, clock: Clock, limits: dict[str, int]) -> None:
        worker = gate(dynamodb, clock, **limits)
        post(worker, clock, throttled(4.0))
        assert_closed(worker, clock, "throttled", 4.0)
        clock.now += 4.0
        post(worker, clock)
        assert not closing(dynamodb)


class TestProbe:
    def test_is_one(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        # Given a gate that was closed
        workers = [close(dynamodb, clock), gate(dynamodb, clock), gate(dynamodb, clock)]
        clock.now += THROTTLED_SECONDS
        # When all of them want many queries
        assert workers[1].reserve(10, latest=clock() + 30.0) == 1
        take(workers[1], clock)
        # Then one of them has one
        for worker in workers:
            assert_closed(worker, clock, "probing", PROBING_SECONDS)
        assert float(closing(dynamodb)["closedUntil"]) - clock() == pytest.approx(LONGEST_POST + PROBE_MARGIN)

    @pytest.mark.parametrize("answer", [accepted(), rejected(), unauthenticated()])
    def test_any_answer_opens_the_gate(
        self, dynamodb: DynamoDBClient, clock: Clock, answer: CubeAnswer | CubeError
    ) -> None:
        worker, other = close(dynamodb, clock), gate(dynamodb, clock)
        clock.now += THROTTLED_SECONDS
        post(worker, clock, answer)
        assert not closing(dynamodb)
        assert worker.reserve(5, latest=clock() + 30.0) == 5
        assert other.reserve(5, latest=clock() + 30.0) == 5

    @pytest.mark.parametrize(
        ("answer", "reason", "seconds"),
        [
            (throttled(), "throttled", 2 * THROTTLED_SECONDS),
            (throttled(20.0), "throttled", 20.0),
            (unavailable(), "unavailable", 2 * UNAVAILABLE_SECONDS),
            (unavailable(40.0), "unavailable", 40.0),
            (unavailable(1.0), "unavailable", 2 * UNAVAILABLE_SECONDS),
            (unknown(), "unavailable", 2 * UNAVAILABLE_SECONDS),
            (broken(), "unavailable", 2 * UNAVAILABLE_SECONDS),
            (broken(503, retry_after=40.0), "unavailable", 40.0),
        ],
    )
    def test_that_fails_closes_for_longer(
        self, dynamodb: DynamoDBClient, clock: Clock, answer: CubeError, reason: str, seconds: float
    ) -> None:
        worker = close(dynamodb, clock)
        clock.now += THROTTLED_SECONDS
        post(worker, clock, answer)
        for who in (worker, gate(dynamodb, clock)):
            assert_closed(who, clock, reason, seconds)

    def test_backoff_grows_up_to_the_most_and_starts_anew(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = close(dynamodb, clock)
        waits = []
        for _ in range(12):
            waits.append(float(closing(dynamodb)["closedUntil"]) - clock())
            clock.now += waits[-1]
            # A different worker probes each time
            worker = gate(dynamodb, clock)
            post(worker, clock, throttled())
        expected = [min(MOST_CLOSED_SECONDS, THROTTLED_SECONDS * 2**turn) for turn in range(12)]
        assert waits == pytest.approx(expected, abs=0.002)
        # When it was open in between
        clock.now += MOST_CLOSED_SECONDS
        post(worker, clock)
        post(worker, clock, throttled())
        assert_closed(worker, clock, "throttled", THROTTLED_SECONDS)

    def test_whose_worker_dies_is_taken_over(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        # Given a probe whose worker is never heard of again
        close(dynamodb, clock)
        clock.now += THROTTLED_SECONDS
        take(gate(dynamodb, clock), clock)
        # When its time is over
        other = gate(dynamodb, clock)
        assert_closed(other, clock, "probing", PROBING_SECONDS)
        clock.now += LONGEST_POST + PROBE_MARGIN
        # Then another one probes, and opens
        post(other, clock)
        assert not closing(dynamodb)

    def test_whose_slot_vanishes_does_not_keep_its_worker_out_for_ever(
        self, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        # Given a probe that something unforeseen ended: neither reported nor given back
        worker = close(dynamodb, clock)
        clock.now += THROTTLED_SECONDS
        take(worker, clock)
        # When its time is over
        clock.now += LONGEST_POST + PROBE_MARGIN + 1.0
        # Then
        post(worker, clock)
        assert not closing(dynamodb)

    def test_whose_message_needs_no_query_is_made_with_the_next(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = close(dynamodb, clock)
        clock.now += THROTTLED_SECONDS
        worker.give_back(take(worker, clock))
        post(worker, clock)
        assert not closing(dynamodb)

    def test_that_was_only_reserved_is_made_with_the_next(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = close(dynamodb, clock)
        clock.now += THROTTLED_SECONDS
        worker.reserve(10, latest=clock() + 30.0)
        clock.now += 5.0
        assert worker.reserve(10, latest=clock() + 30.0) == 1
        post(worker, clock)
        assert not closing(dynamodb)

    def test_of_several_threads_is_one(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = gate(dynamodb, clock, connections=3)
        post(worker, clock, throttled())
        clock.now += THROTTLED_SECONDS
        take(worker, clock)
        for _ in range(2):
            with pytest.raises(GateClosedError, match="probing"):
                worker.take(latest=clock() + 30.0)

    def test_is_not_answered_by_an_older_query(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        # Given a query that takes long, and a gate that was closed meanwhile
        worker = gate(dynamodb, clock, connections=3)
        worker.reserve(2, latest=clock() + 5.0)
        slow = take(worker, clock)
        worker.report(take(worker, clock), throttled())
        clock.now += THROTTLED_SECONDS
        probe = take(worker, clock)
        # When it is answered while the probe is under way
        worker.report(slow, accepted(clock() - slow.at))
        # Then the probe decides
        assert closing(dynamodb)["closedFor"] == "probing"
        worker.report(probe, throttled())
        assert_closed(worker, clock, "throttled", 2 * THROTTLED_SECONDS)

    @pytest.mark.parametrize("retry_after", [10.0, 60.0])
    def test_does_not_open_what_another_has_closed_meanwhile(
        self, dynamodb: DynamoDBClient, clock: Clock, retry_after: float
    ) -> None:
        # Given two queries under way, and a probe
        slow, prober = gate(dynamodb, clock), gate(dynamodb, clock)
        slot = take(slow, clock)
        post(prober, clock, throttled())
        clock.now += THROTTLED_SECONDS
        probe = take(prober, clock)
        # When the slow one is refused, and then the probe accepted
        slow.report(slot, throttled(retry_after, latency=clock() - slot.at))
        prober.report(probe, accepted())
        # Then it stays closed
        assert_closed(gate(dynamodb, clock), clock, "throttled", retry_after)


class TestRemembered:
    def test_gate_that_was_opened_by_hand_is_noticed(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = close(dynamodb, clock, throttled(3600.0))
        dynamodb.update_item(
            TableName=TABLE,
            Key={"messageId": {"S": GATE_KEY}},
            UpdateExpression="REMOVE closedUntil, closedFor, strikes",
        )
        assert_closed(worker, clock, "throttled", 3600.0)
        clock.now += REMEMBERED_SECONDS
        assert worker.reserve(10, latest=clock() + 30.0) == 10
        assert worker.status.closed_for is None

    def test_closed_gate_costs_a_write_now_and_then(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = close(dynamodb, clock, throttled(3600.0))
        writes: list[str] = []

        def count(model: Any, **_: Any) -> None:
            writes.append(model.name)

        dynamodb.meta.events.register("before-call.dynamodb.*", count)
        try:
            for _ in range(60):
                clock.now += 1.0
                with pytest.raises(GateClosedError):
                    worker.reserve(10, latest=clock() + 30.0)
        finally:
            dynamodb.meta.events.unregister("before-call.dynamodb.*", count)
        assert len(writes) == 6

    def test_opened_gate_is_noticed_soon(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        # Given a worker that knows of a probe
        prober = close(dynamodb, clock)
        clock.now += THROTTLED_SECONDS
        slot, other = take(prober, clock), gate(dynamodb, clock)
        assert_closed(other, clock, "probing", PROBING_SECONDS)
        # When the probe is accepted
        prober.report(slot, accepted())
        clock.now += PROBING_SECONDS
        # Then
        assert other.reserve(10, latest=clock() + 30.0) == 10


class TestDynamoDBAway:
    def test_closing_is_remembered(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = gate(dynamodb, clock)
        slot = take(worker, clock)
        with Stubber(dynamodb) as stubber:
            stubber.add_client_error("update_item", "InternalServerError", "no", 500)
            worker.report(slot, throttled(5.0))
        # Then only this worker remembers it
        assert_closed(worker, clock, "throttled", 5.0)
        assert not closing(dynamodb)
        # And what was never written does not keep it out
        clock.now += 5.0
        assert worker.reserve(3, latest=clock() + 30.0) == 3

    def test_opening_is_repeated_by_the_next_probe(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = close(dynamodb, clock)
        clock.now += THROTTLED_SECONDS
        slot = take(worker, clock)
        with Stubber(dynamodb) as stubber:
            stubber.add_client_error("update_item", "ThrottlingException", "no", 400)
            worker.report(slot, accepted())
        assert closing(dynamodb)["closedFor"] == "probing"
        post(worker, clock)
        assert not closing(dynamodb)
