"""The simulator's limits, on a clock that only the test moves."""

from dataclasses import dataclass

import pytest

from local.cube_simulator.answers import RefusedError
from local.cube_simulator.config import Config
from local.cube_simulator.limits import DAY, Clock, Limits, Window


@dataclass
class FakeClock:
    now: float = 20_000.0 * DAY

    def read(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def limits(clock: FakeClock) -> Limits:
    return Limits(Clock(wall=clock.read, monotonic=clock.read))


def refused(limits: Limits, config: Config, connection: int = 1) -> tuple[str, int | None]:
    with pytest.raises(RefusedError) as caught:
        limits.admit(connection, config)
    return caught.value.reason, caught.value.retry_after


def test_no_window_of_one_second_holds_more_than_the_limit(limits: Limits, clock: FakeClock) -> None:
    # Given a limit of 2 and queries at 0 s and 0.75 s
    config = Config(qps=2)
    limits.admit(1, config)
    clock.now += 0.75
    limits.admit(1, config)

    # When a third comes before the first is a second old, then it is refused. From then on it is admitted
    clock.now += 0.125
    assert refused(limits, config) == ("qps", 1)
    clock.now += 0.125
    limits.admit(1, config)
    assert refused(limits, config) == ("qps", 1)


def test_evenly_paced_queries_at_the_limit_are_all_admitted(limits: Limits, clock: FakeClock) -> None:
    for _ in range(40):
        limits.admit(1, Config(qps=8))
        clock.now += 0.125


def test_refused_queries_count_neither_in_the_window_nor_in_the_quota(limits: Limits, clock: FakeClock) -> None:
    # Given a window that is full and a client that keeps asking
    config = Config(qps=1, quota=2)
    limits.admit(1, config)
    for _ in range(20):
        assert refused(limits, config)[0] == "qps"

    # When the one admitted query has left the window, then the next is admitted, as the second of the day
    clock.now += 1
    limits.admit(1, config)
    assert limits.quota_used() == 2


def test_quota_ends_with_the_utc_day(limits: Limits, clock: FakeClock) -> None:
    # Given a quota that is used up an hour and a half second before midnight
    clock.now += DAY - 3600.5
    config = Config(qps=0, quota=1)
    limits.admit(1, config)

    # Then a query has to wait until midnight, in whole seconds rounded up, and is admitted then
    assert refused(limits, config) == ("quota", 3601)
    clock.now += 3600.5
    assert limits.quota_used() == 0
    limits.admit(1, config)


def test_connection_holds_its_place_until_it_is_released(limits: Limits) -> None:
    # Given two places, both taken
    config = Config(qps=0, connections=2)
    limits.admit(1, config)
    limits.admit(2, config)

    # Then those two go on, and a third is refused until one has closed
    limits.admit(1, config)
    assert refused(limits, config, connection=3) == ("connections", 1)
    limits.release(1)
    limits.admit(3, config)
    assert refused(limits, config, connection=1)[0] == "connections"


def test_query_over_the_rate_still_holds_its_connection(limits: Limits, clock: FakeClock) -> None:
    config = Config(qps=1, connections=2)
    limits.admit(1, config)
    assert refused(limits, config, connection=2)[0] == "qps"
    clock.now += 1
    assert refused(limits, config, connection=3)[0] == "connections"


def test_zero_switches_every_limit_off(limits: Limits) -> None:
    for connection in range(100):
        limits.admit(connection, Config(qps=0, connections=0, quota=0))


def test_reset_forgets_queries_but_not_open_connections(limits: Limits) -> None:
    config = Config(qps=1, connections=1, quota=1)
    limits.admit(1, config)
    limits.reset()
    assert refused(limits, config, connection=2)[0] == "connections"
    limits.admit(1, config)


def test_window_keeps_the_highest_count() -> None:
    window = Window()
    for now in (0.0, 0.5, 0.75, 1.0, 3.0):
        window.add(now)
    assert window.highest == 3
    assert window.count(4.0) == 0
