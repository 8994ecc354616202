"""Seconds that pass for a worker, whatever is done to its clock."""

from __future__ import annotations

import pytest

from cube_sms.pacing.ticks import Ticks


class Machine:
    """A machine with a clock that is set, and one that stands still while it is frozen."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.monotonic = 100.0
        self.ticks = Ticks(lambda: self.wall, lambda: self.monotonic)

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@pytest.mark.parametrize("step", [-3600.0, -0.095, 0.095, 0.9])
def test_clock_that_is_set_is_not_noticed(step: float) -> None:
    machine = Machine()
    began = machine.ticks()
    for _ in range(20):
        machine.run(0.5)
        machine.wall += step
        machine.ticks()
    assert machine.ticks() - began == pytest.approx(10.0)


@pytest.mark.parametrize("frozen", [1.5, 60.0, 86_400.0])
def test_time_passes_while_the_worker_is_frozen(frozen: float) -> None:
    machine = Machine()
    began = machine.ticks()
    for _ in range(3):
        machine.run(0.5)
        machine.wall += frozen
        machine.ticks()
    assert machine.ticks() - began == pytest.approx(1.5 + 3 * frozen)


def test_nothing_is_added_where_the_monotonic_clock_goes_on_while_it_is_frozen() -> None:
    machine = Machine()
    began = machine.ticks()
    machine.run(60.0)
    assert machine.ticks() - began == pytest.approx(60.0)
