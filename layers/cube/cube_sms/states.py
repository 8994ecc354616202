"""The states of a message."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """What has become of a message; docs/delivery.md draws how one state follows from another."""

    SENDING = "SENDING"
    """A worker has claimed it and may be posting it, until its lease is over."""
    RETRYING = "RETRYING"
    """It was not sent, or may not have been, and is to be tried again."""
    SENT = "SENT"
    """Cube accepted it."""
    REJECTED = "REJECTED"
    """Cube said no."""
    EXPIRED = "EXPIRED"
    """Its time was over before it was sent."""
    FAILED = "FAILED"
    """Its attempts are used up."""
    UNKNOWN = "UNKNOWN"
    """It may have been sent, and is not to be sent again."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the message by itself."""
        return self not in (State.SENDING, State.RETRYING)
