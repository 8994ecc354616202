"""Pausing for an operator, as one worker heeds it.

A pause stands in the gate's item beside what closes the gate, so that no query's end changes it. Each reservation is
written on condition that there is none. What was reserved before is held back too: a worker that has not seen the item
for a while looks at it before it lets a query go. That look is also all there is where no limit is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import PausedError
from .pause import PAUSED, Pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from cube_sms.platform import ConditionalUpdate

    from .gate_item import GateItem

# Seconds after which a worker looks again before it goes by what it saw.
UNSEEN_SECONDS = 2.0


class Pausing:
    """The pause, as one worker sees it.

    Parameters
    ----------
    item : GateItem
        Where everybody sees it.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(self, item: GateItem, *, clock: Callable[[], float]) -> None:
        self._item = item
        self._clock = clock

    @property
    def pause(self) -> Pause | None:
        """The one that lasts, as far as this worker knows."""
        text = self._item.get(PAUSED)
        pause = Pause.parse(text) if text else None
        return pause if pause and pause.until > self._clock() else None

    def is_unseen(self, *, after: float = 0.0) -> bool:
        """Whether it is too long ago that this worker has looked, or will be after so many seconds."""
        return self._item.untried_for + after >= UNSEEN_SECONDS

    @property
    def is_in_doubt(self) -> bool:
        """Whether one lasted when this worker last saw the item, which is too long ago to go by."""
        return self.pause is not None and self._item.unseen_for >= UNSEEN_SECONDS

    def check(self) -> None:
        """Refuse while a pause lasts beyond doubt.

        Raises
        ------
        PausedError
            With the reason, and when to try again.
        """
        if not self.is_in_doubt:
            self.hold_back()

    def hold_back(self) -> None:
        """Refuse while a pause lasts, as far as this worker knows.

        Raises
        ------
        PausedError
            With the reason, and when to try again.
        """
        if pause := self.pause:
            raise PausedError(pause, self._clock())

    def begin(self, update: ConditionalUpdate) -> None:
        """Make a reservation depend on there being no pause, and have it remove one that is over.

        Parameters
        ----------
        update : ConditionalUpdate
            The reservation.

        Raises
        ------
        PausedError
            While one lasts.
        """
        if self.pause and self.is_unseen():
            self._item.learn(self._item.look())
        self.check()
        if self.is_in_doubt:
            # The write finds out.
            update.require(update.absent(PAUSED))
            return
        text = self._item.get(PAUSED)
        update.require(update.equal(PAUSED, text))
        if text:
            update.remove(PAUSED)
