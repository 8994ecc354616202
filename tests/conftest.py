"""For all tests: the order of files, and what pytest's first lines tell of a run.

They tell the seed of what is left to chance, so that a run can be repeated, and how the real runtime interface runs.
"""

from __future__ import annotations

import os
import secrets

import boto3
import pytest

from local.lambda_runtime import why_no_mounts

# Set before any test module is imported, so that what is printed is what they take.
SEED = os.environ.setdefault("CUBE_SMS_SEED", str(secrets.randbelow(2**32)))

# Files that take longest come first, so that the end of a run does not wait for one of them. The others follow by their
# folder: what waits for a stack before what does not.
LONGEST = (
    "unit/test_template_matrix.py",
    "integration/test_fifo_properties.py",
    "e2e/test_fifo.py",
    "e2e/test_pacing.py",
    "e2e/test_workflows.py",
    "e2e/test_commands.py",
    "e2e/test_outcome_events.py",
    "e2e/test_reproducible.py",
    "test_checks.py",
    "e2e/test_replay_outcomes.py",
    "integration/test_telemetry.py",
    "e2e/test_crashes.py",
    "e2e/test_faults.py",
)
FOLDERS = ("e2e", "integration", "unit")


@pytest.fixture(scope="session")
def boto3_session() -> boto3.Session:
    """Return the session of all tests with a simulated AWS: a new one reads the services' models anew."""
    return boto3.Session()


def pytest_report_header() -> list[str]:
    runtime = "in place, without mounts" if why_no_mounts() else "in a root folder of its own, as on Lambda"
    return [f"fault suite: CUBE_SMS_SEED={SEED}", f"Lambda's runtime interface: {runtime}"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[int, int]:
    tests = item.path.relative_to(item.config.rootpath / "tests")
    folder = tests.parts[0]
    longest = LONGEST.index(tests.as_posix()) if tests.as_posix() in LONGEST else len(LONGEST)
    return longest, FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)
