"""A pause that an operator has ordered, as the gate's item holds it."""

from __future__ import annotations

import math
from typing import NamedTuple, Self

# The attribute of the gate's item.
PAUSED = "paused"

MOST_REASON = 200

# What is put back while it lasts comes again after a quarter of the time that it has lasted, within these bounds. So
# it comes soon after the end of a short one. In 14 days that is 700 times, and SQS has enough of a message after 1,000.
WAIT_SHARE = 0.25
LEAST_WAIT_SECONDS = 30.0
MOST_WAIT_SECONDS = 1800.0


class Pause(NamedTuple):
    """A pause.

    Parameters
    ----------
    since : float
        Seconds since the epoch: when it began.
    until : float
        Seconds since the epoch: when it ends by itself; infinite if somebody has to end it.
    reason : str
        The operator's words for it.

    Examples
    --------
    >>> pause = Pause(1800000000.0, float("inf"), "Cube is being moved")
    >>> str(pause)
    '1800000000 inf Cube is being moved'
    >>> Pause.parse(str(pause)) == pause
    True
    """

    since: float
    until: float
    reason: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote; raise `ValueError` for anything else."""
        since, until, reason = text.split(" ", 2)
        pause = cls(float(since), float(until), check_reason(reason))
        if not 0.0 <= pause.since < math.inf or not pause.since <= pause.until:
            raise ValueError("there are no such times")
        return pause

    def __str__(self) -> str:
        return f"{_seconds(self.since)} {_seconds(self.until)} {self.reason}"

    def worth_a_try_at(self, now: float) -> float:
        """Return when what is put back now is worth another try, in seconds since the epoch.

        Examples
        --------
        >>> Pause(1800000000.0, 1800003600.0, "a drill").worth_a_try_at(1800002000.0)
        1800002500.0
        """
        wait = min(MOST_WAIT_SECONDS, max(LEAST_WAIT_SECONDS, (now - self.since) * WAIT_SHARE))
        return min(self.until, now + wait)


def check_reason(text: str) -> str:
    """Return the operator's words for a pause, if they can be shown to everybody.

    Raises
    ------
    ValueError
        With what is wrong with them.

    Examples
    --------
    >>> check_reason("Cube is being moved")
    'Cube is being moved'
    """
    if not text.strip() or text != text.strip():
        raise ValueError("must be a text without spaces at its ends")
    if len(text) > MOST_REASON:
        raise ValueError(f"must have {MOST_REASON} characters at most")
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


def _seconds(value: float) -> str:
    return "inf" if value == math.inf else f"{value:.3f}".rstrip("0").rstrip(".")
