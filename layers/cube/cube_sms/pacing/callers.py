"""Callers of the API that wait for a lane, and workers with bulk messages that leave them one.

Under load every lane has an owner, which uses it again as soon as a second has passed. So a caller writes into the
gate's item that it waits. Workers read this between bulk messages. The first one that sees it leaves the lane of its
next slot. No query has left in that lane for a second, so that the caller may use it at once, whatever its clock says.
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

# A caller asks if it would otherwise wait for longer than this. It looks again after each pause, this many times at
# most.
SOON_SECONDS = 0.1
ASK_PAUSE = 0.06
MOST_ASKS = 13

# Seconds for which a caller counts as waiting after it has asked.
ASKED_SECONDS = 1.0

# The least seconds between two looks of a worker. It looks once for a message at most.
LOOK_SECONDS = 0.1

# A worker looks this long before the slot of its message. A look takes less time, and ends before the slot.
LOOK_AHEAD = 0.03


class Callers:
    """Callers of the API, as one worker sees them.

    Parameters
    ----------
    item : GateItem
        The gate's item, in which they ask.
    clock : Callable[[], float]
        Seconds since the epoch.
    ticks : Callable[[], float]
        Seconds on a clock that is never set.
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
        """Ask for a lane if the caller would wait for so many seconds, and return whether to look again."""
        if seconds <= SOON_SECONDS or self._asks >= MOST_ASKS:
            return False
        if not self._asks:
            self._mark = str(Lane(self._clock() + ASKED_SECONDS, name))
        self._asks += 1
        asked = self._item.get(WANTED)
        update = ConditionalUpdate()
        # If a worker has left a lane, the write is refused and shows it.
        update.require(update.equal(WANTED, asked))
        # An earlier caller's request stays as it is: the worker that leaves a lane compares it with what it has seen.
        update.set(WANTED, asked if asked and self._is_valid(asked) else self._mark)
        self._item.write(update)
        return True

    def thank(self, update: ConditionalUpdate) -> None:
        """Let a reservation remove this caller's request."""
        if self._asks and self._item.get(WANTED) == self._mark:
            update.remove(WANTED)

    def served(self) -> None:
        """Forget the requests: the next message may make its own."""
        self._asks = 0

    @property
    def is_unseen(self) -> bool:
        """Whether the last look for a caller is old enough for another one, which is a read."""
        return self._ticks() - self._looked_at >= LOOK_SECONDS

    def looked(self, found: Mapping[str, str] | None, *, began_at: float) -> None:
        """Learn from a look at the item.

        Parameters
        ----------
        found : Mapping[str, str] or None
            What the look has found; None if DynamoDB is unavailable.
        began_at : float
            The ticks at which it began. A look that took long is an old one.
        """
        self._seen, self._looked_at = (found or {}).get(WANTED), began_at

    @property
    def is_waiting(self) -> bool:
        """Whether a caller waits, as far as this worker knows."""
        return self._seen is not None and self._is_valid(self._seen)

    def passed_by(self) -> None:
        """Forget a caller that this worker has no lane for."""
        self._seen = None

    def leave(self, index: int, text: str) -> bool:
        """Leave a lane to the caller that asks, and return whether the lane may be gone.

        Parameters
        ----------
        index : int
            Which lane. For a second no query has left in it, and none is under way.
        text : str
            The lane's text in the item, with this worker as the owner.
        """
        update = ConditionalUpdate()
        update.require(update.equal(WANTED, self._seen))
        update.require(update.equal(lane_name(index), text))
        update.set(lane_name(index), str(Lane(0.0, Lane.parse(text).owner)))
        update.remove(WANTED)
        self._seen = None
        # A repeated write may be refused although the first one succeeded. The lane's text has then changed.
        return self._item.write(update) or self._item.get(lane_name(index)) != text

    def _is_valid(self, asked: str) -> bool:
        return self._clock() < Lane.parse(asked).free_at < self._clock() + 2 * ASKED_SECONDS
