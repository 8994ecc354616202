"""An operator's pause, as one worker obeys it.

A pause is an attribute of the gate's item that only operators change. Each reservation has the condition that there is
no pause. Queries with an earlier reservation wait too. For that, a worker that has not seen the item for a while
looks at it before it lets a query go. If no limit is set, this look is the only check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import PausedError
from .pause import PAUSED, Pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from cube_sms.platform import ConditionalUpdate

    from .gate_item import GateItem

# Seconds after which a worker looks again before it relies on what it saw.
UNSEEN_SECONDS = 2.0


class Pausing:
    """The pause, as one worker sees it.

    Parameters
    ----------
    item : GateItem
        The gate's item, which all workers see.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(self, item: GateItem, *, clock: Callable[[], float]) -> None:
        self._item = item
        self._clock = clock

    @property
    def pause(self) -> Pause | None:
        """The pause that lasts, as far as this worker knows."""
        text = self._item.get(PAUSED)
        pause = Pause.parse(text) if text else None
        return pause if pause and pause.until > self._clock() else None

    def is_unseen(self, *, after: float = 0.0) -> bool:
        """Return whether this worker's last look is too old, or will be after some more seconds."""
        return self._item.untried_for + after >= UNSEEN_SECONDS

    @property
    def is_in_doubt(self) -> bool:
        """Whether a pause lasted when this worker last saw the item, and that is too long ago to rely on."""
        return self.pause is not None and self._item.unseen_for >= UNSEEN_SECONDS

    def check(self) -> None:
        """Refuse while a pause lasts and that is not in doubt.

        Raises
        ------
        PausedError
            With the reason, and the time when to try again.
        """
        if not self.is_in_doubt:
            self.hold_back()

    def hold_back(self) -> None:
        """Refuse while a pause lasts, as far as this worker knows.

        Raises
        ------
        PausedError
            With the reason, and the time when to try again.
        """
        if pause := self.pause:
            raise PausedError(pause, self._clock())

    def begin(self, update: ConditionalUpdate) -> None:
        """Make a reservation depend on there being no pause, and let it remove one that is over.

        Parameters
        ----------
        update : ConditionalUpdate
            The reservation.

        Raises
        ------
        PausedError
            While a pause lasts.
        """
        if self.pause and self.is_unseen():
            self._item.learn(self._item.look())
        self.check()
        if self.is_in_doubt:
            # The write finds out whether it still lasts.
            update.require(update.absent(PAUSED))
            return
        text = self._item.get(PAUSED)
        update.require(update.equal(PAUSED, text))
        if text:
            update.remove(PAUSED)
