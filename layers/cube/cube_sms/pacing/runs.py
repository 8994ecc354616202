"""What is known of an account that is being rejected, as the gate's item holds it."""

from __future__ import annotations

import math
import secrets
from typing import Literal, NamedTuple, Self, get_args

# The attribute of an account is this and its name.
ACCOUNT = "account-"

type RunState = Literal["counting", "closed", "probing"]

_STATES = frozenset(get_args(RunState.__value__))


class Run(NamedTuple):
    """Rejections in a row of one account with one code.

    Parameters
    ----------
    state : {"counting", "closed", "probing"}
        Whether they are only counted, or the account is closed, or one message finds out whether it is well.
    length : int
        How many.
    since : float
        Seconds since the epoch: the first of them, or the last probe.
    at : float
        Seconds since the epoch: the last of them; until when it is closed; until when a probe is waited for.
    code : str
        The code, "-" for none.

    Examples
    --------
    >>> run = Run("counting", 3, 1800000000.0, 1800000004.5, "9403")
    >>> Run.parse(str(run)) == run
    True
    """

    state: RunState
    length: int
    since: float
    at: float
    code: str

    def __str__(self) -> str:
        # No two writes are the same, and so nobody takes another's for its own.
        mark = secrets.token_urlsafe(3)
        return f"{self.state} {self.length} {self.since:.3f} {self.at:.3f} {mark} {self.code}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one.

        Raises
        ------
        ValueError
            If it is none.
        """
        state, count, since, at, _, code = text.split(" ", 5)
        run = cls(state, int(count), float(since), float(at), code)  # type: ignore[arg-type]  # it is looked at below
        if state not in _STATES or run.length < 1 or not math.isfinite(run.since + run.at):
            raise ValueError(text)
        return run
