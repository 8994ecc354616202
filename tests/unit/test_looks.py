"""When the receipt of a message is asked for."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from cube_sms.delivery.looks import HOUR, MINUTE, PAUSES, next_look
from tests.support import START

each_run = settings(max_examples=200)


def test_pauses_grow_from_half_a_minute_to_six_hours_which_stay() -> None:
    looks = [START]
    while looks[-1] < START + 72 * HOUR:
        looks.append(next_look(START, looks[-1]))
    pauses = [later - earlier for earlier, later in pairwise(looks)]
    assert pauses[: len(PAUSES)] == list(PAUSES)
    assert (pauses[0], pauses[len(PAUSES) - 1]) == (MINUTE / 2, 6 * HOUR)
    assert set(pauses[len(PAUSES) :]) == {6 * HOUR}


@each_run
@given(st.floats(0, 400 * HOUR), st.floats(0, 400 * HOUR))
def test_look_that_comes_late_puts_off_none_of_the_others(age: float, later: float) -> None:
    first, second = (next_look(START, START + each) for each in sorted((age, later)))
    assert START + age < next_look(START, START + age) <= START + age + 6 * HOUR
    assert first <= second
