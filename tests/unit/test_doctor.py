"""What the doctor makes of facts that a local stack does not have."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from cube_sms_cli.checks.access import clock, whole
from cube_sms_cli.checks.monitoring import room
from cube_sms_cli.stack import LOCAL_REGION, LOCAL_URL
from local import ministack, up

NOW = 1_800_000_000
OUTPUTS = {"SendQueueUrl": "https://sqs.eu-central-1.amazonaws.com/123456789012/send"}


@pytest.mark.parametrize(
    ("seconds", "status", "words"),
    [
        (0, "ok", "as AWS's"),
        (-29, "ok", "as AWS's"),
        (30, "warning", "30 s ahead of"),
        (-299, "warning", "299 s behind"),
        (300, "fault", "300 s ahead of"),
        (-86400, "fault", "86400 s behind"),
    ],
)
def test_clock_that_is_off_is_told(seconds: int, status: str, words: str) -> None:
    found = clock(formatdate(NOW, usegmt=True), NOW + seconds)

    assert (found.status, words in found.detail) == (status, True)


@pytest.mark.parametrize(
    ("deployed", "status"),
    [
        ("CREATE_COMPLETE", "ok"),
        ("UPDATE_COMPLETE", "ok"),
        ("IMPORT_COMPLETE", "ok"),
        ("UPDATE_IN_PROGRESS", "warning"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "warning"),
        ("UPDATE_ROLLBACK_COMPLETE", "warning"),
        ("ROLLBACK_COMPLETE", "fault"),
        ("UPDATE_ROLLBACK_FAILED", "fault"),
        ("DELETE_FAILED", "fault"),
    ],
)
def test_stack_that_is_not_whole_is_told(deployed: str, status: str) -> None:
    assert whole("cube-sms", deployed, OUTPUTS).status == status
    # And one of something else is a fault, whatever it is
    assert whole("cube-sms", deployed, {}).status == "fault"


@pytest.mark.parametrize(
    ("limit", "used", "status"), [(10, 0, "ok"), (10, 5, "ok"), (10, 6, "warning"), (10, 10, "warning")]
)
def test_account_without_room_is_told(limit: int, used: int, status: str) -> None:
    assert room(limit, used, needed=5).status == status


def test_local_stack_is_where_the_command_looks_for_it() -> None:
    assert ministack.REGION == LOCAL_REGION
    assert LOCAL_URL.endswith(f":{up.PORT}")
