"""A pause that an operator has ordered, and its text in the gate's item."""

from __future__ import annotations

import math
from typing import NamedTuple, Self

# The attribute of the gate's item.
PAUSED = "paused"

# The longest reason of a pause. Every answer of the API and every worker's log shows it.
MOST_REASON = 200

# During a pause a message returns to the queue for a quarter of the time that the pause has lasted, within these
# bounds. So it is sent soon after the end of a short pause. In 14 days it is received 700 times. After 1,000 receives
# SQS would move it to the dead-letter queue.
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
        Seconds since the epoch: when it ends by itself; infinite if an operator has to end it.
    reason : str
        The operator's words for its reason.

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
            raise ValueError("must begin after 1970, and end after that")
        return pause

    def __str__(self) -> str:
        return f"{_seconds(self.since)} {_seconds(self.until)} {self.reason}"

    def worth_a_try_at(self, now: float) -> float:
        """Return when another try makes sense for a message that returns to the queue now, in seconds since the epoch.

        Examples
        --------
        >>> Pause(1800000000.0, 1800003600.0, "a drill").worth_a_try_at(1800002000.0)
        1800002500.0
        """
        wait = min(MOST_WAIT_SECONDS, max(LEAST_WAIT_SECONDS, (now - self.since) * WAIT_SHARE))
        return min(self.until, now + wait)


def check_reason(text: str) -> str:
    """Return the operator's words for a pause, if logs and answers can show them.

    Raises
    ------
    ValueError
        With their fault.

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
