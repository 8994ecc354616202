"""Messages whose claims are held, and what their queries share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from .states import State

if TYPE_CHECKING:
    from cube_sms.provider import AnyCredentials, Line
    from cube_sms.request import SendRequest

    from .outcome import Outcome
    from .records import Record


class Held(msgspec.Struct, eq=False):
    """A message whose claim is held, and what has come of it so far.

    Parameters
    ----------
    request : SendRequest
        The message.
    record : Record
        Its record, as its claim has left it.
    outcome : Outcome
        `State.SENDING` until it is known what comes of it.
    """

    request: SendRequest
    record: Record
    outcome: Outcome

    @property
    def is_waiting(self) -> bool:
        """Whether nothing has come of it yet."""
        return self.outcome.state is State.SENDING

    def note(self, **changes: Any) -> None:
        """Change what has come of it."""
        self.outcome = replace(self.outcome, **changes)


class Group(msgspec.Struct, eq=False):
    """What the queries of one group share.

    Parameters
    ----------
    line : Line
        What they go over.
    credentials : Credentials
        Their account's.
    latest : float
        Seconds since the epoch until when one may leave.
    size : int
        How many messages they are for.
    is_admitted : bool
        Whether the first of them was let go for its account.
    """

    line: Line
    credentials: AnyCredentials
    latest: float
    size: int
    is_admitted: bool = False
