"""What the template's parameters take: a value that a function could not start with is refused at the deployment."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cube_sms.platform.settings import Settings
from tests.cloudformation import resolve, written

TEMPLATE: dict[str, Any] = written("template.yaml")
PARAMETERS: dict[str, dict[str, Any]] = TEMPLATE["Parameters"]
VARIABLES: dict[str, Any] = TEMPLATE["Resources"]["SendFromQueueFunction"]["Properties"]["Environment"]["Variables"]

# The number parameters, with the lowest and the highest value that they say they take.
NUMBERS = {
    name: (int(found[1]), int(found[2]))
    for name, declared in PARAMETERS.items()
    if (found := re.search(r"whole number from (\d+) to (\d+)$", declared.get("ConstraintDescription", "")))
}
CHOICES = [
    name
    for name, declared in PARAMETERS.items()
    if all(value.isdecimal() for value in declared.get("AllowedValues", "x"))
]


def takes(name: str, value: str) -> bool:
    """Return whether CloudFormation takes a value of a parameter."""
    declared = PARAMETERS[name]
    if "AllowedValues" in declared:
        return value in declared["AllowedValues"]
    return bool(re.fullmatch(declared["AllowedPattern"], value)) and len(value) <= declared.get("MaxLength", len(value))


def settings(name: str, value: str) -> Settings:
    """Return the settings that a function starts with."""
    template = {**TEMPLATE, "Resources": {"Function": {"Variables": VARIABLES}}, "Outputs": {}}
    variables = resolve(template, {name: value})["Resources"]["Function"]["Variables"]
    return Settings.from_environment(
        {variable: text if isinstance(text, str) else text["Ref"] for variable, text in variables.items()}
    )


def test_every_default_is_taken() -> None:
    texts = {name: str(declared["Default"]) for name, declared in PARAMETERS.items()}
    assert [name for name, text in texts.items() if not takes(name, text)] == []


def test_no_number_is_left_to_cloudformation() -> None:
    # Its own type takes fractions, and functions, queues and alarms do not
    assert {declared["Type"] for declared in PARAMETERS.values()} == {"String", "CommaDelimitedList"}
    numbers = {name for name, declared in PARAMETERS.items() if str(declared["Default"]).isdecimal()}
    assert numbers == {*NUMBERS, *CHOICES}
    assert len(numbers) >= 10


@pytest.mark.parametrize("name", NUMBERS)
def test_number_is_taken_as_far_as_it_says(name: str) -> None:
    lowest, highest = NUMBERS[name]
    wrong = [
        number
        for number in [*range(min(2 * highest, 20_000)), *range(highest - 10, highest + 10), 10 * highest]
        if takes(name, str(number)) is not (lowest <= number <= highest)
    ]
    assert wrong == []


@given(number=st.integers(0, 10**9))
def test_no_number_beyond_is_taken(number: int) -> None:
    for name, (lowest, highest) in NUMBERS.items():
        assert takes(name, str(number)) is (lowest <= number <= highest), name


@pytest.mark.parametrize("name", [*NUMBERS, *CHOICES])
@pytest.mark.parametrize("spelling", ["2.5", "2.0", "02", "+2", "-2", "2e0", " 2", "2 ", "", "two", "0x2", "2\n"])
def test_nothing_but_a_whole_number_is_taken(name: str, spelling: str) -> None:
    assert not takes(name, spelling)


def test_there_are_no_more_parameters_than_deployments_differ_in() -> None:
    assert len(PARAMETERS) <= 32


def test_what_is_no_parameter_is_what_the_code_takes_by_default() -> None:
    # Given the variables that the template has constants for
    constants = {variable: value for variable, value in VARIABLES.items() if isinstance(value, str)}
    assert constants.keys() == {"CUBE_LANGUAGE", "CUBE_CONNECT_TIMEOUT", "CUBE_READ_TIMEOUT", "SECRET_MAX_AGE"}

    # Then the functions would start the same without them
    deployed = settings("LogLevel", "INFO")
    defaults = {field.name: field.default for field in msgspec.structs.fields(Settings)}
    assert {name.lower(): getattr(deployed, name.lower()) for name in constants} == {
        name.lower(): defaults[name.lower()] for name in constants
    }


@pytest.mark.parametrize("most", PARAMETERS["CubeMaxConnections"]["AllowedValues"])
def test_functions_start_with_every_share_of_the_connections(most: str) -> None:
    started = settings("CubeMaxConnections", most)
    assert started.api_connections < max(int(most), 1)
    assert started.queue_send_concurrency >= 1


@pytest.mark.parametrize("name", [name for name in [*NUMBERS, *CHOICES] if {"Ref": name} in VARIABLES.values()])
def test_functions_start_with_whatever_is_taken(name: str) -> None:
    taken = [str(number) for number in NUMBERS[name]] if name in NUMBERS else PARAMETERS[name]["AllowedValues"]
    for value in taken:
        (field,) = [variable.lower() for variable, reference in VARIABLES.items() if reference == {"Ref": name}]
        assert getattr(settings(name, value), field) == float(value)
