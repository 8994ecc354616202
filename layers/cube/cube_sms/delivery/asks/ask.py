"""A request that waits for a device's reply, and what the device says meanwhile."""

from __future__ import annotations

import msgspec

CLOCK_TOLERANCE = 30.0
"""Seconds by which the provider's clock may be behind ours: so long before its request a reply may seem to come."""


class DeviceReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a device said while somebody waited for it.

    Parameters
    ----------
    event_id : str
        The same however often the provider tells of it.
    received_at : float
        When the provider had it, in seconds since the epoch.
    message_type : {"Text", "Binary"}
        What the content is.
    content : str
        What it says.
    answers : str, optional
        The id of the request that it belongs to.
    """

    event_id: str
    received_at: float
    message_type: str
    content: str
    answers: str | None = None

    def __repr__(self) -> str:
        # The content stays out of whatever shows a reply.
        return f"DeviceReply({self.event_id}, answers {self.answers})"


class Ask(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A request that waits for a device's reply.

    Parameters
    ----------
    request_id : str
        The request's id.
    begun_at : float
        When the first POST began that may have sent it, in seconds since the epoch. What the device said before is no
        reply to it.
    sent_at : float
        When it was sent; 0 until that is known.
    until : float
        Until when it waits; 0 until it was sent.
    tokens : tuple of str
        Of the tasks that are still to be told.
    is_over : bool
        Whether its time was over before a reply came. That is final: a task is told one thing.
    """

    request_id: str
    begun_at: float
    sent_at: float = 0.0
    until: float = 0.0
    tokens: tuple[str, ...] = ()
    is_over: bool = False

    def __repr__(self) -> str:
        # A token lets its holder end the task.
        return f"Ask({self.request_id}, until {self.until})"

    def takes(self, reply: DeviceReply) -> bool:
        """Return whether a reply may answer it, as far as the times tell."""
        is_in_time = not self.until or reply.received_at <= self.until
        return not self.is_over and is_in_time and self.begun_at - CLOCK_TOLERANCE <= reply.received_at
