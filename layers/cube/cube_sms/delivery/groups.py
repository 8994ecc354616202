"""Which messages share a query: a pure partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from cube_sms.request import SendRequest


class Share(NamedTuple):
    """With whom a message may share a query.

    Parameters
    ----------
    key : Hashable
        Messages share one if they have the same.
    device : str
        Where the message goes. A query takes a device once.
    most : int
        The most messages of one query.
    """

    key: Hashable
    device: str
    most: int


def share_of(request: SendRequest, most: int) -> Share | None:
    """Return with whom a request may share a query.

    Parameters
    ----------
    request : SendRequest
        The request.
    most : int
        The most messages of one query to its account.

    Returns
    -------
    Share or None
        None if it goes alone.
    """
    if most == 1:
        return None
    content = request.content or msgspec.json.encode(request.sms_content_list)
    key = (request.account, request.message_type, content, request.delivery, request.priority)
    return Share(key, request.device_id, most)


def group_turns[Item](
    sequences: Sequence[Sequence[Item]], share: Callable[[Item], Share | None]
) -> list[list[list[Item]]]:
    """Let sequences go side by side that are alike: of each the first items share a query, then the second ones.

    Parameters
    ----------
    sequences : sequence of sequence of Item
        Items of a sequence go one after the other.
    share : Callable[[Item], Share | None]
        With whom an item may share a query; None if it goes alone.

    Returns
    -------
    list of list of list of Item
        Turns: groups that go one after the other. Each item is in one group, and behind those that it followed. No
        device is twice in a group.

    Examples
    --------
    >>> def share(item):
    ...     return Share(item[1:], item[0], 100)
    >>> group_turns([["aX", "aY"], ["bX", "bY"], ["cX"]], share)
    [[['aX', 'bX'], ['aY', 'bY']], [['cX']]]
    """
    turns: list[list[list[Item]]] = []
    # Turns that have room, by what they send; and the devices of each of their groups.
    open_turns: dict[tuple[Hashable, ...], list[_OpenTurn[Item]]] = {}
    for sequence in sequences:
        shares = [found for item in sequence if (found := share(item))]
        if len(shares) < len(sequence):
            turns.append([[item] for item in sequence])
            continue
        devices = {(place, found.device) for place, found in enumerate(shares)}
        alike = open_turns.setdefault(tuple(found.key for found in shares), [])
        turn = next((turn for turn in alike if not turn.devices & devices), None)
        if turn is None:
            turn = _OpenTurn([[] for _ in sequence], set())
            alike.append(turn)
            turns.append(turn.groups)
        for group, item in zip(turn.groups, sequence, strict=True):
            group.append(item)
        turn.devices.update(devices)
        if len(turn.groups[0]) >= min(found.most for found in shares):
            alike.remove(turn)
    return turns


class _OpenTurn[Item](NamedTuple):
    groups: list[list[Item]]
    devices: set[tuple[int, str]]
