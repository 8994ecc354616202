"""A gate item that somebody has spoiled or removed: what cannot be read counts as absent, and nobody is held up."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cube_sms.pacing.errors import GateClosedError, NotNowError
from cube_sms.pacing.lanes import WINDOW
from local.gate_model import ModelWorker, OneItemTable, Queue, World, busiest_window
from tests.support import Clock
from tests.unit.gate_table import accepted, gate, item_of, post, take, throttled

if TYPE_CHECKING:
    from local.gate_model import Pause

# What no gate writes.
SPOILED: list[tuple[str, dict[str, Any]]] = [
    ("l0", {"S": "soon"}),
    ("l0", {"S": ""}),
    ("l0", {"S": "nan me"}),
    ("l0", {"S": "inf me"}),
    ("l0", {"S": "9999999999999 me"}),
    ("l0", {"N": "5"}),
    ("l0", {"M": {}}),
    ("used", {"S": "12"}),
    ("used", {"N": "1.5"}),
    ("used", {"NULL": True}),
    ("day", {"S": "today"}),
    ("day", {"N": "99999999"}),
    ("closedUntil", {"S": "tomorrow"}),
    ("closedUntil", {"BOOL": True}),
    ("closedFor", {"S": "lunch"}),
    ("wanted", {"S": "a lane"}),
    ("wanted", {"N": "1"}),
    ("paused", {"S": "for lunch"}),
    ("paused", {"S": "1800000000 nan lunch"}),
    ("paused", {"S": "1800000000 1700000000 lunch"}),
    ("paused", {"S": "1800000000 inf lunch\x1b[2J"}),
    ("paused", {"N": "1"}),
    ("strikes", {"S": "three"}),
]


@pytest.fixture
def table() -> OneItemTable:
    """Return a table that compares as DynamoDB does: moto breaks where two types meet."""
    return OneItemTable()


def spoil(table: OneItemTable, **attributes: dict[str, Any]) -> None:
    table.item |= attributes


class TestSpoiled:
    @pytest.mark.parametrize("is_warm", [True, False], ids=["warm", "cold"])
    @pytest.mark.parametrize(("name", "value"), SPOILED, ids=str)
    def test_is_sent_all_the_same_and_told(
        self, table: OneItemTable, clock: Clock, name: str, value: dict[str, Any], is_warm: bool
    ) -> None:
        # Given a gate that was used, and a worker that has seen it or has not
        worker = gate(table, clock, qps=1, quota=100)
        post(worker, clock)
        if not is_warm:
            clock.now += 10.0
            worker = gate(table, clock, qps=1, quota=100)
        # When somebody spoils it
        spoil(table, **{name: value})
        # Then the worker goes on, and says what it removed
        worker.reserve(2, latest=clock() + 30.0)
        for _ in range(2):
            post(worker, clock)
        assert name in worker.status.repaired
        assert worker.status.repaired == ()
        assert table.item.get(name) != value
        # And others find it whole
        other = gate(table, clock, qps=1, quota=100)
        post(other, clock)
        assert other.status.repaired == ()

    def test_worker_that_has_seen_it_spoiled_goes_on_after_it_was_repaired_by_hand(
        self, table: OneItemTable, clock: Clock
    ) -> None:
        # Given every attribute spoiled at once
        worker = gate(table, clock, qps=2, quota=100)
        spoil(table, **dict(SPOILED), l1={"N": "1"})
        post(worker, clock)
        # When somebody deletes the item
        table.item.clear()
        # Then
        post(worker, clock)

    def test_lane_is_not_used_sooner_for_it(self, table: OneItemTable, clock: Clock) -> None:
        worker = gate(table, clock, qps=1)
        left_at = post(worker, clock, accepted(0.05))
        spoil(table, l0={"S": "soon"})
        assert post(worker, clock) >= left_at + WINDOW

    def test_count_of_the_day_is_not_forgotten(self, table: OneItemTable, clock: Clock) -> None:
        worker = gate(table, clock, quota=10)
        worker.reserve(6, latest=clock() + 30.0)
        for _ in range(6):
            post(worker, clock)
        spoil(table, used={"S": "six"})
        assert worker.reserve(10, latest=clock() + 30.0) == 4
        assert item_of(table)["used"] == "10"

    def test_closing_is_written_over_one_that_cannot_be_read(self, table: OneItemTable, clock: Clock) -> None:
        worker, other = gate(table, clock), gate(table, clock)
        slot = take(worker, clock)
        spoil(table, closedUntil={"S": "tomorrow"})
        worker.report(slot, throttled(60.0))
        with pytest.raises(GateClosedError, match="throttled"):
            other.reserve(1, latest=clock() + 5.0)

    def test_closing_by_hand_may_leave_out_why(self, table: OneItemTable, clock: Clock) -> None:
        worker = gate(table, clock)
        spoil(table, closedUntil={"N": str(clock() + 60)})
        with pytest.raises(GateClosedError) as caught:
            worker.reserve(1, latest=clock() + 5.0)
        assert caught.value.until == clock() + 60


class TestDeleted:
    @pytest.mark.parametrize("after", [0.0, 0.3, 0.9, 5.0])
    def test_worker_does_not_forget_its_own_queries(self, table: OneItemTable, clock: Clock, after: float) -> None:
        # Given a worker that has just used up the second
        worker = gate(table, clock, qps=10)
        worker.reserve(10, latest=clock() + 30.0)
        times = [post(worker, clock) for _ in range(10)]
        # When the item is deleted
        table.item.clear()
        clock.now += after
        # Then no second holds more than the limit
        worker.reserve(25, latest=clock() + 30.0)
        times += [post(worker, clock) for _ in range(25)]
        assert busiest_window(times) == 10

    def test_count_of_the_day_is_not_forgotten(self, table: OneItemTable, clock: Clock) -> None:
        worker = gate(table, clock, qps=0, quota=10)
        worker.reserve(6, latest=clock() + 30.0)
        for _ in range(6):
            post(worker, clock)
        table.item.clear()
        assert worker.reserve(10, latest=clock() + 30.0) == 4
        assert item_of(table)["used"] == "10"

    @given(st.integers(1, 30), st.lists(st.integers(0, 60), max_size=4), st.randoms())
    @settings(max_examples=40)
    def test_one_worker_keeps_to_the_limit_however_often(self, qps: int, deletions: list[int], draw: Any) -> None:
        clock, table = Clock(), OneItemTable()
        worker = gate(table, clock, qps=qps)
        times: list[float] = []
        for turn in range(60):
            if turn in deletions:
                table.item.clear()
            with suppress(NotNowError):
                times += [post(worker, clock) for _ in range(draw.randint(1, 3))]
            clock.now += draw.choice([0.0, 0.01, 0.1, 1.0])
        assert busiest_window(times) <= qps

    @pytest.mark.parametrize("seed", range(8))
    def test_workers_that_know_each_other_stay_apart(self, seed: int) -> None:
        # Given three workers that use the limit to the full
        draw, world, queue = random.Random(seed), World(), Queue(200)
        for _ in range(3):
            worker = ModelWorker(
                world,
                10,
                skew=draw.uniform(-0.1, 0.1),
                post_time=lambda: 0.05 * draw.uniform(0.5, 1.5),
                write_time=lambda: 0.01,
            )
            world.start(worker.drain(queue, batch=10), draw.uniform(0.0, 0.5))

        # When the item is deleted, again and again
        def delete() -> Pause:
            for _ in range(3):
                yield draw.uniform(4.0, 8.0)
                world.table.item.clear()

        world.start(delete())
        world.run()
        # Then no second holds more than the limit
        assert (busiest_window(world.sent), queue.unsent) == (10, 0)
