"""Callers of the API who wait for a lane, and workers with bulk messages who leave them one.

Under load every lane has an owner that uses it again as soon as a second has passed. So a caller says in the gate's
item that it waits. Workers look for that between bulk messages, which costs a read, and the first that sees it gives up
the lane whose turn is next. Nothing has left there for a second: whoever sees the item after that may use the lane at
once, whatever its clock says.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from cube_sms.platform import ConditionalUpdate

from .gate_item import WANTED, lane_name
from .lanes import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .gate_item import GateItem

# A caller asks if it would wait for longer than this otherwise. It looks again after each pause, and gives up after so
# many.
SOON_SECONDS = 0.1
ASK_PAUSE = 0.06
MOST_ASKS = 13

# Seconds for which a caller that has asked is believed to wait.
ASKED_SECONDS = 1.0

# A worker looks no more often, and never more than once for a message.
LOOK_SECONDS = 0.1

# A look takes less than these seconds, and ends before the slot of its message has come.
LOOK_AHEAD = 0.03


class Callers:
    """Callers of the API, as one worker sees them.

    Parameters
    ----------
    item : GateItem
        Where they ask.
    clock : Callable[[], float]
        Seconds since the epoch.
    ticks : Callable[[], float]
        Seconds on a clock that nobody sets.
    """

    def __init__(self, item: GateItem, *, clock: Callable[[], float], ticks: Callable[[], float]) -> None:
        self._item = item
        self._clock = clock
        self._ticks = ticks
        self._asks = 0
        self._mark = ""
        self._looked_at = -inf
        self._seen: str | None = None

    def ask(self, name: str, seconds: float) -> bool:
        """Ask for a lane that comes sooner than in so many seconds, and return whether it is worth another look."""
        if seconds <= SOON_SECONDS or self._asks >= MOST_ASKS:
            return False
        if not self._asks:
            self._mark = str(Lane(self._clock() + ASKED_SECONDS, name))
        self._asks += 1
        asked = self._item.get(WANTED)
        update = ConditionalUpdate()
        # Where a lane has been left, the write is refused and shows it.
        update.require(update.equal(WANTED, asked))
        # It stays as it is while somebody waits: whoever leaves a lane for it has seen it some time before.
        update.set(WANTED, asked if asked and self._is_valid(asked) else self._mark)
        self._item.write(update)
        return True

    def thank(self, update: ConditionalUpdate) -> None:
        """Have a reservation tell that this caller waits no longer."""
        if self._asks and self._item.get(WANTED) == self._mark:
            update.remove(WANTED)

    def served(self) -> None:
        """Begin anew with the next message."""
        self._asks = 0

    @property
    def is_unseen(self) -> bool:
        """Whether it is worth a read to look whether one waits."""
        return self._ticks() - self._looked_at >= LOOK_SECONDS

    def looked(self, found: Mapping[str, str] | None, *, began_at: float) -> None:
        """Learn from a look at the item.

        Parameters
        ----------
        found : Mapping[str, str] or None
            What it has found; None if DynamoDB is away.
        began_at : float
            The ticks at which it began. A look that took long is an old one.
        """
        self._seen, self._looked_at = (found or {}).get(WANTED), began_at

    @property
    def is_waiting(self) -> bool:
        """Whether one waits, as far as this worker knows."""
        return self._seen is not None and self._is_valid(self._seen)

    def passed_by(self) -> None:
        """Forget one that this worker has no lane for."""
        self._seen = None

    def leave(self, index: int, text: str) -> bool:
        """Leave a lane to whoever asks, and return whether it may have gone.

        Parameters
        ----------
        index : int
            Which lane. No query may have left there for a second, and none may be under way.
        text : str
            How the item says that it is this worker's.
        """
        update = ConditionalUpdate()
        update.require(update.equal(WANTED, self._seen))
        update.require(update.equal(lane_name(index), text))
        update.set(lane_name(index), str(Lane(0.0, Lane.parse(text).owner)))
        update.remove(WANTED)
        self._seen = None
        # A write that was repeated may be refused, although it was made: its lane looks otherwise then.
        return self._item.write(update) or self._item.get(lane_name(index)) != text

    def _is_valid(self, asked: str) -> bool:
        return self._clock() < Lane.parse(asked).free_at < self._clock() + 2 * ASKED_SECONDS
