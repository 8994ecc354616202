"""The rejections of an account, and their text in the gate's item."""

from __future__ import annotations

import math
import secrets
from typing import Literal, NamedTuple, Self, get_args

# What the name of an account's attribute begins with. The account's name follows.
ACCOUNT = "account-"

type RunState = Literal["counting", "closed", "probing"]

_STATES = frozenset(get_args(RunState.__value__))


class Run(NamedTuple):
    """Rejections in a row of one account with one code.

    Parameters
    ----------
    state : {"counting", "closed", "probing"}
        Whether they are only counted, the account is closed, or a probe is under way.
    length : int
        How many.
    since : float
        Seconds since the epoch: the first of them, or the last probe.
    at : float
        Seconds since the epoch. While they are counted: the last of them. Otherwise: until when the account is closed,
        or others wait for the probe.
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
        # Each write has a mark of its own, so that a worker does not take another's write for its own.
        mark = secrets.token_urlsafe(3)
        return f"{self.state} {self.length} {self.since:.3f} {self.at:.3f} {mark} {self.code}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote.

        Raises
        ------
        ValueError
            For anything else.
        """
        state, count, since, at, _, code = text.split(" ", 5)
        run = cls(state, int(count), float(since), float(at), code)  # type: ignore[arg-type]  # it is looked at below
        if state not in _STATES or run.length < 1 or not math.isfinite(run.since + run.at):
            raise ValueError(text)
        return run
