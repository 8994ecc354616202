"""The scripts of a release start as its workflow starts them: with nothing on the path but the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


# No server listens there.
NOWHERE = "http://127.0.0.1:9"

SCRIPTS = {"change_set": ("--stack", "cube-sms", "show", "release"), "smoke_test": ("--device", "8931")}
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
REGION = {"AWS_REGION": "eu-central-1"}


def run(script: str, *arguments: str, **members: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHONPATH"))}
    environment |= {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", **members}
    return subprocess.run(
        [sys.executable, "-m", f"scripts.{script}", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_tells_its_options(script: str) -> None:
    told = run(script, "--help")
    assert (told.returncode, told.stderr) == (0, "")
    assert "Usage: " in told.stdout


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        (CREDENTIALS, "There is no AWS region: "),
        (REGION, "There are no AWS credentials: "),
        ({**REGION, "AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found"),
        ({**REGION, **CREDENTIALS, "AWS_ENDPOINT_URL": NOWHERE}, "AWS cannot be reached: "),
    ],
)
def test_environment_that_is_not_right_is_a_sentence(script: str, members: dict[str, str], sentence: str) -> None:
    told = run(script, *SCRIPTS[script], **members)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith(f"cube-sms: {sentence}")
    assert len(told.stderr.splitlines()) == 1
