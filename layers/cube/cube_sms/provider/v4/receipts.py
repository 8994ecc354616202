"""The list of messages to a SIM (MT), as far as it is read.

The provider's page names the fields of an item. It does not say under which name a page has its items: they are the one
list that there is.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.provider.answers import Envelope, once, read_members
from cube_sms.provider.base import Receipt

if TYPE_CHECKING:
    from cube_sms.request import MessageType

# Answers of 64 KiB are read: a text of 140 characters is 840 bytes of JSON at most.
PAGE_SIZE = 40

_TYPES: dict[object, MessageType] = {1: "Text", 2: "Binary"}
_IS_DELIVERED = {1: True, 2: False, 3: None}


class Item(NamedTuple):
    """A message of the list.

    Parameters
    ----------
    receipt : Receipt
        What it says, without the words for why.
    error : Envelope
        These words, which may quote the message.
    """

    receipt: Receipt
    error: Envelope


class Items(NamedTuple):
    """A page of the list.

    Parameters
    ----------
    read : tuple of Item
        The messages that can be read.
    listed, total : int
        How many messages the page has, and all pages together.
    """

    read: tuple[Item, ...]
    listed: int
    total: int


def read_items(body: bytes) -> Items | None:
    """Return a page of the list, if it is legible.

    Parameters
    ----------
    body : bytes
        The body of an answer that says yes.

    Returns
    -------
    Items or None
        None for anything else. A message that lacks something is left out.

    Examples
    --------
    >>> page = read_items(
    ...     b'{"data":{"total_count":1,"list":[{"sim_id":"8931","sent_at":"2027-01-15T08:00:00Z","status":1,'
    ...     b'"content":{"type":1,"message":"Hello"}}]}}'
    ... )
    >>> page.total, page.read[0].receipt.text, page.read[0].receipt.is_delivered
    (1, 'Hello', True)
    """
    members = read_members(body)
    data = dict(members or ()).get("data")
    if not isinstance(data, tuple) or not once(data, "total_count"):
        return None
    total = dict(data)["total_count"]
    lists = [value for _, value in data if isinstance(value, list)]
    if not isinstance(total, float) or not total.is_integer() or total < 0 or len(lists) != 1:
        return None
    (items,) = lists
    return Items(tuple(item for each in items if (item := _item(each))), len(items), int(total))


def _item(told: Any) -> Item | None:
    if not isinstance(told, tuple):
        return None
    item = dict(told)
    content = dict(item["content"]) if isinstance(item.get("content"), tuple) else {}
    error = dict(item["error"]) if isinstance(item.get("error"), tuple) else {}
    sent_at, status, text = _seconds(item.get("sent_at")), item.get("status"), content.get("message")
    kind = _TYPES.get(content.get("type"))
    if sent_at is None or kind is None or status not in _IS_DELIVERED or not isinstance(text, str):
        return None
    code, message = (value if isinstance(value := error.get(name), str) else "" for name in ("code", "message"))
    return Item(Receipt(sent_at, kind, text, _IS_DELIVERED[status]), Envelope(code, False, True, message or None))


def _seconds(text: object) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
        # Without an offset it is taken for UTC, as all other times of the provider are.
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
