"""Many workers at one gate, in simulated time: never more than the limits, and little less.

What is asserted, of queries as they leave:

- No second of true time holds more than the limit, whatever workers do: wake late, stall, die, connect slowly, have
  their clocks set, or are never answered by DynamoDB. No burst is allowed on top: the provider has named none.
- No day of UTC holds more than the quota, and bulk messages leave its reserve to the others.
- While messages wait, `SHARE` of the limit is used, but for the first `LOST_SECONDS`. What is lost: the hundredth of a
  second that a lane rests longer, what an answer took longer than a quick one, and for each lane that passes from one
  worker to another what the first one had to begin its last query (0.1 s or a POST's time, and a write's) and the
  handover (0.25 s).
- Nothing leaves while an operator has paused, but for what workers let go before they looked at the item again.
- What a dead worker had reserved is free again when its last slot is over, and a handover later. Others find out within
  `UNSEEN_SECONDS` and a batch.

Queries that are held up after the gate let them go are another matter, and have their own tests below.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections import Counter
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from cube_sms.pacing import pause, pausing
from cube_sms.pacing.errors import GateClosedError, NotNowError
from cube_sms.pacing.gate_item import REMEMBERED_SECONDS
from cube_sms.pacing.lanes import HANDOVER, UNSEEN_SECONDS, WINDOW
from local.gate_model import DAY, NOON, ModelWorker, OneItemTable, Queue, World, busiest_window
from tests.support import Clock
from tests.unit.gate_table import accepted, gate, post, throttled

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.gate_model import Pause

MIDNIGHT = 20_001 * DAY

# Any two workers' clocks differ by at most this; and so much of it may come and go, when a clock is set.
SKEW = 0.2
STEP = 0.095

# From a worker's last look at the clock to when its query leaves.
LOOK = 0.05

# Of the limit, where a POST takes 0.1 s at most, and half as much more or less; and what it takes until all are there.
SHARE = 0.8
LOST_SECONDS = 4.0

FUZZ = settings(max_examples=60, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Crowd:
    """Workers, and what happens to them."""

    seed: int
    qps: int
    workers: int
    connections: int
    batch: int
    post_time: float
    messages: int = 60
    quota: int = 0
    percent: int = 0
    is_bulk: bool = False
    lateness: float = 0.0
    stalls: float = 0.0
    deaths: float = 0.0
    drops: float = 0.0
    calls: float = 0.0
    write_time: float = 0.0
    lost: float = 0.0
    repeated: float = 0.0
    away: float = 0.0
    throttled: float = 0.0
    delay: float = 0.0
    transit: float = 0.0
    opening: float = 0.0
    opened: float = 1.0
    step: float = 0.0
    start: float = NOON

    def run(
        self,
        longest: float = 30 * DAY,
        others: Queue | None = None,
        meanwhile: Callable[[World], Pause] | None = None,
    ) -> tuple[World, Queue]:
        """Let them send everything, others first, and return what they did."""
        draw = random.Random(self.seed)

        def chance(share: float) -> bool:
            return share > 0 and draw.random() < share

        table = OneItemTable(
            is_answer_lost=lambda: chance(self.lost),
            is_repeated=lambda: chance(self.repeated),
            is_away=lambda: chance(self.away),
        )
        world, queue = World(self.start, table), Queue(self.messages, self.is_bulk)
        queues = (others, queue) if others else (queue,)

        def worker(*, is_passing: bool = False, dies_at: float = float("inf")) -> ModelWorker:
            return ModelWorker(
                world,
                self.qps,
                quota=self.quota,
                reserve_percent=self.percent,
                skew=draw.choice((-1, 1, draw.uniform(-1, 1))) * (SKEW / 2 - self.step),
                step=lambda: draw.uniform(-self.step, self.step),
                opening=lambda: self.opening * draw.random() if chance(self.opened) else 0.0,
                connections=self.connections,
                is_passing=is_passing,
                dies_at=dies_at,
                post_time=lambda: self.post_time * draw.uniform(0.5, 1.5),
                write_time=lambda: self.write_time * draw.uniform(0.5, 1.5),
                delay=lambda: self.delay * draw.random(),
                transit=lambda: self.transit * draw.random(),
                lateness=lambda: self.lateness * draw.random(),
                stall=lambda: draw.uniform(1.0, 5.0) if chance(self.stalls) else 0.0,
                needs_no_slot=lambda: chance(self.drops),
                drops_slot=lambda: chance(self.drops),
                answer=lambda latency: throttled(1.0, latency) if chance(self.throttled) else accepted(latency),
            )

        def call_now_and_then(caller: ModelWorker) -> Pause:
            # Not for longer than it takes, or a spent quota would be asked after all day.
            until = world.now + 60.0
            while queue.unsent > 0 and world.now < until:
                yield self.calls * draw.uniform(0.5, 1.5)
                yield from caller.call()

        for number in range(self.workers):
            dies = number > 0 and chance(self.deaths)
            dies_at = world.now + draw.uniform(0.0, 20.0) if dies else float("inf")
            world.start(
                worker(dies_at=dies_at).drain(*queues, batch=self.batch), draw.choice((0.0, draw.uniform(0, 3)))
            )
        if self.calls:
            world.start(call_now_and_then(worker(is_passing=True)))
        if meanwhile:
            world.start(meanwhile(world))
        world.run(self.start + longest)
        return world, queue


crowds = st.builds(
    Crowd,
    seed=st.integers(0, 2**32),
    qps=st.one_of(st.sampled_from([1, 2, 3, 10]), st.integers(1, 50), st.sampled_from([60, 200, 333, 1000])),
    workers=st.integers(1, 6),
    connections=st.sampled_from([1, 1, 2, 3, 6]),
    batch=st.sampled_from([1, 2, 5, 10, 30]),
    post_time=st.sampled_from([0.01, 0.05, 0.1, 0.3, 1.0, 2.5]),
    messages=st.sampled_from([10, 40, 100]),
    lateness=st.sampled_from([0.0, 0.005, 0.05, 1.0]),
    stalls=st.sampled_from([0.0, 0.0, 0.02, 0.1]),
    deaths=st.sampled_from([0.0, 0.5]),
    drops=st.sampled_from([0.0, 0.1, 0.5]),
    calls=st.sampled_from([0.0, 0.1, 1.0, 5.0]),
    write_time=st.sampled_from([0.0, 0.01, 0.1, 0.5]),
    lost=st.sampled_from([0.0, 0.0, 0.1]),
    repeated=st.sampled_from([0.0, 0.2]),
    away=st.sampled_from([0.0, 0.0, 0.1]),
    delay=st.sampled_from([0.0, LOOK]),
    opening=st.sampled_from([0.0, 0.0, 0.15, 1.5]),
    opened=st.sampled_from([0.1, 1.0]),
    step=st.sampled_from([0.0, STEP]),
    is_bulk=st.booleans(),
)


@given(crowds)
@settings(FUZZ, max_examples=250)
@example(Crowd(0, 1, 1, 3, 10, 0.01, messages=10, lateness=1.0, repeated=0.2))
@example(Crowd(1, 1, 2, 3, 10, 0.3, lateness=1.0, drops=0.1, stalls=0.02))
def test_no_second_holds_more_than_the_limit(crowd: Crowd) -> None:
    world, queue = crowd.run()
    assert busiest_window(world.sent) <= crowd.qps
    # And everything is sent in the end
    assert queue.unsent == 0


@given(crowds, st.sampled_from([0, 3, 10, 50]), st.integers(5, 40), st.floats(0.0, 5.0))
@FUZZ
def test_no_day_holds_more_than_the_quota(crowd: Crowd, qps: int, quota: int, before: float) -> None:
    messages = min(crowd.messages, 2 * quota)
    crowd = replace(crowd, qps=qps, quota=quota, start=MIDNIGHT - before, messages=messages)
    world, queue = crowd.run()
    assert max(Counter(time // DAY for time in world.sent).values(), default=0) <= quota
    assert qps == 0 or busiest_window(world.sent) <= qps
    assert queue.unsent == 0


@given(
    crowds, st.sampled_from([0, 0, 1, 10, 50]), st.sampled_from([0, 200]), st.floats(0.0, 20.0), st.floats(1.0, 9000.0)
)
@settings(FUZZ, max_examples=150)
def test_nothing_leaves_while_paused(crowd: Crowd, qps: int, quota: int, after: float, seconds: float) -> None:
    # Given workers with whatever limits, a provider that throttles some queries, and an operator who pauses for a while
    begins, ends = NOON + after, NOON + after + seconds

    def operate(world: World) -> Pause:
        yield after
        world.table.item[pause.PAUSED] = {"S": str(pause.Pause(begins, ends, "a drill"))}

    crowd = replace(crowd, qps=qps, quota=quota, throttled=0.05)
    world, queue = crowd.run(meanwhile=operate)
    # Then nothing leaves after each has looked, which it does within seconds, until it ends for the first of them
    last_look = begins + pausing.UNSEEN_SECONDS + 1.5 * crowd.write_time + LOOK
    assert [at - begins for at in world.sent if last_look < at < ends - SKEW / 2 - STEP] == []
    # And all of it is sent in the end, within the limit
    assert queue.unsent == 0
    assert not qps or busiest_window(world.sent) <= qps


def reserve(quota: int, percent: int) -> int:
    return -(-quota * percent // 100)


# Seconds that pass, or a worker by its number and what it does: starts anew, or so many bulk or other queries.
actions = st.lists(
    st.one_of(
        st.sampled_from([0.5, 11.0, DAY / 2]),
        st.tuples(
            st.integers(0, 2), st.sampled_from(["start", "reserve", "post"]), st.booleans(), st.sampled_from([1, 3, 10])
        ),
    ),
    max_size=40,
)


@given(st.sampled_from([0, 10]), st.integers(1, 40), st.sampled_from([0, 1, 10, 50, 90]), actions)
@settings(FUZZ, max_examples=300)
def test_bulk_messages_are_counted_up_to_the_reserve_and_no_further(
    qps: int, quota: int, percent: int, actions: list[float | tuple[int, str, bool, int]]
) -> None:
    # Given three workers with one quota
    table, clock = OneItemTable(), Clock()
    workers = [gate(table, clock, qps=qps, quota=quota, reserve_percent=percent) for _ in range(3)]
    border = quota - reserve(quota, percent)
    made: Counter[tuple[float, bool]] = Counter()
    for action in actions:
        if isinstance(action, float):
            clock.now += action
            continue
        number, what, is_bulk, count = action
        if what == "start":
            workers[number] = gate(table, clock, qps=qps, quota=quota, reserve_percent=percent)
            continue
        # When one of them wants something for a message of either kind
        with contextlib.suppress(NotNowError):
            if what == "reserve":
                workers[number].reserve(count, latest=clock() + 30.0, is_bulk=is_bulk)
                # Then a reservation for bulk messages has left the reserve to the others
                assert float(table.item["used"]["N"]) <= (border if is_bulk else quota)
            else:
                for _ in range(count):
                    made[post(workers[number], clock, is_bulk=is_bulk) // DAY, is_bulk] += 1
    # Then each day has held as much, and others have been refused for nothing but a quota that is spent
    for day, _ in made:
        assert made[day, True] <= border
        assert made[day, True] + made[day, False] <= quota
    clock.now += REMEMBERED_SECONDS
    assume(HANDOVER < clock() % DAY < DAY - 1.0)
    for is_bulk, most in ((True, border), (False, quota)):
        newcomer = gate(table, clock, qps=qps, quota=quota, reserve_percent=percent)
        is_today = "day" in table.item and float(table.item["day"]["N"]) == clock() // DAY
        if (is_today and float(table.item["used"]["N"]) >= most) or not most:
            with pytest.raises(GateClosedError, match="reserved" if is_bulk else "used up"):
                newcomer.reserve(1, latest=clock() + 30.0, is_bulk=is_bulk)
        else:
            assert newcomer.reserve(1, latest=clock() + 30.0, is_bulk=is_bulk) == 1


@given(
    crowds,
    st.sampled_from([0, 10, 50]),
    st.integers(5, 40),
    st.sampled_from([10, 50]),
    st.floats(0.0, 5.0),
    st.booleans(),
)
@FUZZ
def test_reserve_of_a_day_is_left_by_bulk_messages(
    crowd: Crowd, qps: int, quota: int, percent: int, before: float, is_calm: bool
) -> None:
    # Given more bulk messages than two days have room for, as many others as are reserved, and workers that send both
    reserved = reserve(quota, percent)
    crowd = replace(crowd, qps=qps, quota=quota, percent=percent, is_bulk=True, start=MIDNIGHT - before)
    crowd = replace(crowd, messages=2 * quota)
    if is_calm:
        # A write that takes half a second may return after its slot, which is counted all the same.
        slowest = min(crowd.write_time, 0.1)
        crowd = replace(crowd, deaths=0.0, lost=0.0, drops=0.0, calls=0.0, write_time=slowest)
    others = Queue(reserved)
    world, _ = crowd.run(longest=before + 0.9 * DAY, others=others)
    # Then
    days = Counter(time // DAY for time in world.sent)
    assert max(days.values(), default=0) <= quota
    assert max(Counter(time // DAY for time in world.bulk).values(), default=0) <= quota - reserved
    assert qps == 0 or busiest_window(world.sent) <= qps
    # And where nothing that was counted is lost, all of the others have been sent
    assert not is_calm or others.unsent == 0


@given(
    st.integers(0, 2**32),
    st.integers(1, 50),
    st.integers(1, 6),
    st.sampled_from([1, 3, 6]),
    st.sampled_from([5, 10, 30]),
    st.sampled_from([0.02, 0.05, 0.1]),
    st.sampled_from([0.0, 5.0]),
)
@settings(FUZZ, max_examples=30)
@example(seed=1, qps=10, workers=2, connections=1, batch=10, post_time=0.05, calls=0.0)
@example(seed=1, qps=43, workers=5, connections=1, batch=10, post_time=0.02, calls=0.0)
@example(seed=5, qps=8, workers=4, connections=3, batch=10, post_time=0.1, calls=0.0)
def test_little_is_lost(
    seed: int, qps: int, workers: int, connections: int, batch: int, post_time: float, calls: float
) -> None:
    # Given workers that could send more than the limit allows, for a quarter of a minute
    able = workers * batch / (math.ceil(batch / connections) * (1.5 * post_time + 0.005) + 0.05)
    assume(0.6 * able >= qps)
    counted = 15 * qps
    crowd = Crowd(seed, qps, workers, connections, batch, post_time, lateness=0.005, write_time=0.01, calls=calls)
    # When as many wait behind those as the workers have in their hands
    world, queue = replace(crowd, messages=counted + workers * batch).run()
    # Then
    assert queue.unsent == 0
    assert sorted(world.sent)[counted - 1] - NOON <= counted / qps / SHARE + LOST_SECONDS


@given(st.integers(0, 2**32), st.sampled_from([10, 20, 40]), st.integers(1, 5), st.sampled_from([2.0, 5.0]))
@settings(FUZZ, max_examples=20)
@example(seed=1, qps=10, workers=2, calls=5.0)
def test_caller_passes_bulk_messages(seed: int, qps: int, workers: int, calls: float) -> None:
    # Given workers that have bulk messages for half a minute and more, and are fast enough for the limit
    assume(12 * workers >= qps)
    crowd = Crowd(seed, qps, workers, 1, 10, 0.05, messages=40 * qps, write_time=0.01, calls=calls, is_bulk=True)
    # When somebody calls now and then
    world, queue = crowd.run(longest=30.0)
    assert queue.unsent
    # Then most callers wait for less than a second: of a few calls, the median may be far from that of many. Hardly any
    # waits for longer than one and a half, and almost none is told to come back.
    assert median(world.waits) <= 1.0
    assert sum(wait > 1.5 for wait in world.waits) <= 0.1 * len(world.waits) + 1
    assert world.too_many <= 1
    # And the limit is kept, and used
    assert busiest_window(world.sent) <= qps
    assert len(world.sent) >= SHARE * qps * (30.0 - LOST_SECONDS)


@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 10), st.floats(0.0, 10.0))
@settings(FUZZ, max_examples=40)
def test_what_the_dead_had_is_free_in_time(seed: int, qps: int, batch: int, dies: float) -> None:
    # Given a worker that dies with a batch in its hands
    world, queue = World(), Queue(batch * 3)
    first = ModelWorker(world, qps, skew=SKEW / 2, dies_at=NOON + dies)
    world.start(first.drain(queue, batch=batch))
    world.run(NOON + dies + 0.001)
    died_at, left = world.now, queue.unsent
    # When another one comes
    world.start(ModelWorker(world, qps, skew=-SKEW / 2).drain(queue, batch=batch))
    world.run()
    # Then it waits for no longer than the dead one's slots, what that had to begin with the last, and a handover
    assert queue.unsent == 0
    held = math.ceil(batch / qps) * WINDOW + 0.3 + WINDOW + HANDOVER + SKEW
    # It may have just one lane until it takes the others for free, and plan a batch for that one
    alone = UNSEEN_SECONDS + batch * WINDOW
    assert not left or world.now - died_at <= held + alone + math.ceil(left / qps) * WINDOW + 1.0


@given(crowds, st.sampled_from([0.02, 0.3, 0.6]), st.sampled_from([0.0, 0.01]))
@FUZZ
def test_query_that_is_held_up_on_its_way_is_all_that_comes_too_close(
    crowd: Crowd, delay: float, transit: float
) -> None:
    # Given queries that reach Cube later than the gate let them go, each by a time of its own
    crowd = replace(crowd, delay=delay, transit=transit, stalls=0.0)
    world, _ = crowd.run()
    # Then a second that is shorter by as much still holds no more than the limit
    assert busiest_window(world.sent, 1.0 - delay - transit) <= crowd.qps
