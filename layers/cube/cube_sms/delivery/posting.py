"""Posting messages that share a query: with one query, with fresh credentials, or in halves.

A single message is a group of one. This module writes no records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cube_sms.platform import Obstacle
from cube_sms.provider import CredentialsError

from .held import Group
from .querying import is_in_the_way, is_to_be_halved
from .states import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cube_sms.pacing import Gate
    from cube_sms.provider import AnyCredentials, CredentialStore, CubeAnswer, Line

    from .held import Held
    from .querying import Querying


class Posting:
    """Posts messages that share a query. Safe to share between threads.

    Parameters
    ----------
    querying : Querying
        Makes the queries.
    credentials : CredentialStore
        The accounts' credentials.
    gate : Gate
        Says for which accounts it is closed.
    """

    def __init__(self, querying: Querying, credentials: CredentialStore, gate: Gate) -> None:
        self._querying = querying
        self._credentials = credentials
        self._gate = gate

    def post(
        self, held: Sequence[Held], credentials: AnyCredentials, *, over: Line, latest: float
    ) -> Iterator[list[Held]]:
        """Post messages, and yield each as soon as its result is known.

        If a refusal may be about only some of several messages, the messages are halved, and each half is posted alone.
        If an obstacle stops all messages of the account, no more are posted.

        Parameters
        ----------
        held : sequence of Held
            At least one. They may share a query.
        credentials : Credentials
            The credentials of their account.
        over : Line
            The connection that their queries use.
        latest : float
            Seconds since the epoch until when a query may leave.

        Yields
        ------
        list of Held
            Each message once.
        """
        group = Group(over, credentials, latest, len(held))
        parts = [list(held)]
        while parts:
            part = parts.pop()
            result = self._attempt(group, part)
            waiting = [each for each in part if each.is_waiting]
            obstacle = result if is_in_the_way(result) else None
            if is_to_be_halved(result, waiting):
                middle = len(waiting) // 2
                parts += [waiting[middle:], waiting[:middle]]
                part = [each for each in part if not each.is_waiting]
            elif result and not obstacle:
                _conclude(waiting, result)
                obstacle = self._closed_for(part[0].request.account) if parts else None
            if obstacle:
                part += [each for others in parts for each in others]
                parts.clear()
                _stop(part, obstacle)
            if part:
                yield part

    def _attempt(self, group: Group, part: Sequence[Held]) -> CubeAnswer | Obstacle | None:
        """Post messages with one query, and once more with fresh credentials if the first ones were refused.

        The result is None if all messages have expired.
        """
        result = self._querying.ask(group, part)
        if not (isinstance(result, Obstacle) and result.renews_credentials):
            return result
        try:
            credentials = self._credentials.refresh(part[0].request.account, group.credentials)
        except CredentialsError as error:
            return error
        if not self._querying.takes(credentials, group.size, part[0].request):
            # The account has just moved to a dialect that takes fewer messages at once, or cannot express this one. The
            # next attempt uses it.
            return result
        group.credentials = credentials
        return self._querying.ask(group, part)

    def _closed_for(self, account: str) -> Obstacle | None:
        """Return why the gate is closed for an account, if it has just been closed."""
        try:
            self._gate.check(account)
        except Obstacle as error:
            return error
        return None


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
