"""One query: its slot at the gate, the request, and its repetition while the result is unknown."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard

from cube_sms.platform import Obstacle
from cube_sms.provider import CubeError, CubeUnavailable

from .states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cube_sms.pacing import Gate, Slot
    from cube_sms.provider import AnyCredentials, AnyProvider, CubeAnswer, Query
    from cube_sms.request import SendRequest

    from .held import Group, Held

# A query whose answer was lost is repeated after so many seconds. Each repetition doubles the pause.
FIRST_REPEAT_SECONDS = 0.5

# After some time, the provider takes a repeated query for a new one. The last repetition leaves so many seconds before
# that: it has to arrive in time, and clocks differ.
REPEAT_MARGIN = 2.0


class Querying:
    """Makes queries. Safe to share between threads.

    Parameters
    ----------
    provider : Provider
        The provider.
    gate : Gate
        Keeps all workers within the provider's limits.
    patience : float
        Seconds that a message may wait for its slot.
    clock : Callable[[], float]
        Seconds since the epoch.
    monotonic : Callable[[], float]
        Seconds on a clock that is never set.
    sleep : Callable[[float], None]
        Waits a number of seconds.
    """

    def __init__(
        self,
        provider: AnyProvider,
        gate: Gate,
        *,
        patience: float,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._provider = provider
        self._gate = gate
        self._patience = patience
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep

    def takes(self, credentials: AnyCredentials, number: int, request: SendRequest) -> bool:
        """Return whether a query with these credentials can carry so many messages like this one."""
        try:
            self._provider.prepare(credentials, [request])
        except Obstacle:
            return False
        return number <= self._provider.most_recipients(credentials)

    def ask(self, group: Group, part: Sequence[Held]) -> CubeAnswer | Obstacle | None:
        """Post messages with one query, as soon as it has its slot. Expired messages are not posted.

        Parameters
        ----------
        group : Group
            The group of the messages.
        part : sequence of Held
            All messages of the group, or some of them.

        Returns
        -------
        CubeAnswer, Obstacle or None
            The result; None if all messages have expired.
        """
        waiting = self._unexpired(part)
        if not waiting:
            return None
        for each in waiting:
            each.note(stale_credentials=group.credentials.stale)
        asked_at = self._clock()
        try:
            slot = self._slot(group, waiting[0].request, group.latest)
        except CubeError as error:
            # No connection could be opened.
            waiting[0].note(queries=(*waiting[0].outcome.queries, error))
            _note_post(waiting, error)
            return error
        except Obstacle as error:
            return error
        # Only quick steps may follow between these checks and the POST.
        now = self._clock()
        for each in waiting:
            each.note(gate_wait=each.outcome.gate_wait + now - asked_at)
        sending = self._unexpired(waiting)
        if not sending or now > group.latest:
            self._gate.give_back(slot)
            return CubeUnavailable("not posted: no time left") if sending else None
        result = self._send_until_known(group, sending, slot)
        if not is_to_be_halved(result, sending):
            _note_post(sending, result)
        return result

    def _slot(self, group: Group, request: SendRequest, latest: float) -> Slot | None:
        """Wait for a slot of the gate, with the line open."""
        # For the account it stays the same query: with other credentials, with fewer recipients, and repeated.
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

    def _send_until_known(self, group: Group, sending: Sequence[Held], slot: Slot | None) -> CubeAnswer | CubeError:
        """Send a query, and repeat it while its result is unknown and the provider takes it for the same query."""
        query = self._provider.prepare(group.credentials, [each.request for each in sending])
        for each in sending:
            each.note(recipients=len(sending))
        pause = FIRST_REPEAT_SECONDS
        repeat_by = self._monotonic() + self._provider.repeats_within(group.credentials) - REPEAT_MARGIN
        result = self._send(group, sending, query, slot)
        while result.outcome == "unknown" and self._monotonic() + pause < repeat_by:
            self._sleep(pause)
            pause *= 2
            # A message that would expire meanwhile is not sent again.
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
            # If a repetition was not processed, or its code is unknown, the query before it may still have succeeded.
            if again.outcome == "unknown" or not (is_in_the_way(again) or again.account == "counts"):
                result = again
        return result

    def _send(
        self, group: Group, sending: Sequence[Held], query: Query[Any], slot: Slot | None
    ) -> CubeAnswer | CubeError:
        result = self._post(group, query, slot)
        # If one message is refused, each group with it is refused. That counts once: when the message is alone.
        account = None if is_to_be_halved(result, sending) else sending[0].request.account
        self._gate.report(slot, result, account=account)
        sending[0].note(queries=(*sending[0].outcome.queries, result))
        return result

    def _post(self, group: Group, query: Query[Any], slot: Slot | None) -> CubeAnswer | CubeError:
        left = partial(self._gate.left, slot)
        try:
            return self._provider.send(query, over=group.line, left=left)
        except CubeError as error:
            return error
        except BaseException:
            # The query may have left. Otherwise the gate would always count it as about to leave.
            left()
            raise

    def _unexpired(self, part: Sequence[Held]) -> list[Held]:
        now = self._clock()
        for each in part:
            if each.is_waiting and each.request.expires_at and each.request.expires_at.timestamp() <= now:
                each.note(state=State.EXPIRED)
        return [each for each in part if each.is_waiting]


def is_to_be_halved(result: CubeAnswer | Obstacle | None, sending: Sequence[Held]) -> bool:
    """Return whether a refusal may be about only some of several messages."""
    return len(sending) > 1 and isinstance(result, Obstacle) and result.is_of_recipients


def is_in_the_way(result: CubeAnswer | Obstacle | None) -> TypeGuard[Obstacle]:
    """Return whether messages were not sent for a reason that applies to all messages of their account."""
    return isinstance(result, Obstacle) and result.outcome == "no" and not State[str(result.state)].is_final


def _note_post(sending: Sequence[Held], result: CubeAnswer | CubeError) -> None:
    for each in sending:
        each.note(posts=(*each.outcome.posts, result))
