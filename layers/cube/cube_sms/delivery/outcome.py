"""The result of one attempt to send a message."""

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
    """The result of one attempt to send a message.

    Parameters
    ----------
    state : State
        The state of the message now. In `State.SENDING` another worker has it, or its result could not be recorded.
    record : Record, optional
        Its record, if it was reached.
    is_from_record : bool
        Whether the record gave the result, without an attempt: the message has ended, or another worker has it.
    posts : tuple of CubeAnswer or CubeError
        The result of each POST of the message: two if the first was refused for its credentials, otherwise one or none.
        If a POST of several messages was refused for some of them, it counts for none. A POST that was repeated to get
        its answer counts once.
    queries : tuple of CubeAnswer or CubeError
        The result of each query to the provider. If messages share a query, one of them has it.
    recipients : int
        How many messages shared the last query.
    error : Obstacle, optional
        Why the message is not `State.SENT`.
    gate_wait : float
        Seconds that the message waited for its slots.
    stale_credentials : bool
        Whether the attempt used the last good credentials, because Secrets Manager was unavailable.
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
        """Return the result of an attempt that stopped before its claim.

        Parameters
        ----------
        error : Obstacle
            Why the attempt stopped.

        Returns
        -------
        Outcome
            A result with the state that the error leads to.

        Raises
        ------
        Obstacle
            The error itself, if it refuses the message.
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
        """The provider's words in its last answer, if they are kept."""
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
