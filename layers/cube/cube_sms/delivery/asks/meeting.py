"""The requests that wait for one device, and its replies. Pure: no clock and no table.

A reply answers the oldest request that was sent, is open, and was begun before the reply. A request takes the oldest
such reply. A reply never changes its request.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from .ask import CLOCK_TOLERANCE, Ask, DeviceReply

# After so long an unsent request is removed: a message stays on the queue for 14 days at most.
_ABANDONED_SECONDS = 15 * 86_400.0

# Seconds from `SENT`, and then from each query, to the next query. The function runs once a minute, so no pause is
# shorter.
_POLL_PAUSES = (60.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)

MOST_ASKS = 50
"""The most requests that wait for one device. A token has up to 2 kB, and an item of DynamoDB up to 400 kB."""

MOST_CHARACTERS = 30_000
"""The most characters of all replies of a device: some hundred. JSON may need 6 bytes for one."""


class Verdict(NamedTuple):
    """The answer for the tasks of a request.

    Parameters
    ----------
    ask : Ask
        The request.
    reply : DeviceReply or None
        The reply; None if none arrived in time.
    """

    ask: Ask
    reply: DeviceReply | None


class Meeting(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The requests that wait for one device, and its replies.

    Parameters
    ----------
    asks : tuple of Ask
        The requests. An answered one stays until its time ends, so that no other request takes its reply.
    replies : tuple of DeviceReply
        Replies that answer a request, and those that may answer one later.
    polls : int
        Number of queries for replies since the last request was sent.
    polled_at : float
        Time of the last query, or of the last request if none followed, in seconds since the epoch.
    """

    asks: tuple[Ask, ...] = ()
    replies: tuple[DeviceReply, ...] = ()
    polls: int = 0
    polled_at: float = 0.0

    def expect(self, request_id: str, now: float, *, may_be_sent: bool) -> Meeting:
        """Note that the POST of a request is about to begin.

        Parameters
        ----------
        request_id : str
            The request's id.
        now : float
            Seconds since the epoch.
        may_be_sent : bool
            Whether an earlier POST may have sent it. Replies since that POST count then.
        """
        known = self.ask(request_id)
        begun_at = known.begun_at if known and may_be_sent else now
        return self._with(replace(known or Ask(request_id=request_id, begun_at=now), begun_at=begun_at))

    def sent(self, request_id: str, at: float, seconds: float, tokens: frozenset[str]) -> Meeting:
        """Note that a request was sent, and which tasks wait for the reply to it.

        Parameters
        ----------
        request_id : str
            The request's id.
        at : float
            When it was sent, in seconds since the epoch.
        seconds : float
            How long they wait after that.
        tokens : frozenset of str
            Tokens of the tasks.
        """
        ask, found = self.ask(request_id), self
        if not ask or not ask.until:
            ask = replace(ask or Ask(request_id=request_id, begun_at=at), sent_at=at, until=at + seconds)
            found = replace(found, polls=0, polled_at=at)
        ask = replace(ask, tokens=tuple(sorted({*ask.tokens, *tokens})))
        return found._with(ask)._matched()

    def withdraw(self, request_id: str) -> Meeting:
        """Remove a request that was not sent."""
        return replace(self, asks=tuple(ask for ask in self.asks if ask.request_id != request_id or ask.until))

    def hear(self, *replies: DeviceReply) -> Meeting:
        """Note replies, as far as there is room. A reply that is already known changes nothing."""
        known = {reply.event_id: reply for reply in self.replies}
        room = MOST_CHARACTERS - sum(len(reply.content) for reply in self.replies)
        for reply in sorted(replies, key=_order):
            if reply.event_id not in known and len(reply.content) <= room:
                known[reply.event_id] = reply
                room -= len(reply.content)
        return replace(self, replies=tuple(known.values()))._matched()

    def expire(self, now: float) -> Meeting:
        """Note which requests have reached the end of their time."""
        over = [replace(ask, is_over=True) for ask in self.open_asks if ask.until <= now]
        return self._with(*over)

    def told(self, verdict: Verdict) -> Meeting:
        """Note that the tasks of a verdict have their answer."""
        ask = self.ask(verdict.ask.request_id)
        if not ask:
            return self
        return self._with(replace(ask, tokens=tuple(token for token in ask.tokens if token not in verdict.ask.tokens)))

    def polled(self, now: float) -> Meeting:
        """Note a query for replies."""
        return replace(self, polls=self.polls + 1, polled_at=now)

    def pruned(self, now: float) -> Meeting:
        """Remove requests and replies that are no longer needed."""
        asks = tuple(ask for ask in self.asks if ask.tokens or now < self._needed_until(ask))
        if not asks:
            return Meeting()
        left = replace(self, asks=asks)
        waiting = left._waiting
        ids = {ask.request_id for ask in asks}
        return replace(
            left,
            replies=tuple(
                reply
                for reply in self.replies
                # A repeat of an answered reply must be recognised as long as its request is here.
                if reply.answers in ids or any(ask.takes(reply) for ask in waiting)
            ),
        )

    def ask(self, request_id: str) -> Ask | None:
        """Return the request with an id."""
        return next((ask for ask in self.asks if ask.request_id == request_id), None)

    def reply_to(self, request_id: str) -> DeviceReply | None:
        """Return the reply that answers a request."""
        return next((reply for reply in self.replies if reply.answers == request_id), None)

    def answered_by(self, event_id: str) -> str | None:
        """Return the id of the request that a reply answers."""
        return next((reply.answers for reply in self.replies if reply.event_id == event_id), None)

    @property
    def open_asks(self) -> list[Ask]:
        """The requests that were sent and have no reply yet, in the order of sending."""
        found = [ask for ask in self._waiting if ask.until]
        return sorted(found, key=lambda ask: (ask.sent_at, ask.request_id))

    @property
    def verdicts(self) -> list[Verdict]:
        """The answers that tasks still need."""
        found = [Verdict(ask, self.reply_to(ask.request_id)) for ask in self.asks if ask.tokens]
        return [verdict for verdict in found if verdict.reply or verdict.ask.is_over]

    def is_poll_due(self, now: float) -> bool:
        """Return whether a query for replies is due: after a pause, or at the end of a request's time."""
        times = [self.next_poll, *(ask.until for ask in self.open_asks)]
        return bool(self.open_asks) and min(times) <= now

    @property
    def next_poll(self) -> float:
        """When the next query for replies is due after a pause, in seconds since the epoch."""
        return self.polled_at + _POLL_PAUSES[min(self.polls, len(_POLL_PAUSES) - 1)]

    @property
    def kept_until(self) -> float:
        """The time until which it is needed, in seconds since the epoch; 0 if it holds no request."""
        return max(map(self._needed_until, self.asks), default=0.0)

    def _needed_until(self, ask: Ask) -> float:
        if not ask.until:
            return ask.begun_at + _ABANDONED_SECONDS
        # Otherwise a request that begins shortly after the reply would take a repeat of it.
        reply = self.reply_to(ask.request_id)
        return max(ask.until, reply.received_at + CLOCK_TOLERANCE) if reply else ask.until

    @property
    def _waiting(self) -> list[Ask]:
        answered = {reply.answers for reply in self.replies}
        return [ask for ask in self.asks if not ask.is_over and ask.request_id not in answered]

    def _with(self, *asks: Ask) -> Meeting:
        given = {ask.request_id: ask for ask in asks}
        kept = tuple(given.pop(ask.request_id, ask) for ask in self.asks)
        return replace(self, asks=(*kept, *given.values()))

    def _matched(self) -> Meeting:
        found = self
        for reply in sorted(self.replies, key=_order):
            taker = next((ask for ask in found.open_asks if ask.takes(reply)), None)
            if taker and not reply.answers:
                answer = replace(reply, answers=taker.request_id)
                replies = (answer if each.event_id == reply.event_id else each for each in found.replies)
                found = replace(found, replies=tuple(replies))
        return found


def _order(reply: DeviceReply) -> tuple[float, str]:
    return reply.received_at, reply.event_id
