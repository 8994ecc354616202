"""What surrounds the invocations of a function."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# What a function does: it imports, and then handles events.
FUNCTION = """
import gc
from types import SimpleNamespace

from cube_sms.platform import Telemetry, invocation

print(gc.isenabled(), gc.get_freeze_count() > 1000)
handler = invocation(Telemetry())(lambda event, context: print(gc.isenabled(), gc.get_freeze_count() > 1000))
for _ in range(2):
    handler({}, SimpleNamespace(aws_request_id="id"))
"""


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"AWS_LAMBDA_FUNCTION_NAME": "send"}, ["False False", "True True", "True True"]),
        # An operator's command keeps the collector that it has
        ({}, ["True False", "True False", "True False"]),
    ],
)
def test_collector_rests_until_the_first_invocation(variables: dict[str, str], found: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FUNCTION], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == found
