"""The checks of `cube-sms doctor`, from the outside in. Each check needs a permission of its own.

If the permission is missing, or this AWS has no answer, the check says so, and the others go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cube_sms_cli.errors import told

from .access import check_deployment, check_identity
from .delivery import check_consumers, check_gate, check_queues, check_quota, check_waiting_for_somebody
from .finding import Check, Finding, Status, not_checked
from .monitoring import check_alarm_topic, check_alarms, check_concurrency
from .provider import check_address, check_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cube_sms_cli.stack import Stack

__all__ = ["CHECKS", "Finding", "Status", "examine"]

CHECKS = (
    Check("AWS", check_identity, is_essential=True),
    Check("stack", check_deployment, is_essential=True),
    Check("secret", check_secret),
    Check("Cube", check_address),
    Check("queues", check_queues),
    Check("consumers", check_consumers),
    Check("gate", check_gate),
    Check("quota", check_quota),
    Check("letters", check_waiting_for_somebody),
    Check("alarms", check_alarms),
    Check("alarm topic", check_alarm_topic),
    Check("concurrency", check_concurrency),
)


def examine(stack: Stack) -> Iterator[Finding]:
    """Yield the findings of each check, one check after the other.

    Parameters
    ----------
    stack : Stack
        The deployed stack.

    Yields
    ------
    Finding
        At least one for each check.
    """
    missing: str | None = None
    for check in CHECKS:
        if missing:
            yield not_checked(check.name, f"The check of {missing} has to pass first.")
            continue
        try:
            found = list(check.look(stack))
        except Exception as error:
            if not (why := told(error)):
                raise
            found = [Finding(check.name, Status.FAULT if check.is_essential else Status.NOT_CHECKED, why)]
        yield from found
        if check.is_essential and any(each.status is Status.FAULT for each in found):
            missing = check.name
