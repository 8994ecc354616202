"""Plans of lanes, for anything that the lanes may be like."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from cube_sms.pacing.lanes import HANDOVER, MIN_SLACK, WINDOW, Lane, Layout, Worker, plan

NOW = 1_800_000_000.0

layouts = st.one_of(st.integers(1, 50), st.integers(1, 2000)).map(Layout.of)
moments = st.floats(-20.0, 40.0).map(lambda seconds: NOW + round(seconds, 3))
owners = st.sampled_from(["me", "b", "c", "d", ""])


@st.composite
def situations(draw: st.DrawFn) -> tuple[Layout, list[Lane], Worker]:
    layout = draw(layouts)
    few = st.builds(Lane, moments, owners, st.booleans())
    kinds = draw(st.lists(few, min_size=1, max_size=8))
    lanes = [kinds[draw(st.integers(0, len(kinds) - 1)) if index < 40 else index % len(kinds)] for index in
             range(layout.count)]  # fmt: skip
    past = st.lists(moments, max_size=2 * layout.uses)
    queries = draw(st.dictionaries(st.integers(0, layout.count - 1), past, max_size=4))
    worker = Worker(
        "me", queries, draw(st.integers(1, 8)), draw(st.sampled_from([0.0, 0.01, 0.3, 2.5])), draw(st.floats(0, 1))
    )
    return layout, lanes, worker


@given(situations(), st.integers(1, 40), st.floats(-1.0, 60.0), st.booleans())
@settings(max_examples=150)
def test_plan_keeps_to_every_lane(
    situation: tuple[Layout, list[Lane], Worker], wanted: int, patience: float, is_fresh: bool
) -> None:
    layout, lanes, worker = situation
    latest = NOW + patience
    planned = plan(layout, lanes, worker, wanted, now=NOW, latest=latest, is_fresh=is_fresh)

    # Each lane once, and of the queries no more than were wanted
    assert planned.uses <= wanted
    assert len({grant.index for grant in planned.grants}) == len(planned.grants)
    if not planned.grants:
        assert planned.starts_at > latest
        return
    assert NOW <= planned.starts_at <= latest
    slack = max(MIN_SLACK, worker.post_time) + worker.delay
    for grant in planned.grants:
        lane = lanes[grant.index]
        assert grant.uses >= 1
        assert len(grant.queries) >= layout.uses
        assert grant.is_own is (lane.owner == "me")
        if lane.owner != "me":
            # Another's lane is not touched for a second and what clocks differ by
            assert min(grant.queries) >= lane.free_at + HANDOVER - WINDOW
            # And what the worker did there before, it remembers
            own = sorted(worker.queries.get(grant.index, ()))[-layout.uses :]
            assert set(grant.queries) >= {query for query in own if query > lane.free_at}
        else:
            # Its own is as it was left
            made = [query for query in grant.queries if query > -math.inf]
            assert made == sorted(worker.queries.get(grant.index, ()))[-layout.uses :]
        # It is held for as long as its queries take, and not held once there is no sense in them
        earliest = max(NOW, sorted(grant.queries)[-layout.uses] + WINDOW)
        rounds = (grant.uses - 1) // layout.uses
        assert grant.until >= earliest + rounds * WINDOW + slack - 1e-5
        assert grant.until <= latest + slack + 1e-5
        assert grant.free_at == grant.until + WINDOW


@given(st.integers(1, 60), st.integers(1, 6), st.integers(1, 4))
@settings(max_examples=60)
def test_shares_become_fair(limit: int, workers: int, rounds: int) -> None:
    # Given workers that come one after the other and always want more than there is
    layout = Layout.of(limit)
    wanted = rounds * layout.count * layout.uses
    lanes = [Lane() for _ in range(layout.count)]
    names = [f"worker-{number}" for number in range(workers)]
    # When each has planned a few times
    for turn in range(8):
        for number, name in enumerate(names):
            now = NOW + turn * 2.0 + number * 0.1
            worker = Worker(name, {index: [now - WINDOW] for index in range(layout.count)})
            planned = plan(layout, lanes, worker, wanted, now=now, latest=now + 30.0, is_fresh=True)
            for grant in planned.grants:
                lanes[grant.index] = Lane(grant.free_at, name)
    # Then each has its share, to within what does not divide
    share = layout.count // workers
    for name in names:
        assert sum(lane.owner == name for lane in lanes) >= min(share, 1) + max(0, share - 2)


@given(situations(), st.integers(1, 20))
@settings(max_examples=60)
def test_own_lanes_that_are_ready_come_first(situation: tuple[Layout, list[Lane], Worker], wanted: int) -> None:
    layout, lanes, worker = situation
    worker = worker._replace(queries={}, connections=40, post_time=0.0)
    own = {index for index, lane in enumerate(lanes) if lane.owner == "me"}
    planned = plan(layout, lanes, worker, wanted, now=NOW, latest=NOW + 100.0, is_fresh=True)
    chosen = {grant.index for grant in planned.grants}
    if math.ceil(wanted / layout.uses) <= len(own):
        assert chosen <= own
