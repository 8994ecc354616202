"""What one attempt to send a message came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec

from cube_sms.provider import CubeError

from .states import State

if TYPE_CHECKING:
    from cube_sms.platform import Obstacle
    from cube_sms.provider import CubeAnswer

    from .records import Record


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt to send a message came to.

    Parameters
    ----------
    state : State
        The state of the message now. In `State.SENDING` another worker has it, or what became of it could not be
        recorded.
    record : Record, optional
        Its record, where it was reached.
    is_from_record : bool
        Whether the message was not tried, since its record says what became of it, or who has it.
    posts : tuple of CubeAnswer or CubeError
        What each POST of the message came to: none, one, or two where the first was refused for its credentials. A POST
        of several messages that was refused for some of them is none of its messages', and one that was repeated for
        the sake of its answer is one.
    queries : tuple of CubeAnswer or CubeError
        What each query to the provider came to. Of messages that share a query, one has it.
    recipients : int
        How many messages shared the last query.
    error : Obstacle, optional
        What stands between the message and `State.SENT`.
    gate_wait : float
        Seconds it waited for its slots.
    stale_credentials : bool
        Whether the last good credentials were used because Secrets Manager was away.
    """

    state: State
    record: Record | None = None
    is_from_record: bool = False
    posts: tuple[CubeAnswer | CubeError, ...] = ()
    queries: tuple[CubeAnswer | CubeError, ...] = ()
    recipients: int = 1
    error: Obstacle | None = None
    gate_wait: float = 0.0
    stale_credentials: bool = False

    @classmethod
    def stopped_by(cls, error: Obstacle) -> Self:
        """Return what an attempt came to that did not get as far as a claim.

        Parameters
        ----------
        error : Obstacle
            What stood in the message's way.

        Returns
        -------
        Outcome
            The state that it leads to.

        Raises
        ------
        Obstacle
            The error itself, where it refuses the message.
        """
        if not error.state:
            raise error
        return cls(state=State[error.state], error=error)

    @property
    def attempts(self) -> int:
        """How often the message has been posted."""
        return self.record.attempts if self.record else len(self.posts)

    @property
    def code(self) -> str | None:
        """The provider's code in its last answer."""
        if self.posts:
            return self.posts[-1].code
        return self.record.code if self.record else None

    @property
    def message(self) -> str | None:
        """The provider's words in its last answer, where they are kept."""
        if self.posts:
            return self.posts[-1].message
        return self.record.message if self.record else None

    @property
    def job_id(self) -> str | None:
        """The provider's name for what it has just accepted, if it gave one."""
        answer = self.posts[-1] if self.posts else None
        return None if answer is None or isinstance(answer, CubeError) else answer.job_id

    @property
    def retry_after(self) -> float | None:
        """Seconds the provider asks to wait."""
        return self.error.retry_after if self.error else None
