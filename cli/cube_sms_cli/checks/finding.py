"""What a check finds."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cube_sms_cli.stack import Stack


class Status(StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    NOT_CHECKED = "not checked"


class Finding(NamedTuple):
    """A line of the doctor's answer.

    Parameters
    ----------
    check : str
        What was looked at.
    status : Status
        How it is.
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
        Looks. What AWS refuses need not be handled: it becomes a finding.
    is_essential : bool
        Whether no other check makes sense if this one finds a fault.
    """

    name: str
    look: Callable[[Stack], Iterable[Finding]]
    is_essential: bool = False


def ok(check: str, detail: str) -> Finding:
    """Return that something is well."""
    return Finding(check, Status.OK, detail)


def warning(check: str, detail: str, advice: str) -> Finding:
    """Return that somebody should look at something, and what to do."""
    return Finding(check, Status.WARNING, detail, advice)


def fault(check: str, detail: str, advice: str) -> Finding:
    """Return that something is wrong, and what to do."""
    return Finding(check, Status.FAULT, detail, advice)


def not_checked(check: str, detail: str) -> Finding:
    """Return that nobody looked, and why."""
    return Finding(check, Status.NOT_CHECKED, detail)
