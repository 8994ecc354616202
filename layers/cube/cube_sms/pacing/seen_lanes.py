"""The lanes as one worker last saw them, in case an operator removes some from the gate's item."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .gate_item import lane_name
from .lanes import UNSEEN_SECONDS, Lane

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .gate_item import GateItem

# Seconds for which a worker leaves others' lanes alone after an operator has removed them from the item. Others still
# use what they had reserved, and usually finish a batch in this time.
LOST_SECONDS = 30.0


class SeenLanes:
    """The lanes, as far as this worker knows them.

    Parameters
    ----------
    item : GateItem
        The gate's item, which has them.
    count : int
        How many there are.
    """

    def __init__(self, item: GateItem, count: int) -> None:
        self._item = item
        self._count = count
        self._seen: dict[int, Lane] = {}

    def look(self, name: str, own: Mapping[int, str], now: float) -> list[Lane]:
        """Return all lanes.

        Parameters
        ----------
        name : str
            This worker's name.
        own : Mapping[int, str]
            The text in the item of each lane of this worker.
        now : float
            Seconds since the epoch.

        Returns
        -------
        list[Lane]
            The lanes. A lane in doubt counts as another worker's.
        """
        self._leave_lost_ones_alone(name, now)
        return [self._lane(index, name, own.get(index)) for index in range(self._count)]

    def _lane(self, index: int, name: str, own: str | None) -> Lane:
        text = self._item.get(lane_name(index))
        if text is None:
            return self._seen.get(index, Lane())
        lane = self._seen[index] = Lane.parse(text)
        if lane.owner == name and own != text:
            # The text is from a write that this worker took for a failed one.
            return lane._replace(owner=f"{name}?")
        return lane

    def _leave_lost_ones_alone(self, name: str, now: float) -> None:
        """Look for lanes that an operator has removed from the item, and leave alone those that others may have.

        Another worker may have taken a lane since this one last saw it. Its own lanes this worker knows.
        """
        missing = [index for index in range(self._count) if self._item.get(lane_name(index)) is None]
        if not any(index in self._seen and self._seen[index].owner for index in missing):
            return
        for index in missing:
            lane = self._seen.get(index, Lane())
            is_left_alone = index in self._seen and not lane.owner
            is_held = lane.owner == name and lane.free_at >= now
            if not is_left_alone and not is_held:
                # Its own lanes are less likely to have another owner now.
                seconds = UNSEEN_SECONDS if lane.owner == name else LOST_SECONDS
                self._seen[index] = Lane(max(lane.free_at, now + seconds))
