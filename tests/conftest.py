"""For all tests: their order, which of them one worker runs, and what pytest's first lines tell of a run.

They tell the seed of what is left to chance, so that a run can be repeated, and how the real runtime interface runs.
"""

from __future__ import annotations

import os
import secrets
from typing import Any

import boto3
import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from local.lambda_runtime import why_no_mounts
from tests.programs import LEAST_JAVA, has_java

# Set before any test module is imported, so that what is printed is what they take.
SEED = os.environ.setdefault("CUBE_SMS_SEED", str(secrets.randbelow(2**32)))

# How long an example takes is up to the machine, and the output has what failed: no database needs to keep it.
settings.register_profile("cube-sms", deadline=None, database=None)
settings.load_profile("cube-sms")

# Files that take longest come first, so that the end of a run does not wait for one of them. The others follow by their
# folder: what waits for a stack before what does not.
LONGEST = (
    "e2e/test_workflows.py",
    "e2e/test_cli_messages.py",
    "e2e/test_campaigns.py",
    "e2e/test_pacing.py",
    "e2e/test_commands.py",
    "e2e/test_receipts.py",
    "e2e/test_fifo.py",
    "test_checks.py",
    "e2e/test_dead_letter_queues.py",
    "e2e/test_cli_policy.py",
    "e2e/test_permissions.py",
    "e2e/test_cli_campaigns.py",
    "e2e/test_cancel.py",
    "e2e/test_outcome_events.py",
    "e2e/test_crashes.py",
    "e2e/test_replies.py",
    "unit/test_template_matrix.py",
    "integration/test_ask_and_wait_crashes.py",
    "e2e/test_sbom.py",
    "unit/test_campaign_batches.py",
    "e2e/test_faults.py",
    "e2e/test_alarms.py",
    "integration/test_secrecy.py",
    "unit/test_records_machine.py",
    "e2e/test_replay_outcomes.py",
)
FOLDERS = ("e2e", "integration", "unit")

# Files that share a stack of tests/e2e/conftest.py. Those whose tests name it in their parameters need not be here.
SHARED = {
    "open_stack": ("package", "releases", "runtime"),
    "guarded_stack": ("permissions", "rotation", "api_access", "examples"),
    "proxied": ("concurrency", "cost", "deleted_records", "lost_writes"),
}


@pytest.fixture(scope="session")
def boto3_session() -> boto3.Session:
    """Return the session of all tests with a simulated AWS: a new one reads the services' models anew."""
    return boto3.Session()


def pytest_report_header() -> list[str]:
    runtime = "in place, without mounts" if why_no_mounts() else "in a root folder of its own, as on Lambda"
    java = "run" if has_java() else f"parsed, since no JDK of {LEAST_JAVA} or later is on the path"
    return [
        f"fault suite: CUBE_SMS_SEED={SEED}",
        f"Lambda's runtime interface: {runtime}",
        f"examples in Java: {java}",
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    return _ByStackOrFile(config, log)


class _ByStackOrFile(LoadFileScheduling):  # type: ignore[misc] # xdist has no types
    """Gives one worker all tests that share a stack, so that there is one of it, and otherwise all tests of a file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        for stack, names in SHARED.items():
            if f"[{stack}" in nodeid or file.endswith(tuple(f"e2e/test_{name}.py" for name in names)):
                return stack
        return file


def _turn(item: pytest.Item) -> tuple[int, int]:
    tests = item.path.relative_to(item.config.rootpath / "tests")
    folder = tests.parts[0]
    longest = LONGEST.index(tests.as_posix()) if tests.as_posix() in LONGEST else len(LONGEST)
    return longest, FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)
