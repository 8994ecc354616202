"""The gate: slots for queries, and the day's count, with one write for each reservation."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from cube_sms.pacing.errors import GateClosedError, NoSlotError, NotNowError
from cube_sms.pacing.gate import FIRST_READY_SECONDS
from cube_sms.pacing.gate_item import FIRST_WRITE_SECONDS, GATE_KEY, REMEMBERED_SECONDS
from cube_sms.pacing.lanes import HANDOVER, MIN_SLACK, WINDOW
from cube_sms.platform.errors import RecordsUnavailableError
from local.gate_model import OneItemTable
from tests.unit.gate_table import DAY, NEXT_DAY, accepted, gate, item_of, nothing, post, take
from tests.unit.records_table import TABLE, answer_lost

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.support import Clock


@pytest.fixture(autouse=True)
def _no_gate(dynamodb: DynamoDBClient) -> None:
    dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": GATE_KEY}})


def used(dynamodb: DynamoDBClient | OneItemTable) -> int:
    return int(item_of(dynamodb)["used"])


def assert_quota_spent(caught: pytest.ExceptionInfo[GateClosedError]) -> None:
    assert caught.value.reason == "quota"
    # Until the next day, on any worker's clock
    assert caught.value.until == NEXT_DAY + HANDOVER


class TestRate:
    def test_second_holds_the_limit(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = gate(dynamodb, clock, qps=10)
        assert worker.reserve(25, latest=clock() + 30.0) == 25
        began = clock()
        times = [post(worker, clock) - began for _ in range(25)]
        assert times == pytest.approx([0.0] * 10 + [WINDOW] * 10 + [2 * WINDOW] * 5)

    def test_lane_goes_on_when_it_really_was_used(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = gate(dynamodb, clock, qps=1)
        first = post(worker, clock, accepted(0.1))
        clock.now = first + 5.0
        second = post(worker, clock, accepted(0.1))
        assert second == first + 5.0
        assert post(worker, clock, accepted(0.1)) == pytest.approx(second + WINDOW)

    @pytest.mark.parametrize("latency", [0.5, 3.0])
    def test_first_query_may_have_connected_first(self, dynamodb: DynamoDBClient, clock: Clock, latency: float) -> None:
        worker = gate(dynamodb, clock, qps=1)
        first = post(worker, clock, accepted(latency))
        # It may have left at any moment within that time
        assert post(worker, clock, accepted(0.1)) == pytest.approx(first + latency + WINDOW)

    def test_thread_that_comes_late_pushes_the_others_back(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = gate(dynamodb, clock, qps=1, connections=2)
        worker.reserve(3, latest=clock() + 30.0)
        worker.report(take(worker, clock), accepted())
        late, other = worker.take(latest=clock() + 30.0), worker.take(latest=clock() + 30.0)
        assert late
        assert other
        clock.now = late.at + 0.9
        left_at = clock()
        assert worker.wait(late, nothing)
        worker.left(late)
        # Then the next one leaves a second later, or not with this slot
        assert not worker.wait(other, nothing) or clock() - left_at >= WINDOW
        take(worker, clock)
        assert clock() - left_at >= WINDOW - 1e-6

    def test_slot_is_not_good_for_ever(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker, other = gate(dynamodb, clock, qps=1), gate(dynamodb, clock, qps=1)
        slot = worker.take(latest=clock() + 30.0)
        assert slot
        clock.now += 2.0
        left_at = post(other, clock)
        assert worker.wait(slot, nothing) is False
        # The message goes on with another one
        assert post(worker, clock) >= left_at + WINDOW + MIN_SLACK

    def test_slot_of_a_hold_that_was_shortened(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        # Given a thread with a slot of a long hold
        worker, other = gate(dynamodb, clock, qps=1, connections=2), gate(dynamodb, clock, qps=1)
        worker.reserve(10, latest=clock() + 30.0)
        worker.report(take(worker, clock), accepted())
        slot = worker.take(latest=clock() + 30.0)
        # When another thread shortens that, and another worker has the lane then
        worker.reserve(1, latest=clock() + 30.0)
        clock.now += 3.6
        post(other, clock)
        # Then
        assert slot
        assert worker.wait(slot, nothing) is False

    def test_what_is_not_used_is_free_again(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        # Given a worker that reserved ten seconds, and crashed
        began = clock()
        gate(dynamodb, clock, qps=1).reserve(10, latest=clock() + 30.0)
        other = gate(dynamodb, clock, qps=1)
        # Then another one has to wait for those, and a bit
        slot = other.take(latest=clock() + 30.0)
        assert slot
        to_begin = MIN_SLACK + FIRST_WRITE_SECONDS + FIRST_READY_SECONDS
        assert slot.at - began <= 9 * WINDOW + to_begin + WINDOW + HANDOVER + 0.01

    def test_gate_that_is_too_far(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        gate(dynamodb, clock, qps=1).reserve(20, latest=clock() + 30.0)
        with pytest.raises(NoSlotError) as caught:
            gate(dynamodb, clock, qps=1).take(latest=clock() + 5.0)
        assert 19.0 < caught.value.until - clock() < 22.0

    def test_slot_that_was_given_back_is_taken_again(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = gate(dynamodb, clock, qps=1)
        worker.reserve(1, latest=clock() + 5.0)
        began = clock()
        worker.give_back(take(worker, clock))
        assert post(worker, clock) == began

    def test_no_more_than_there_is_time_for(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        assert gate(dynamodb, clock, qps=2).reserve(100, latest=clock() + 4.5) == 10


class TestQuota:
    @pytest.mark.parametrize("qps", [0, 10])
    def test_is_counted(self, dynamodb: DynamoDBClient, clock: Clock, qps: int) -> None:
        worker = gate(dynamodb, clock, qps=qps, quota=20)
        worker.reserve(5, latest=clock() + 30.0)
        assert (used(dynamodb), worker.status.quota_used) == (5, 25.0)

    @pytest.mark.parametrize("qps", [0, 10])
    def test_what_was_not_used_is_credited(self, dynamodb: DynamoDBClient, clock: Clock, qps: int) -> None:
        worker = gate(dynamodb, clock, qps=qps, quota=20)
        worker.reserve(8, latest=clock() + 30.0)
        for _ in range(3):
            post(worker, clock)
        worker.give_back(take(worker, clock))
        clock.now += 10.0
        worker.reserve(4, latest=clock() + 30.0)
        assert used(dynamodb) == 7

    @pytest.mark.parametrize("qps", [0, 10])
    def test_spent(self, dynamodb: DynamoDBClient, clock: Clock, qps: int) -> None:
        worker, other = (gate(dynamodb, clock, qps=qps, quota=12) for _ in range(2))
        assert worker.reserve(8, latest=clock() + 30.0) == 8
        assert other.reserve(8, latest=clock() + 30.0) == 4
        for _ in range(4):
            post(other, clock)
        for call in (lambda: other.take(latest=clock() + 30.0), lambda: other.reserve(5, latest=clock() + 30.0)):
            with pytest.raises(GateClosedError, match="quota") as caught:
                call()
            assert_quota_spent(caught)
        assert other.status[:2] == (100.0, "quota")
        # But what was reserved before can be used
        for _ in range(8):
            post(worker, clock)
        with pytest.raises(GateClosedError, match="quota") as caught:
            worker.reserve(1, latest=clock() + 30.0)
        assert_quota_spent(caught)
        assert used(dynamodb) == 12

    @pytest.mark.parametrize("qps", [0, 10])
    def test_two_workers_begin_the_day_with_the_same(self, dynamodb: DynamoDBClient, clock: Clock, qps: int) -> None:
        one, two = (gate(dynamodb, clock, qps=qps, quota=10) for _ in range(2))
        assert one.reserve(10, latest=clock() + 30.0) == 10
        with pytest.raises(GateClosedError, match="quota"):
            two.reserve(10, latest=clock() + 30.0)

    def test_next_day_begins_anew(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = gate(dynamodb, clock, qps=10, quota=5)
        worker.reserve(5, latest=clock() + 30.0)
        clock.now = NEXT_DAY + HANDOVER + 0.001
        assert worker.reserve(10, latest=clock() + 30.0) == 5
        assert item_of(dynamodb)["day"] == str(NEXT_DAY // DAY).removesuffix(".0")

    @pytest.mark.parametrize("qps", [0, 10])
    def test_yesterdays_are_not_made_today(self, dynamodb: DynamoDBClient, clock: Clock, qps: int) -> None:
        # Given what was reserved right before midnight, and not used up
        worker = gate(dynamodb, clock, qps=qps, quota=10)
        clock.now = NEXT_DAY - 2.0
        worker.reserve(10, latest=clock() + 30.0)
        for _ in range(5):
            post(worker, clock)
        # When the next day has begun
        clock.now = NEXT_DAY + 1.0
        sent = 0
        with contextlib.suppress(NotNowError):
            for _ in range(20):
                post(worker, clock)
                sent += 1
        # Then each of that day's is counted
        assert sent == used(dynamodb) == 10

    @pytest.mark.parametrize("qps", [0, 10])
    def test_slot_of_yesterday_is_no_credit_today(self, dynamodb: DynamoDBClient, clock: Clock, qps: int) -> None:
        worker = gate(dynamodb, clock, qps=qps, quota=10, connections=2)
        clock.now = NEXT_DAY - 1.0
        worker.reserve(2, latest=clock() + 30.0)
        slot = worker.take(latest=clock() + 30.0)
        clock.now = NEXT_DAY + 0.3
        assert worker.reserve(10, latest=clock() + 30.0) == 10
        assert slot
        assert worker.wait(slot, nothing) is False
        for _ in range(10):
            post(worker, clock)
        with pytest.raises(GateClosedError, match="quota"):
            worker.take(latest=clock() + 30.0)

    @pytest.mark.parametrize("qps", [0, 10])
    def test_write_over_midnight(self, clock: Clock, qps: int) -> None:
        # Given a write that is begun on one day and answered on the next
        table = OneItemTable()
        worker = gate(table, clock, qps=qps, quota=10)
        clock.now = NEXT_DAY - 1.0

        def answered_late() -> bool:
            clock.now += 1.5 * (clock.now < NEXT_DAY)
            return False

        table.is_repeated = answered_late
        worker.reserve(5, latest=clock() + 30.0)
        # Then those are not the next day's
        sent = 0
        with contextlib.suppress(NotNowError):
            for _ in range(20):
                post(worker, clock)
                sent += 1
        assert sent == used(table) == 10

    @pytest.mark.parametrize("qps", [0, 10])
    @pytest.mark.parametrize("seconds", [-0.24, -0.1, 0.0, 0.1, 0.24])
    def test_nothing_is_sent_at_midnight(
        self, dynamodb: DynamoDBClient, clock: Clock, qps: int, seconds: float
    ) -> None:
        clock.now = NEXT_DAY + seconds
        with pytest.raises(NoSlotError) as caught:
            gate(dynamodb, clock, qps=qps, quota=10).take(latest=clock() + 30.0)
        # Until the new day has begun for all, and not at once again
        assert caught.value.until == NEXT_DAY + HANDOVER

    def test_clock_that_is_behind_waits_for_the_day_others_have_begun(
        self, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        clock.now = NEXT_DAY + HANDOVER + 0.01
        gate(dynamodb, clock, qps=0, quota=100).reserve(5, latest=clock() + 30.0)
        clock.now -= 0.2
        with pytest.raises(NoSlotError) as caught:
            gate(dynamodb, clock, qps=0, quota=100).reserve(5, latest=clock() + 30.0)
        assert caught.value.until == NEXT_DAY + HANDOVER

    def test_raised_quota_is_noticed(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        # Given a worker that remembers the quota as spent
        worker = gate(dynamodb, clock, quota=5)
        for _ in range(5):
            post(worker, clock)
        with pytest.raises(GateClosedError, match="quota"):
            worker.reserve(1, latest=clock() + 30.0)
        # When somebody takes back some of the count
        key = {"messageId": {"S": GATE_KEY}}
        dynamodb.update_item(
            TableName=TABLE,
            Key=key,
            UpdateExpression="SET used = :two",
            ExpressionAttributeValues={":two": {"N": "2"}},
        )
        clock.now += REMEMBERED_SECONDS
        # Then
        assert worker.reserve(10, latest=clock() + 30.0) >= 1
        # And a deployment with a higher quota finds the count as it is
        assert gate(dynamodb, clock, quota=50).reserve(60, latest=clock() + 30.0) > 40

    def test_lowered_quota_is_spent(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        gate(dynamodb, clock, quota=100).reserve(50, latest=clock() + 30.0)
        with pytest.raises(GateClosedError, match="quota"):
            gate(dynamodb, clock, quota=20).reserve(1, latest=clock() + 30.0)


class TestWrites:
    @pytest.mark.parametrize("quota", [0, 10_000])
    @pytest.mark.parametrize("qps", [1, 10, 200])
    def test_one_for_each_reservation(self, clock: Clock, qps: int, quota: int) -> None:
        table = OneItemTable()
        worker = gate(table, clock, qps=qps, quota=quota)
        # Given a worker that knows what a POST takes
        for _ in range(60):
            post(worker, clock, accepted(0.05))
        before = table.writes
        for batch in range(1, 31):
            worker.reserve(10, latest=clock() + 30.0)
            for _ in range(10):
                post(worker, clock, accepted(0.05))
            clock.now += 0.02
            assert (table.writes, table.refused) == (before + batch, 0)

    def test_none_without_limits(self, clock: Clock) -> None:
        table = OneItemTable()
        worker = gate(table, clock, qps=0, quota=0)
        assert worker.is_off
        assert worker.reserve(10, latest=clock() + 30.0) == 10
        assert worker.take(latest=clock() + 30.0) is None
        worker.give_back(None)
        worker.report(None, accepted())
        assert (table.writes, worker.status[:2]) == (0, (None, None))

    def test_quota_without_a_rate(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker, began = gate(dynamodb, clock, qps=0, quota=100), clock()
        worker.reserve(50, latest=clock() + 30.0)
        assert {post(worker, clock) for _ in range(50)} == {began}
        assert not [name for name in item_of(dynamodb) if name.startswith("lane")]

    def test_rate_without_a_quota(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = gate(dynamodb, clock, qps=10, quota=0)
        worker.reserve(5, latest=clock() + 30.0)
        assert not {"day", "used"} & set(item_of(dynamodb))
        assert worker.status.quota_used is None

    def test_view_that_is_outdated_is_planned_again(self, clock: Clock) -> None:
        # Given two workers that both saw an empty item
        table = OneItemTable()
        one, two = (gate(table, clock, qps=1) for _ in range(2))
        left_at = post(one, clock)
        slot = two.take(latest=clock() + 30.0)
        assert slot
        assert slot.at >= left_at + WINDOW + HANDOVER
        assert (table.writes, table.refused) == (3, 1)

    def test_item_fits_one_unit_of_a_write(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        # Given the most that there is in it, with as many lanes as are said to fit
        worker = gate(dynamodb, clock, qps=200, quota=10**8, is_passing=True)
        worker.reserve(400, latest=clock() + 30.0)
        size = sum(len(name) + len(value) for name, value in item_of(dynamodb).items())
        assert size + len("closedUntil closedFor unavailable strikes") + 3 * 12 <= 1024

    @pytest.mark.parametrize("seconds", [0.15, 0.5, 2.0])
    def test_slow_writes_do_not_use_up_what_they_reserve(self, clock: Clock, seconds: float) -> None:
        table = OneItemTable()

        def slow() -> bool:
            clock.now += seconds
            return False

        table.is_repeated = slow
        worker = gate(table, clock, qps=10)
        # When it has learnt what they take
        for _ in range(20):
            with contextlib.suppress(NotNowError):
                post(worker, clock, accepted(0.05))
        # Then each reservation is good for its query
        for _ in range(20):
            post(worker, clock, accepted(0.05))


class TestLostAnswers:
    @pytest.mark.parametrize("qps", [0, 10])
    def test_repeated_write_reserves_once(self, dynamodb: DynamoDBClient, clock: Clock, qps: int) -> None:
        worker = gate(dynamodb, clock, qps=qps, quota=100)
        for number in range(1, 4):
            with answer_lost(dynamodb) as statuses:
                assert worker.reserve(10, latest=clock() + 30.0) == 10
            assert statuses == [200, 400]
            for _ in range(10):
                post(worker, clock)
            assert used(dynamodb) == 10 * number

    def test_repeated_probe_is_one(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        worker = gate(dynamodb, clock, qps=0, quota=100)
        with answer_lost(dynamodb):
            assert worker.reserve(1, latest=clock() + 30.0) == 1
        assert used(dynamodb) == 1

    def test_lane_of_a_write_that_nobody_heard_of(self, clock: Clock) -> None:
        # Given a worker that reserved a lane after another one, and never got the answer
        table = OneItemTable()
        first, worker = (gate(table, clock, qps=1) for _ in range(2))
        left_at = post(first, clock)
        with contextlib.suppress(NotNowError):
            worker.reserve(1, latest=clock())
        answers = iter([True])
        table.is_answer_lost = lambda: next(answers, False)
        with pytest.raises(RecordsUnavailableError):
            worker.reserve(1, latest=clock() + 30.0)
        clock.now += 0.05
        # When it reserves again
        worker.reserve(2, latest=clock() + 30.0)
        # Then it does not take the lane for one that it may use at once
        assert post(worker, clock) >= left_at + WINDOW + HANDOVER

    def test_what_was_held_before_is_not_used_after(self, clock: Clock) -> None:
        # Given a worker with slots left
        table = OneItemTable()
        worker, other = (gate(table, clock, qps=1) for _ in range(2))
        worker.reserve(10, latest=clock() + 30.0)
        post(worker, clock)
        # When a shorter reservation was written without an answer
        answers = iter([True])
        table.is_answer_lost = lambda: next(answers, False)
        with pytest.raises(RecordsUnavailableError):
            worker.reserve(1, latest=clock() + 30.0)
        # Then others may soon have the lane, and it does not use it beside them
        clock.now += 3.6
        left_at = post(other, clock)
        with contextlib.suppress(NotNowError):
            assert abs(post(worker, clock) - left_at) >= WINDOW


class TestAway:
    @pytest.mark.parametrize("code", ["InternalServerError", "ThrottlingException", "ResourceNotFoundException"])
    def test_error_of_dynamodb(self, dynamodb: DynamoDBClient, clock: Clock, code: str) -> None:
        worker = gate(dynamodb, clock)
        for call in (lambda: worker.reserve(1, latest=clock() + 5.0), lambda: worker.take(latest=clock() + 5.0)):
            with Stubber(dynamodb) as stubber:
                stubber.add_client_error("update_item", code, "no", 400)
                with pytest.raises(RecordsUnavailableError):
                    call()
        # And when it is back
        assert worker.reserve(5, latest=clock() + 5.0) == 5

    def test_dynamodb_that_cannot_be_reached(self, clock: Clock) -> None:
        config = Config(connect_timeout=1, retries={"total_max_attempts": 1})
        client = boto3.client("dynamodb", region_name="eu-central-1", endpoint_url="http://127.0.0.1:1", config=config)
        with pytest.raises(RecordsUnavailableError):
            gate(client, clock).reserve(1, latest=clock() + 5.0)
