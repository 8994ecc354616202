"""A request that waits for a reply, and a reply."""

from __future__ import annotations

import msgspec

CLOCK_TOLERANCE = 30.0
"""Seconds that the provider's clock may be behind ours. A reply may seem to be that much older than its request."""


class DeviceReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A reply that arrived while a request waited.

    Parameters
    ----------
    event_id : str
        Equal in every repeat by the provider.
    received_at : float
        When the provider received it, in seconds since the epoch.
    message_type : {"Text", "Binary"}
        Type of the content.
    content : str
        The content.
    answers : str, optional
        Id of the request that it answers.
    """

    event_id: str
    received_at: float
    message_type: str
    content: str
    answers: str | None = None

    def __repr__(self) -> str:
        # Logs and errors must not show the content.
        return f"DeviceReply({self.event_id}, answers {self.answers})"


class Ask(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A request that waits for a reply.

    Parameters
    ----------
    request_id : str
        The request's id.
    begun_at : float
        When the first POST that may have sent it began, in seconds since the epoch. Only later replies can answer it.
    sent_at : float
        When it was sent, in seconds since the epoch; 0 until that is known.
    until : float
        When it stops waiting, in seconds since the epoch; 0 until it was sent.
    tokens : tuple of str
        Tokens of the tasks that still need an answer.
    is_over : bool
        Whether its time ended before a reply arrived. This is final, since a task gets one answer.
    """

    request_id: str
    begun_at: float
    sent_at: float = 0.0
    until: float = 0.0
    tokens: tuple[str, ...] = ()
    is_over: bool = False

    def __repr__(self) -> str:
        # Logs must not show the tokens: a token lets its holder end the task.
        return f"Ask({self.request_id}, until {self.until})"

    def takes(self, reply: DeviceReply) -> bool:
        """Return whether a reply may answer it, by their times."""
        is_in_time = not self.until or reply.received_at <= self.until
        return not self.is_over and is_in_time and self.begun_at - CLOCK_TOLERANCE <= reply.received_at
