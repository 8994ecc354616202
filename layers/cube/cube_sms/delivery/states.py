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
    """It waits on the queue, and no worker has claimed it yet."""
    # Of one that stays so, what came of it could not be recorded.
    SENDING = (
        "SENDING",
        metrics.MESSAGES_RETRIED,
        "error",
        ApiAnswer(409, "Under way", "the message is being sent", True),
        False,
    )
    """A worker has claimed it and may be posting it, until its lease is over."""
    RETRYING = "RETRYING", metrics.MESSAGES_RETRIED, "warning", AwsUnavailableError.answer, False
    """It was not sent, or may not have been, and is to be tried again."""
    SENT = "SENT", metrics.MESSAGES_SENT, "info", ApiAnswer(200, "Sent", "Cube accepted it")
    """Cube accepted it."""
    # Whoever asks for the same message once more is answered as after SENT: to repeat it, another one is to be sent.
    DELIVERED = "DELIVERED", metrics.MESSAGES_DELIVERED, "info", ApiAnswer(200, "Delivered", "the device has it")
    """The device has it, as its receipt says."""
    UNDELIVERED = (
        "UNDELIVERED",
        metrics.MESSAGES_UNDELIVERED,
        "warning",
        ApiAnswer(200, "Undelivered", "Cube accepted it, and could not deliver it"),
    )
    """Cube accepted it and could not deliver it, as its receipt says."""
    REJECTED = "REJECTED", metrics.MESSAGES_REJECTED, "warning", CubeRejected.answer, True, "Rejected"
    """Cube said no."""
    EXPIRED = "EXPIRED", metrics.MESSAGES_EXPIRED, "warning", ApiAnswer(400, "Expired", "expiresAt: is in the past")
    """Its time was over before it was sent."""
    FAILED = (
        "FAILED",
        metrics.MESSAGES_FAILED,
        "error",
        ApiAnswer(503, "Attempts used up", "the message is not tried again"),
        True,
        "AttemptsUsedUp",
    )
    """Its attempts are used up."""
    UNKNOWN = (
        "UNKNOWN",
        metrics.MESSAGES_UNKNOWN,
        "error",
        ApiAnswer(504, "Outcome unknown", "the message may have been sent"),
    )
    """It may have been sent, and is not to be sent again."""
    CANCELLED = (
        "CANCELLED",
        metrics.MESSAGES_CANCELLED,
        "info",
        ApiAnswer(409, "Cancelled", "the message was cancelled, and is not sent"),
        True,
        None,
        True,
    )
    """Somebody cancelled it. It is not sent any more."""
