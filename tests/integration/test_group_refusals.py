"""A query that is refused for some of its messages: those are found, and the others are sent."""

from __future__ import annotations

import math
import random
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cube_sms.delivery.states import State
from tests.integration.fleet import bodies, device
from tests.integration.memory import DEAD_LETTERS, REJECTED, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cube_sms.delivery.records import Record
    from local.cube_simulator import CubeSimulator

NUMBER = 100


@cache
def most_queries(number: int, bad: int) -> int:
    """Return how many queries it takes at most to find the bad ones among messages."""
    if not bad or number == 1:
        return 1
    half = number // 2
    places = range(max(0, bad - (number - half)), min(bad, half) + 1)
    return 1 + max(most_queries(half, each) + most_queries(number - half, bad - each) for each in places)


def test_bounds_are_those_that_the_documentation_tells() -> None:
    page = (Path(__file__).parents[2] / "docs" / "delivery.md").read_text("utf-8")
    told = re.findall(r"^\| (none|all|\d+) \| (\d+) \|$", page, re.MULTILINE)
    bad = {"none": 0, "all": NUMBER}
    assert len(told) >= 5
    for each, most in told:
        assert int(most) == most_queries(NUMBER, bad[each] if each in bad else int(each)), each


@pytest.fixture
def world(cube: CubeSimulator) -> Iterator[World]:
    world = World(cube)
    yield world
    world.provider.close()


def send(world: World, number: int = NUMBER, **fields: str) -> list[Record]:
    """Let one invocation send messages, and return their records."""
    world.queue.put(bodies(number, **fields))
    assert all(each.fault is None for each in world.invoke())
    return [world.record(f"order-{each}") for each in range(number)]


def assert_only(world: World, records: list[Record], bad: set[int]) -> None:
    """Assert that the bad ones were rejected and the others sent, each once."""
    expected = [State.REJECTED if number in bad else State.SENT for number in range(len(records))]
    assert [record.state for record in records] == expected
    assert world.accepted() == {device(number): 1 for number in range(len(records)) if number not in bad}
    # A query that was refused for others is no attempt.
    assert {(record.attempts, record.unsettled) for record in records} == {(1, False)}
    assert len(world.queue.letters[REJECTED]) == len(bad)
    assert (world.queue.bodies, world.queue.letters[DEAD_LETTERS]) == ({}, [])


@pytest.mark.parametrize("delivery", ["at-least-once", "at-most-once"])
@pytest.mark.parametrize("bad", [0, 49, 50, 99])
def test_one_bad_sim_of_a_hundred_is_found_with_few_queries(world: World, bad: int, delivery: str) -> None:
    world.cube.configure(unknown_devices=[device(bad)])
    # When
    records = send(world, delivery=delivery)
    # Then
    assert_only(world, records, {bad})
    assert len(world.queries()) <= most_queries(NUMBER, 1)
    assert records[bad].code == "CB-01-0001"


@pytest.mark.parametrize("kind", ["unknown_devices", "foreign_devices"])
@pytest.mark.parametrize("number", [2, 5, 20, 60, NUMBER])
def test_several_bad_sims_are_found(world: World, number: int, kind: str) -> None:
    bad = set(random.Random(number).sample(range(NUMBER), number))
    world.cube.configure(**{kind: [device(each) for each in bad]})
    # When
    records = send(world)
    # Then
    assert_only(world, records, bad)
    assert len(world.queries()) <= most_queries(NUMBER, number)
    assert most_queries(NUMBER, number) <= 2 * number * math.ceil(math.log2(NUMBER / number)) + 2 * number - 1


def test_codes_that_nobody_knows_may_be_about_a_recipient(world: World) -> None:
    world.cube.configure(device_faults={device(30): "rejected:CB-07-0001", device(31): "rejected:CB-07-0001"})
    assert_only(world, send(world), {30, 31})


def test_refusal_of_the_text_holds_for_all(world: World) -> None:
    world.cube.configure(next_faults=["rejected:CB-04-9999"])
    records = send(world)
    assert {(record.state, record.code, record.attempts) for record in records} == {(State.REJECTED, "CB-04-9999", 1)}
    assert world.queries() == [NUMBER]


