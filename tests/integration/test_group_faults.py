"""Messages that share a query whose answer is lost, and among every fault of the provider and of the table."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter, defaultdict
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ReadTimeoutError

from cube_sms.delivery.states import State
from tests.integration.fleet import ACCOUNT, bodies, device
from tests.integration.memory import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cube_simulator import CubeSimulator

SEED = int(os.environ["CUBE_SMS_SEED"])
MAX_ATTEMPTS = 6
DELIVERIES = ["at-least-once", "at-most-once"]
NOT_PROCESSED = ["drop", "reset", "status:500", "status:502", "status:503+none"]
PROCESSED = ["lost", "garbage", "truncated", "status-after:500", "status-after:502", "status-after:503"]

each_delivery = pytest.mark.parametrize("delivery", DELIVERIES)


@pytest.fixture
def world(cube: CubeSimulator) -> Iterator[World]:
    world = World(cube)
    yield world
    world.provider.close()


class TestRepetition:
    @pytest.mark.parametrize("fault", [*NOT_PROCESSED, *PROCESSED])
    @each_delivery
    @pytest.mark.parametrize("number", [1, 2, 100])
    def test_an_answer_that_is_lost_is_asked_for_again(
        self, world: World, fault: str, delivery: str, number: int
    ) -> None:
        world.cube.configure(next_faults=[fault])
        world.queue.put(bodies(number, delivery=delivery))
        # When
        world.invoke()
        # Then each was sent once, and nothing is left open
        assert world.accepted() == {device(each): 1 for each in range(number)}
        records = [world.record(f"order-{each}") for each in range(number)]
        assert {(each.state, each.attempts, each.unsettled) for each in records} == {(State.SENT, 1, False)}
        assert len({record.job_id for record in records}) == 1
        assert world.queries() == [number, number]
        assert len({post["nonce"] for post in world.cube.requests()}) == 1

    @each_delivery
    def test_an_answer_that_stays_lost_is_asked_for_while_the_provider_knows_the_query(
        self, world: World, delivery: str
    ) -> None:
        world.cube.configure(faults={"lost": 1.0})
        world.queue.put(bodies(3, delivery=delivery))
        started = world.clock()
        # When
        world.invoke()
        # Then it was asked for a few times within its ten seconds, and only then is its outcome unknown
        assert 3 <= len(world.queries()) <= 6
        assert world.clock() - started <= 8.0
        assert world.accepted() == {device(each): 1 for each in range(3)}
        state = State.UNKNOWN if delivery == "at-most-once" else State.RETRYING
        records = [world.record(f"order-{each}") for each in range(3)]
        assert {(each.state, each.attempts, each.unsettled) for each in records} == {(state, 1, True)}

    @each_delivery
    @pytest.mark.parametrize("refusal", ["status:429", "rejected:4711"])
    def test_refusal_that_says_nothing_of_the_query_before_leaves_it_unknown(
        self, world: World, refusal: str, delivery: str
    ) -> None:
        world.cube.configure(next_faults=["lost"], faults={refusal: 1.0})
        world.queue.put(bodies(3, delivery=delivery))
        world.invoke()
        state = State.UNKNOWN if delivery == "at-most-once" else State.RETRYING
        assert {world.record(f"order-{each}").state for each in range(3)} == {state}
        assert all(world.record(f"order-{each}").unsettled for each in range(3))

    def test_it_is_not_asked_for_when_the_provider_might_take_it_for_another_one(self, cube: CubeSimulator) -> None:
        # Given a provider that takes eight seconds to lose an answer
        world = World(cube, query_seconds=8.0)
        cube.configure(next_faults=["lost"])
        world.queue.put(bodies(3, delivery="at-most-once"))
        world.invoke()
        assert world.queries() == [3]
        assert {world.record(f"order-{each}").state for each in range(3)} == {State.UNKNOWN}
        world.provider.close()

    def test_what_would_expire_meanwhile_is_not_sent_again(self, world: World) -> None:
        # Given messages of which one is to be sent within a moment
        world.cube.configure(next_faults=["drop"])
        world.queue.put(bodies(2))
        world.queue.put(bodies([2], expiresAt="2027-01-15T08:00:00.4Z"))
        world.invoke()
        assert world.queries() == [3]
        assert [world.record(f"order-{each}").state for each in range(3)] == [State.RETRYING] * 3

    @each_delivery
    def test_accounts_that_speak_csss_ask_for_nothing_again(self, world: World, delivery: str) -> None:
        world.cube.configure(next_faults=["lost"])
        world.queue.put(bodies(1, account="default", delivery=delivery))
        world.invoke()
        state = State.UNKNOWN if delivery == "at-most-once" else State.RETRYING
        assert (world.record("order-0", "default").state, world.queries()) == (state, [1])


# Of a query; a message may meet several.
FAULTS = {
    **dict.fromkeys(["reset", "drop", "lost", "truncated", "garbage", "status-after:502", "status:500"], 0.05),
    **dict.fromkeys(["status:429", "status:503", "status-after:503", "rejected:4711", "rejected:CB-99-9401"], 0.03),
}


@pytest.mark.parametrize("seed", [SEED, SEED + 1, SEED + 2], ids="CUBE_SMS_SEED={}".format)
def test_among_all_faults_each_message_ends_as_the_provider_has_it(cube: CubeSimulator, seed: int) -> None:
    # Given messages of few texts for both dialects, some to SIMs that there are none of
    chance = random.Random(seed)
    world = World(cube, qps=1000, max_attempts=MAX_ATTEMPTS)
    kinds = list(product([ACCOUNT, ACCOUNT, "default"], DELIVERIES, ["One", "Two"]))
    sent = {
        number: dict(zip(("account", "delivery", "content"), chance.choice(kinds), strict=True))
        for number in range(400)
    }
    bad = set(chance.sample(sorted(sent), 8))
    # And a provider and a table that fail at random, the table also after it has written
    cube.configure(faults=FAULTS, unknown_devices=[device(number) for number in bad])
    lock = threading.Lock()

    def fail(_key: str) -> None:
        with lock:
            is_away = chance.random() < 0.02
        if is_away:
            raise ReadTimeoutError(endpoint_url="https://dynamodb")

    world.table.before = fail
    for number, fields in sent.items():
        world.queue.put(bodies([number], **fields))
    # When workers take batches of all sizes, some of which crash in the middle, and the faults end
    for _ in range(30):
        if not world.queue.bodies:
            break
        world.clock.now += max(0.0, min(world.queue.visible_at.values()) - world.clock())
        world.invoke(chance.choice([1, 10, 100, 1000]))
    cube.configure(faults={})
    world.table.before = lambda _key: None
    world.run(chance)

    # Then each has ended once, as the request log says
    posts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for post in cube.requests():
        posts[post["deviceId"]].append(post)
    states: Counter[State] = Counter()
    for number, fields in sent.items():
        record = world.record(f"order-{number}", fields["account"])
        accepted = sum(post["accepted"] for post in posts[device(number)])
        states[record.state] += 1
        told = (number, fields, record, posts[device(number)])
        assert record.state.is_final, told
        assert accepted >= (record.state is State.SENT), told
        assert accepted <= 1 or (record.possibly_duplicated and fields["delivery"] == "at-least-once"), told
        assert not accepted or record.state is State.SENT or record.unsettled, told
        # The second POST after a refusal of the credentials belongs to its attempt.
        assert record.attempts <= MAX_ATTEMPTS + 1, told
    assert states[State.SENT] > 300
    assert states[State.REJECTED]
    world.provider.close()


@each_delivery
@pytest.mark.parametrize("write", ["claim", "finish"])
@pytest.mark.parametrize("place", [0, 37, 99])
def test_a_worker_that_dies_leaves_each_message_to_its_lease(
    world: World, delivery: str, write: str, place: int
) -> None:
    # Given a worker that is killed at one of the writes of a hundred messages
    class KilledError(BaseException):
        """The end of the process."""

    writes: Counter[str] = Counter()
    dead = threading.Event()

    def kill(key: str) -> None:
        writes[key] += 1
        is_here = key.endswith(f"#order-{place}") and writes[key] == (1 if write == "claim" else 2)
        if is_here or dead.is_set():
            # Its other threads stop with it.
            dead.set()
            raise KilledError

    world.queue.put(bodies(100, delivery=delivery))
    world.table.before = kill
    with pytest.raises(KilledError):
        world.invoke()
    world.table.before = lambda _key: None
    # When the messages come back to another one
    world.run()
    # Then none is lost, and what may have been sent twice says so
    accepted = world.accepted()
    for number in range(100):
        record = world.record(f"order-{number}")
        times = accepted[device(number)]
        assert record.state in (State.SENT, State.UNKNOWN)
        assert times >= (record.state is State.SENT)
        if delivery == "at-most-once":
            assert times <= 1
            assert not record.possibly_duplicated
        else:
            assert record.state is State.SENT
            assert times <= 1 or record.possibly_duplicated
