"""The states of a message, and what each means to everybody else."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Self

from cube_sms.platform import ApiAnswer, AwsUnavailableError, metrics
from cube_sms.provider import CubeRejected

if TYPE_CHECKING:
    from cube_sms.platform import Level, Metric


class State(StrEnum):
    """What has become of a message; docs/delivery.md draws how one state follows from another.

    Attributes
    ----------
    is_final : bool
        Whether no worker does anything more with the message by itself. Its end is an event then, ``SMS Sent`` for
        `SENT`. What Cube has accepted may end once more, by its receipt.
    metric : Metric
        What counts it.
    level : str
        The level of its line in the log.
    answer : ApiAnswer
        How the API answers, unless an error says it better.
    letter : str or None
        The reason that the message's letter gives, if a message from the queue leaves one. Whoever puts the letter back
        starts the message over.
    can_restart : bool
        Whether the message can start over, for whoever knows the claim that ended it.
    """

    is_final: bool
    metric: Metric
    level: Level
    answer: ApiAnswer
    letter: str | None
    can_restart: bool

    def __new__(  # noqa: D102 - of the members below
        cls,
        value: str,
        metric: Metric,
        level: Level,
        answer: ApiAnswer,
        is_final: bool = True,
        letter: str | None = None,
        can_restart: bool = False,
    ) -> Self:
        state = str.__new__(cls, value)
        state._value_ = value
        state.is_final, state.metric, state.level, state.answer = is_final, metric, level, answer
        state.letter, state.can_restart = letter, can_restart or letter is not None
        return state

    @property
    def is_sent(self) -> bool:
        """Whether Cube has accepted the message, whatever has become of it after that."""
        return self in (State.SENT, State.DELIVERED, State.UNDELIVERED)

    # Nothing came of it yet, and nobody is answered with it.
    QUEUED = (
        "QUEUED",
        metrics.MESSAGES_RETRIED,
        "info",
        ApiAnswer(409, "Queued", "the message waits on the queue", True),
        False,
    )
    """The message waits on the queue, and no worker has claimed it yet."""
    # Of one that stays so, what came of it could not be recorded.
    SENDING = (
        "SENDING",
        metrics.MESSAGES_RETRIED,
        "error",
        ApiAnswer(409, "Under way", "the message is being sent", True),
        False,
    )
    """A worker has claimed the message and may be posting it. When the lease is over, another worker may claim it."""
    RETRYING = "RETRYING", metrics.MESSAGES_RETRIED, "warning", AwsUnavailableError.answer, False
    """An attempt failed, or its outcome is unknown. The message waits for its next attempt."""
    SENT = "SENT", metrics.MESSAGES_SENT, "info", ApiAnswer(200, "Sent", "Cube accepted it")
    """Cube accepted the message."""
    # Whoever asks for the same message once more is answered as after SENT: to repeat it, another one is to be sent.
    DELIVERED = "DELIVERED", metrics.MESSAGES_DELIVERED, "info", ApiAnswer(200, "Delivered", "the device has it")
    """The receipt says that the device has the message."""
    UNDELIVERED = (
        "UNDELIVERED",
        metrics.MESSAGES_UNDELIVERED,
        "warning",
        ApiAnswer(200, "Undelivered", "Cube accepted it, and could not deliver it"),
    )
    """The receipt says that Cube could not deliver the message. Its code has the reason."""
    REJECTED = "REJECTED", metrics.MESSAGES_REJECTED, "warning", CubeRejected.answer, True, "Rejected"
    """Cube rejected the message. From the queue, it is also on the queue of rejected messages for 14 days."""
    EXPIRED = "EXPIRED", metrics.MESSAGES_EXPIRED, "warning", ApiAnswer(400, "Expired", "expiresAt: is in the past")
    """The time `expiresAt` passed before the message was sent."""
    FAILED = (
        "FAILED",
        metrics.MESSAGES_FAILED,
        "error",
        ApiAnswer(503, "Attempts used up", "the message is not tried again"),
        True,
        "AttemptsUsedUp",
    )
    """All attempts of the message are used up. From the queue, it is also on the dead-letter queue."""
    UNKNOWN = (
        "UNKNOWN",
        metrics.MESSAGES_UNKNOWN,
        "error",
        ApiAnswer(504, "Outcome unknown", "the message may have been sent"),
    )
    """The message may have been sent. It is `at-most-once`, or `expiresAt` has passed, so no attempt follows."""
    CANCELLED = (
        "CANCELLED",
        metrics.MESSAGES_CANCELLED,
        "info",
        ApiAnswer(409, "Cancelled", "the message was cancelled, and is not sent"),
        True,
        None,
        True,
    )
    """A caller or an operator cancelled the message. Only a resumed campaign sends it."""
