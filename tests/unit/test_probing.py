"""What follows from the answers to a probe, for providers that check in another order than the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cube_sms_cli.probing.conclusions import conclude
from cube_sms_cli.probing.device import could_exist
from cube_sms_cli.probing.trials import Answer, Trial
from cube_sms_cli.probing.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Mapping

FORGED, OLD, UNKNOWN = (
    Answer(200, "1001", "bad signature"),
    Answer(200, "1002", "expired"),
    Answer(200, "1003", "device"),
)
BROKEN = Answer(500, None, "HTTP 500")
UNITS = ("s", "ms")


def trials() -> list[Trial]:
    """Return the first requests of csss, in short."""
    nothing: Any = None
    return [
        each
        for unit in UNITS
        for each in (
            Trial(f"{unit}-wrong", "wrong", nothing, nothing, unit, "signature"),
            Trial(f"{unit}-old", "old", nothing, nothing, unit, "clock"),
            Trial(unit, f"in {unit}", nothing, nothing, unit, settings={"CubeTimestampUnit": unit}),
        )
    ]


def told(answers: Mapping[str, Answer], unit: str = "s") -> tuple[dict[str, str], list[str], bool]:
    """Return verdicts by form, what is said, and whether the form of a stack with this unit fits."""
    results = judge([(trial, answers[trial.name]) for trial in trials()])
    found = conclude(results, {"CubeTimestampUnit": unit})
    return {each.trial.name: each.verdict.value for each in results if not each.trial.flaw}, found.sentences, found.fits


def answers(right: str, *, signature_first: bool) -> dict[str, Answer]:
    """Return those of a provider that wants this unit, and looks at the signature first or at the time."""
    wrong = next(unit for unit in UNITS if unit != right)
    first = FORGED if signature_first else OLD
    return {
        f"{right}-wrong": FORGED,
        f"{right}-old": OLD,
        right: UNKNOWN,
        f"{wrong}-wrong": first,
        f"{wrong}-old": OLD,
        wrong: OLD,
    }


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("signature_first", [False, True])
@pytest.mark.parametrize("has", UNITS)
def test_unit_is_found_whatever_is_looked_at_first(unit: str, has: str, *, signature_first: bool) -> None:
    verdicts, sentences, fits = told(answers(unit, signature_first=signature_first), has)

    assert [name for name, verdict in verdicts.items() if verdict == "passes"] == [unit]
    assert len(sentences) == 1
    assert f"CubeTimestampUnit={unit}" in sentences[0]
    assert fits == (unit == has)


def test_provider_that_does_not_look_at_the_time_or_a_clock_that_is_wrong_is_said() -> None:
    same = {
        f"{unit}{kind}": FORGED if kind == "-wrong" else UNKNOWN for unit in UNITS for kind in ("-wrong", "-old", "")
    }

    verdicts, (sentence,), fits = told(same)

    assert set(verdicts.values()) == {"time refused"}
    assert "Is this machine's clock right" in sentence
    assert not fits


def test_provider_that_looks_up_the_device_first_tells_nothing() -> None:
    verdicts, (sentence,), fits = told({trial.name: UNKNOWN for trial in trials()})

    assert set(verdicts.values()) == {"refused"}
    assert "No conclusion is possible" in sentence
    assert "(HTTP 200, code 1003)" in sentence
    assert not fits


def test_provider_that_breaks_is_not_taken_to_let_a_form_pass() -> None:
    # Given that it breaks at the right form alone
    verdicts, _, fits = told({**answers("s", signature_first=True), "s": BROKEN})

    assert verdicts["s"] == "unclear"
    assert not fits


def test_provider_that_is_down_tells_nothing() -> None:
    _, (sentence,), fits = told({trial.name: BROKEN for trial in trials()})

    assert sentence == "No conclusion is possible: Cube gave no answer of its own to any form. Try again later."
    assert not fits


@given(st.text("0123456789", min_size=17, max_size=21))
def test_of_the_last_digits_one_makes_a_number_that_could_exist(digits: str) -> None:
    assert sum(could_exist(f"{digits}{last}") for last in range(10)) == 1


@given(st.text("0123456789", min_size=17, max_size=21), st.integers(0, 20))
def test_number_with_one_wrong_digit_could_not_exist(digits: str, place: int) -> None:
    (number,) = [each for last in range(10) if could_exist(each := f"{digits}{last}")]
    place %= len(number)
    assert not could_exist(f"{number[:place]}{(int(number[place]) + 1) % 10}{number[place + 1 :]}")