class TestAccountGate:
    def test_sims_that_are_refused_with_one_unknown_code_close_the_account(self, cube: CubeSimulator) -> None:
        # Given a provider that refuses everything with an unknown code
        world = World(cube, qps=1000)
        cube.configure(faults={"rejected:CB-07-0001": 1.0})
        # When
        records = send(world)
        # Then it is asked no more after 20 messages, and the others wait for as long as the account is closed
        assert [record.state for record in records] == [State.REJECTED] * 20 + [State.RETRYING] * (NUMBER - 20)
        assert {record.attempts for record in records[20:]} == {0}
        assert min(world.queue.visible_at.values()) >= world.clock() + 290
        assert len(world.queries()) < 50
        # And when it is well again, none is lost
        cube.configure(faults={})
        cube.reset()
        world.run()
        assert world.accepted() == {device(number): 1 for number in range(20, NUMBER)}
        world.provider.close()

    def test_a_few_bad_sims_side_by_side_close_nothing(self, cube: CubeSimulator) -> None:
        world = World(cube, qps=1000)
        bad = set(range(40, 52))
        cube.configure(device_faults={device(each): "rejected:CB-07-0001" for each in bad})
        assert_only(world, send(world), bad)
        world.provider.close()


class TestInTheMiddle:
    @pytest.mark.parametrize("fault", ["lost", "drop", "reset", "status-after:502", "garbage"])
    @pytest.mark.parametrize("delivery", ["at-least-once", "at-most-once"])
    def test_an_answer_is_lost(self, world: World, fault: str, delivery: str) -> None:
        world.cube.configure(unknown_devices=[device(70)], next_faults=["delay:0", fault])
        records = send(world, delivery=delivery)
        assert_only(world, records, {70})

    @pytest.mark.parametrize("fault", ["lost", "drop"])
    def test_the_answer_to_all_is_lost(self, world: World, fault: str) -> None:
        world.cube.configure(unknown_devices=[device(70), device(71)], next_faults=[fault])
        assert_only(world, send(world), {70, 71})

    @pytest.mark.parametrize("fault", ["status:429", "status:503"])
    def test_what_holds_for_all_ends_it(self, world: World, fault: str) -> None:
        # Given a provider that has had enough when half of the messages are sent
        world.cube.configure(unknown_devices=[device(70)], next_faults=["delay:0", "delay:0", f"{fault}+30"])
        records = send(world)
        # Then the others return to the queue, and some of them were not posted at all
        assert [record.state for record in records] == [State.SENT] * 50 + [State.RETRYING] * 50
        assert [record.attempts for record in records[50:]] == [1] * 50
        assert min(world.queue.visible_at.values()) >= world.clock() + 30
        # And all ends well
        world.run()
        records = [world.record(f"order-{number}") for number in range(NUMBER)]
        assert [number for number, record in enumerate(records) if record.state is not State.SENT] == [70]
        assert world.accepted() == {device(number): 1 for number in range(NUMBER) if number != 70}

    def test_credentials_that_are_refused_once_are_fetched_afresh(self, world: World) -> None:
        world.cube.configure(unknown_devices=[device(7)], next_faults=["delay:0", "rejected:CB-99-9401"])
        records = send(world)
        assert [number for number, record in enumerate(records) if record.state is not State.SENT] == [7]
        assert world.accepted() == {device(number): 1 for number in range(NUMBER) if number != 7}

    def test_what_is_not_reached_in_time_goes_back(self, cube: CubeSimulator) -> None:
        # Given queries that take six seconds each, of which the lease leaves time for four
        world = World(cube, query_seconds=6.0)
        world.cube.configure(unknown_devices=[device(99)])
        records = send(world)
        # Then what was found out is recorded, and the others have used up nothing
        states = {record.state for record in records}
        assert states == {State.SENT, State.RETRYING}
        assert {record.attempts for record in records if record.state is State.RETRYING} == {0}
        # And they are sent the next times
        world.run()
        assert_only(world, [world.record(f"order-{number}") for number in range(NUMBER)], {99})
        world.provider.close()
