"""Posting messages that share a query: their turn at the gate, the query, its repetition, and its halves.

A single message is a group of one. Nothing here is written to a record.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard

import msgspec
from msgspec.structs import replace

from cube_sms.platform import Obstacle
from cube_sms.provider import CredentialsError, CubeError, CubeUnavailable

from .states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cube_sms.pacing import Gate, Slot
    from cube_sms.provider import AnyCredentials, AnyProvider, CredentialStore, CubeAnswer, Line, Query
    from cube_sms.request import SendRequest

    from .outcome import Outcome
    from .records import Record

# A query whose answer was lost is repeated after so many seconds, and after twice as many each further time.
FIRST_REPEAT_SECONDS = 0.5

# So long before the provider takes a repeated query for another one, it leaves at last: it has to arrive, and clocks
# differ.
REPEAT_MARGIN = 2.0


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


class _Group(msgspec.Struct, eq=False):
    """What the queries of one group share."""

    line: Line
    credentials: AnyCredentials
    latest: float
    # Its first query is let go or refused for its account, for at most the patience of its sender.
    is_admitted: bool = False


class Posting:
    """Posts messages that share a query. Safe to share between threads.

    Parameters
    ----------
    provider : Provider
        The provider.
    credentials : CredentialStore
        The accounts' credentials.
    gate : Gate
        Keeps all workers within the provider's limits.
    patience : float
        Seconds a message may wait for its slot.
    clock : Callable[[], float]
        Seconds since the epoch.
    monotonic : Callable[[], float]
        Seconds on a clock that nobody sets.
    sleep : Callable[[float], None]
        Waits a number of seconds.
    """

    def __init__(
        self,
        provider: AnyProvider,
        credentials: CredentialStore,
        gate: Gate,
        *,
        patience: float,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._provider = provider
        self._credentials = credentials
        self._gate = gate
        self._patience = patience
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep

    def post(
        self, held: Sequence[Held], credentials: AnyCredentials, *, over: Line, latest: float
    ) -> Iterator[list[Held]]:
        """Post messages, and yield them as soon as it is known what has come of them.

        A refusal that may be about some of several messages is none of the others: the messages are halved, and each
        half is posted for itself. What is in the way of all ends it.

        Parameters
        ----------
        held : sequence of Held
            At least one. They may share a query.
        credentials : Credentials
            Their account's.
        over : Line
            What their queries go over.
        latest : float
            Seconds since the epoch until when a query may leave.

        Yields
        ------
        list of Held
            Each message once.
        """
        group = _Group(over, credentials, latest)
        parts = [list(held)]
        while parts:
            part = parts.pop()
            result = self._attempt(group, part)
            waiting = [each for each in part if each.is_waiting]
            if _is_to_be_halved(result, waiting):
                middle = len(waiting) // 2
                parts += [waiting[middle:], waiting[:middle]]
                part = [each for each in part if not each.is_waiting]
            elif _is_in_the_way(result):
                part += _all(parts)
                parts.clear()
                _stop(part, result)
            elif result:
                _conclude(waiting, result)
            if part:
                yield part
            if part and parts and (error := self._closed_for(part[0].request.account)):
                _stop(_all(parts), error)
                yield _all(parts)
                return

    def _attempt(self, group: _Group, part: Sequence[Held]) -> CubeAnswer | Obstacle | None:
        """Post messages with one query, and once more with fresh credentials if it was refused for these.

        None if all have expired before that.
        """
        result = self._query(group, part)
        if not (isinstance(result, Obstacle) and result.renews_credentials):
            return result
        try:
            credentials = self._credentials.refresh(part[0].request.account, group.credentials)
        except CredentialsError as error:
            return error
        if type(credentials) is not type(group.credentials):
            # The account has just moved to another dialect, which may be at another address: the next time.
            return result
        group.credentials = credentials
        return self._query(group, part)

    def _query(self, group: _Group, part: Sequence[Held]) -> CubeAnswer | Obstacle | None:
        waiting = self._unexpired(part)
        if not waiting:
            return None
        for each in waiting:
            each.note(stale_credentials=group.credentials.stale)
        asked_at = self._clock()
        try:
            slot = self._slot(group, waiting[0].request, group.latest)
        except CubeError as error:
            # No connection came about.
            waiting[0].note(queries=(*waiting[0].outcome.queries, error))
            _note_post(waiting, error)
            return error
        except Obstacle as error:
            return error
        # Nothing that takes a while comes between these looks and the POST.
        now = self._clock()
        for each in waiting:
            each.note(gate_wait=each.outcome.gate_wait + now - asked_at)
        sending = self._unexpired(waiting)
        if not sending or now > group.latest:
            self._gate.give_back(slot)
            return CubeUnavailable("not posted: no time left") if sending else None
        result = self._ask(group, sending, slot)
        if not _is_to_be_halved(result, sending):
            _note_post(sending, result)
        return result

    def _slot(self, group: _Group, request: SendRequest, latest: float) -> Slot | None:
        """Wait for a slot of the gate, with the line open."""
        # With other credentials, with fewer recipients, and repeated, it is still the same query of its account.
        account = None if group.is_admitted else request.account
        is_bulk = request.priority == "bulk"
        soonest = min(latest, self._clock() + self._patience)
        slot = self._gate.take(latest=soonest, account=account, is_bulk=is_bulk)
        group.is_admitted = True
        try:
            while not self._gate.wait(slot, group.line.open):
                slot = self._gate.take(latest=latest, is_bulk=is_bulk)
        except CubeError as error:
            self._gate.report(slot, error, account=request.account)
            raise
        return slot

    def _ask(self, group: _Group, sending: Sequence[Held], slot: Slot | None) -> CubeAnswer | CubeError:
        """Send a query, and again while nobody knows what came of it and the provider takes it for the same one."""
        query = self._provider.prepare(group.credentials, [each.request for each in sending])
        for each in sending:
            each.note(recipients=len(sending))
        pause = FIRST_REPEAT_SECONDS
        repeat_by = self._monotonic() + self._provider.repeats_within(group.credentials) - REPEAT_MARGIN
        result = self._send(group, sending, query, slot)
        while result.outcome == "unknown" and self._monotonic() + pause < repeat_by:
            self._sleep(pause)
            pause *= 2
            # What would expire meanwhile is not sent again.
            until = [each.request.expires_at.timestamp() for each in sending if each.request.expires_at]
            latest = min(group.latest, self._clock() + repeat_by - self._monotonic(), *until)
            try:
                slot = self._slot(group, sending[0].request, latest)
            except CubeError:
                continue
            except Obstacle:
                break
            if self._clock() > latest:
                self._gate.give_back(slot)
                break
            again = self._send(group, sending, query, slot)
            # One that was not processed says nothing of the one before it.
            if again.outcome == "unknown" or not _is_in_the_way(again):
                result = again
        return result

    def _send(
        self, group: _Group, sending: Sequence[Held], query: Query[Any], slot: Slot | None
    ) -> CubeAnswer | CubeError:
        left = partial(self._gate.left, slot)
        result: CubeAnswer | CubeError
        try:
            result = self._provider.send(query, over=group.line, left=left)
        except CubeError as error:
            result = error
        except BaseException:
            # It may have left, and would otherwise be taken to be about to, for ever.
            left()
            raise
        # Of one message that is refused each of its groups is refused: that counts once, when it is alone.
        account = None if _is_to_be_halved(result, sending) else sending[0].request.account
        self._gate.report(slot, result, account=account)
        sending[0].note(queries=(*sending[0].outcome.queries, result))
        return result

    def _unexpired(self, part: Sequence[Held]) -> list[Held]:
        now = self._clock()
        for each in part:
            if each.is_waiting and each.request.expires_at and each.request.expires_at.timestamp() <= now:
                each.note(state=State.EXPIRED)
        return [each for each in part if each.is_waiting]

    def _closed_for(self, account: str) -> Obstacle | None:
        """Return why the gate is closed for an account, if it has just been closed."""
        try:
            self._gate.check(account)
        except Obstacle as error:
            return error
        return None


def _is_to_be_halved(result: CubeAnswer | Obstacle | None, sending: Sequence[Held]) -> bool:
    return len(sending) > 1 and isinstance(result, Obstacle) and result.is_of_recipients


def _is_in_the_way(result: CubeAnswer | Obstacle | None) -> TypeGuard[Obstacle]:
    """Return whether messages were not sent for a reason that holds for all of their account."""
    return isinstance(result, Obstacle) and result.outcome == "no" and not State[str(result.state)].is_final


def _all(parts: Sequence[Sequence[Held]]) -> list[Held]:
    return [each for part in parts for each in part]


def _note_post(sending: Sequence[Held], result: CubeAnswer | CubeError) -> None:
    for each in sending:
        each.note(posts=(*each.outcome.posts, result))


def _stop(part: Sequence[Held], error: Obstacle) -> None:
    for each in part:
        if each.is_waiting:
            each.note(state=State.RETRYING, error=error)


def _conclude(sending: Sequence[Held], result: CubeAnswer | Obstacle) -> None:
    for each in sending:
        if not isinstance(result, Obstacle):
            each.note(state=State.SENT)
        elif result.outcome == "unknown" and each.request.delivery == "at-most-once":
            each.note(state=State.UNKNOWN, error=result)
        else:
            each.note(state=State[str(result.state)], error=result)
