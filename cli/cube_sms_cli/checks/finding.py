"""A check, and what it finds."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cube_sms_cli.stack import Stack


class Status(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    NOT_CHECKED = "not checked"


class Finding(NamedTuple):
    """A line of the doctor's answer.

    Parameters
    ----------
    check : str
        The name of the check.
    status : Status
        Its result.
    detail : str
        What was found: a sentence, or a few words if all is well.
    advice : str, optional
        What to do about it.
    """

    check: str
    status: Status
    detail: str
    advice: str | None = None


class Check(NamedTuple):
    """A check.

    Parameters
    ----------
    name : str
        What it looks at.
    look : Callable[[Stack], Iterable[Finding]]
        Does the check. It may raise what AWS refuses: that becomes a finding.
    is_essential : bool
        Whether the other checks make sense only if this one finds no fault.
    """

    name: str
    look: Callable[[Stack], Iterable[Finding]]
    is_essential: bool = False


def ok(check: str, detail: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Status.OK, detail)


def warning(check: str, detail: str, advice: str) -> Finding:
    """Return that an operator should look at something, and what to do."""
    return Finding(check, Status.WARNING, detail, advice)


def fault(check: str, detail: str, advice: str) -> Finding:
    """Return that something is wrong, and what to do."""
    return Finding(check, Status.FAULT, detail, advice)


def not_checked(check: str, detail: str) -> Finding:
    """Return that the check was left out, and why."""
    return Finding(check, Status.NOT_CHECKED, detail)
