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
    """A message whose claim is held, and the result so far.

    Parameters
    ----------
    request : SendRequest
        The message.
    record : Record
        Its record, as the claim has written it.
    outcome : Outcome
        `State.SENDING` until the result is known.
    """

    request: SendRequest
    record: Record
    outcome: Outcome

    @property
    def is_waiting(self) -> bool:
        """Whether the message has no result yet."""
        return self.outcome.state is State.SENDING

    def note(self, **changes: Any) -> None:
        """Change the result."""
        self.outcome = replace(self.outcome, **changes)


class Group(msgspec.Struct, eq=False):
    """What the queries of one group share.

    Parameters
    ----------
    line : Line
        The connection that they use.
    credentials : Credentials
        The credentials of their account.
    latest : float
        Seconds since the epoch until when a query may leave.
    size : int
        How many messages the queries send.
    is_admitted : bool
        Whether the gate has admitted the first query for its account.
    """

    line: Line
    credentials: AnyCredentials
    latest: float
    size: int
    is_admitted: bool = False
