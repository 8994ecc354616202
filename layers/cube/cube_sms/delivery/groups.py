"""Which messages share a query, and how many may."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from cube_sms.platform import Obstacle

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from cube_sms.provider import AnyProvider, CredentialStore
    from cube_sms.request import SendRequest


class Share(NamedTuple):
    """The messages with which a message may share a query.

    Parameters
    ----------
    key : Hashable
        Messages with the same key may share a query.
    device : str
        The device that receives the message. A query takes a device once.
    most : int
        The most messages of one query.
    """

    key: Hashable
    device: str
    most: int


def most_together(provider: AnyProvider, credentials: CredentialStore, account: str) -> int:
    """Return how many messages of an account can share a query.

    Parameters
    ----------
    provider : Provider
        The provider.
    credentials : CredentialStore
        The accounts' credentials.
    account : str
        The account.

    Returns
    -------
    int
        1 if its credentials are not known.
    """
    try:
        return provider.most_recipients(credentials.get(account))
    except Obstacle:
        # Each message gets this error itself, when it is sent.
        return 1


def share_of(request: SendRequest, most: int) -> Share | None:
    """Return with which messages a request may share a query.

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
    """Group the items of sequences that begin alike: their first items share a query, then the second ones.

    Parameters
    ----------
    sequences : sequence of sequence of Item
        The items of a sequence are sent one after the other.
    share : Callable[[Item], Share | None]
        With which items an item may share a query; None if it goes alone.

    Returns
    -------
    list of list of list of Item
        For each set of sequences, the groups that are sent one after the other. Each item is in one group, behind the
        items that it followed. A device is in a group once.

    Examples
    --------
    >>> def share(item):
    ...     return Share(item[1:], item[0], 100)
    >>> group_turns([["aX", "aY"], ["bX"], ["cX", "cY"], ["dY"]], share)
    [[['aX', 'bX', 'cX'], ['aY', 'cY']], [['dY']]]
    """
    turns: list[list[list[Item]]] = []
    # Sets of sequences that have room, by the key of their first items.
    open_turns: dict[Hashable, list[_Turn[Item]]] = {}
    for sequence in sequences:
        shares = [found for item in sequence if (found := share(item))]
        if len(shares) < len(sequence):
            turns.append([[item] for item in sequence])
            continue
        alike = open_turns.setdefault(shares[0].key, [])
        turn = next((turn for turn in alike if turn.takes(shares)), None)
        if turn is None:
            turn = _Turn([], [], set())
            alike.append(turn)
            turns.append(turn.groups)
        turn.add(sequence, shares)
        # The first group is the largest.
        if len(turn.groups[0]) >= shares[0].most:
            alike.remove(turn)
    return turns


class _Turn[Item](NamedTuple):
    """Groups that are sent one after the other, the key of each, and the devices in each."""

    groups: list[list[Item]]
    keys: list[Hashable]
    devices: set[tuple[int, str]]

    def takes(self, shares: Sequence[Share]) -> bool:
        """Return whether a sequence may join those that are in the groups."""
        is_alike = all(key == share.key for key, share in zip(self.keys, shares, strict=False))
        return is_alike and self.devices.isdisjoint(_devices(shares))

    def add(self, sequence: Sequence[Item], shares: Sequence[Share]) -> None:
        """Add a sequence to the groups."""
        for place, (item, share) in enumerate(zip(sequence, shares, strict=True)):
            if place == len(self.groups):
                self.groups.append([])
                self.keys.append(share.key)
            self.groups[place].append(item)
        self.devices.update(_devices(shares))


def _devices(shares: Sequence[Share]) -> list[tuple[int, str]]:
    return [(place, share.device) for place, share in enumerate(shares)]
