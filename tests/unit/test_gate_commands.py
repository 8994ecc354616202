"""The commands of the gate, used wrongly: nothing is asked of AWS, and the fault is named."""

from __future__ import annotations

import pytest

from tests.unit.test_command_line import run

BECAUSE = ("pause", "--reason", "Cube is being moved")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("pause",), "Missing option '--reason'"),
        (("pause", "--reason", ""), "The reason must be a text"),
        (("pause", "--reason", "x" * 201), "200 characters"),
        (("pause", "--reason", "a\tb"), "printable"),
        ((*BECAUSE, "--for", "soon"), "no duration"),
        ((*BECAUSE, "--for", "0s"), "over already"),
        # SQS would not keep what waits
        ((*BECAUSE, "--for", "14d"), "13 days"),
        ((*BECAUSE, "--until", "2020-01-01T00:00:00Z"), "over already"),
        ((*BECAUSE, "--until", "2030-01-01T00:00:00"), "no time with an offset"),
        ((*BECAUSE, "--for", "1h", "--until", "2030-01-01T00:00:00Z"), "not both"),
        (("top", "--every", "0"), "--every"),
        (("top", "--every", "soon"), "--every"),
        (("messages",), "Missing option '--device'"),
        (("messages", "--device", "x", "--limit", "0"), "--limit"),
        (("messages", "--device", "x", "--limit", "1001"), "--limit"),
    ],
)
def test_wrong_use_is_told(arguments: tuple[str, ...], fault: str) -> None:
    told = run(*arguments)
    assert (told.status, told.out) == (2, "")
    assert fault in " ".join(told.err.split())
