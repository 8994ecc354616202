"""Lanes: the division of a limit, and who gets which of them."""

from __future__ import annotations

import math

import pytest

from cube_sms.pacing.lanes import (
    HANDOVER,
    MAX_LANES,
    MIN_SLACK,
    UNSEEN_SECONDS,
    WINDOW,
    Grant,
    Lane,
    Layout,
    Plan,
    Worker,
    next_query,
    plan,
)

NOW = 1_800_000_000.0
TEN = Layout.of(10)

# What workers' clocks differ by.
SKEW = 0.2


def plan_for(
    worker: Worker,
    lanes: list[Lane],
    wanted: int,
    *,
    layout: Layout = TEN,
    now: float = NOW,
    patience: float = 30.0,
    is_fresh: bool = True,
) -> Plan:
    return plan(layout, lanes, worker, wanted, now=now, latest=now + patience, is_fresh=is_fresh)


def indices(planned: Plan) -> set[int]:
    return {grant.index for grant in planned.grants}


class TestLayout:
    def test_limits(self) -> None:
        for limit in range(1, 2001):
            layout = Layout.of(limit)
            rate = layout.count * layout.uses
            assert 1 <= layout.count <= max(MAX_LANES, limit // 5)
            assert layout.uses >= 1
            # Never more than the limit, and little less
            assert rate <= limit
            assert rate >= 0.97 * limit
            # And enough lanes for several workers: one lane would be handed round
            assert layout.count >= min(limit, MAX_LANES // 2), limit

    def test_small_limits_lose_nothing(self) -> None:
        for limit in range(1, MAX_LANES + 1):
            assert Layout.of(limit) == Layout(limit, 1)

    def test_no_limit(self) -> None:
        assert Layout.of(0) == Layout(0, 0)

    def test_handover_allows_for_what_clocks_differ_by(self) -> None:
        assert HANDOVER >= SKEW + 0.05
        assert WINDOW > 1.0


class TestLane:
    @pytest.mark.parametrize("is_passing", [True, False])
    @pytest.mark.parametrize("free_at", [0.0, NOW, NOW + 0.001, NOW + 0.25])
    def test_round_trip(self, free_at: float, is_passing: bool) -> None:
        parsed = Lane.parse(str(Lane(free_at, "4f1a0b2c", is_passing)))
        assert parsed == Lane(parsed.free_at, "4f1a0b2c", is_passing)
        # Never earlier than it is
        assert 0.0 <= parsed.free_at - free_at <= 0.01

    def test_lane_that_nobody_had(self) -> None:
        assert Lane.parse("0 ") == Lane(0.0, "", False)


class TestNextQuery:
    def test_one_use(self) -> None:
        assert next_query(Layout(10, 1), [NOW - 5.0, NOW]) == NOW + WINDOW

    def test_order_does_not_matter(self) -> None:
        assert next_query(Layout(1, 2), [NOW + 0.5, NOW]) == NOW + WINDOW

    def test_lane_that_was_never_used(self) -> None:
        assert next_query(Layout(1, 2), [-math.inf, -math.inf, NOW]) == -math.inf


class TestPlan:
    def test_first_worker_has_every_lane_at_once(self) -> None:
        planned = plan_for(Worker("a", {}), [Lane()] * 10, 10)
        assert indices(planned) == set(range(10))
        assert planned.starts_at == NOW
        assert all(grant.until == NOW + MIN_SLACK for grant in planned.grants)
        assert all(grant.free_at == grant.until + WINDOW for grant in planned.grants)

    def test_more_queries_than_lanes_go_round(self) -> None:
        planned = plan_for(Worker("a", {}), [Lane()] * 10, 25)
        assert planned.uses == 25
        assert sorted(grant.uses for grant in planned.grants) == [2] * 5 + [3] * 5
        assert max(grant.until for grant in planned.grants) == pytest.approx(NOW + 2 * WINDOW + MIN_SLACK)

    def test_only_what_there_is_time_for(self) -> None:
        planned = plan_for(Worker("a", {}), [Lane()] * 10, 25, patience=1.5)
        assert planned.uses == 20

    def test_nothing_where_there_is_no_time(self) -> None:
        lanes = [Lane(NOW + 10.0 + index, "b") for index in range(10)]
        planned = plan_for(Worker("a", {}), lanes, 3, patience=5.0)
        assert planned.grants == []
        # It says when its slot would have been
        assert planned.starts_at == NOW + 10.0 + HANDOVER

    def test_strangers_lane_is_had_later(self) -> None:
        planned = plan_for(Worker("a", {}), [Lane(NOW + 1.0, "b")], 1, layout=Layout(1, 1))
        assert planned.starts_at == NOW + 1.0 + HANDOVER
        assert planned.grants == [
            Grant(0, 1, NOW + 1.0 + HANDOVER + MIN_SLACK, [NOW + 1.0 + HANDOVER - WINDOW], is_own=False)
        ]

    def test_own_lane_goes_on_without_a_gap(self) -> None:
        lanes = [Lane(NOW + 1.11, "a")]
        planned = plan_for(Worker("a", {0: [NOW]}), lanes, 2, layout=Layout(1, 1), now=NOW + 0.5)
        assert planned.starts_at == NOW + WINDOW
        assert planned.grants[0].uses == 2

    def test_lane_that_has_changed_hands_is_a_strangers(self) -> None:
        # Given a worker that remembers its own queries in a lane that another one has had since
        lanes = [Lane(NOW + 3.0, "b")]
        planned = plan_for(Worker("a", {0: [NOW - 60.0]}), lanes, 1, layout=Layout(1, 1))
        assert planned.starts_at == NOW + 3.0 + HANDOVER

    def test_keeps_to_its_own_lanes(self) -> None:
        lanes = [Lane(NOW, "a") if index in (2, 5, 7) else Lane() for index in range(10)]
        worker = Worker("a", {index: [NOW - WINDOW] for index in (2, 5, 7)})
        assert indices(plan_for(worker, lanes, 3)) == {2, 5, 7}

    def test_takes_no_more_lanes_than_its_connections_can_use(self) -> None:
        # Given a POST of half a second: two lanes a connection, and a bit for the longer second
        worker = Worker("a", {}, connections=1, post_time=0.5)
        assert len(plan_for(worker, [Lane()] * 10, 10).grants) == 3
        worker = worker._replace(connections=2)
        assert len(plan_for(worker, [Lane()] * 10, 10).grants) == 5

    def test_slow_posts_have_longer_to_begin(self) -> None:
        planned = plan_for(Worker("a", {}, post_time=0.5), [Lane()], 1, layout=Layout(1, 1))
        assert planned.grants[0].until == NOW + 0.5

    def test_slow_writes_leave_longer_to_begin(self) -> None:
        planned = plan_for(Worker("a", {}, delay=0.7), [Lane()], 1, layout=Layout(1, 1))
        assert planned.grants[0].until == pytest.approx(NOW + MIN_SLACK + 0.7)

    def test_workers_that_start_together_begin_with_different_lanes(self) -> None:
        first = {min(indices(plan_for(Worker(f"worker-{number}", {}), [Lane()] * 10, 1))) for number in range(30)}
        assert len(first) > 5

    def test_does_not_touch_what_others_need(self) -> None:
        # Given one lane that is free, and others that are fairly shared
        lanes = [Lane(NOW + 1.0, "b")] * 4 + [Lane(NOW + 1.0, "c")] * 4 + [Lane(NOW, "a")] * 2
        worker = Worker("a", {8: [NOW - WINDOW], 9: [NOW - WINDOW]})
        assert indices(plan_for(worker, lanes, 10)) >= {8, 9}
        assert len(plan_for(worker, lanes, 10).grants) == 3

    def test_newcomer_gets_its_share(self) -> None:
        lanes = [Lane(NOW + 1.0, "b")] * 5 + [Lane(NOW + 2.0, "c")] * 5
        planned = plan_for(Worker("a", {}), lanes, 10)
        # One third, from both
        assert len(planned.grants) == 3
        assert indices(planned) & set(range(5))
        assert indices(planned) & set(range(5, 10))

    def test_newcomer_gets_something_where_lanes_are_fewer_than_workers(self) -> None:
        planned = plan_for(Worker("a", {}), [Lane(NOW + 1.0, "b"), Lane(NOW + 2.0, "c")], 5, layout=Layout(2, 1))
        assert len(planned.grants) == 1
        assert planned.starts_at == NOW + 1.0 + HANDOVER

    def test_lane_of_one_who_passed_through_is_taken_first(self) -> None:
        lanes = [Lane(NOW + 1.0, "b")] * 9 + [Lane(NOW + 5.0, "d", is_passing=True)]
        planned = plan_for(Worker("a", {}), lanes, 1)
        assert indices(planned) == {9}

    def test_view_that_is_old_is_not_trusted(self) -> None:
        # Given lanes that were free, when last seen
        lanes = [Lane(NOW - 1.0, "b")] * 10
        fresh, old = (plan_for(Worker("a", {}), lanes, 10, is_fresh=is_fresh) for is_fresh in (True, False))
        assert len(fresh.grants) == 10
        assert len(old.grants) == 5

    def test_lane_that_nobody_has_had_for_long_is_free(self) -> None:
        lanes = [Lane(NOW - UNSEEN_SECONDS - 0.1, "b")] * 10
        assert len(plan_for(Worker("a", {}), lanes, 10, is_fresh=False).grants) == 10
