"""The lists of messages to a SIM (MT) and from it (MO), as far as they are read.

The provider's pages name the fields of an item. They do not say under which name a page has its items: they are the one
list that there is.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.provider.answers import Envelope, once, read_members
from cube_sms.provider.base import Heard, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable

    from cube_sms.request import MessageType

# Answers of 64 KiB are read: a text of 140 characters is 840 bytes of JSON at most.
PAGE_SIZE = 40

# Milliseconds from 2001 to 2100: seconds are none, and no time is beyond what a date can be.
_EARLIEST, _LATEST = 10**12, 4_102_444_800_000

_TYPES: dict[object, MessageType] = {1: "Text", 2: "Binary"}
_IS_DELIVERED = {1: True, 2: False, 3: None}


class ReceiptItem(NamedTuple):
    """A message of the list of those to a SIM.

    Parameters
    ----------
    receipt : Receipt
        What it says, without the words for why.
    error : Envelope
        These words, which may quote the message.
    """

    receipt: Receipt
    error: Envelope


class Items[Item](NamedTuple):
    """A page of a list.

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


def read_items[Item](body: bytes, read: Callable[[Any], Item | None]) -> Items[Item] | None:
    """Return a page of a list, if it is legible.

    Parameters
    ----------
    body : bytes
        The body of an answer that says yes.
    read : Callable
        Reads one item.

    Returns
    -------
    Items or None
        None for anything else. A message that lacks something is left out.

    Examples
    --------
    >>> page = read_items(
    ...     b'{"data":{"total_count":1,"list":[{"sim_id":"8931","sent_at":"2027-01-15T08:00:00Z","status":1,'
    ...     b'"content":{"type":1,"message":"Hello"}}]}}',
    ...     read_receipt,
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
    return Items(tuple(item for each in items if (item := read(each))), len(items), int(total))


def read_receipt(told: Any) -> ReceiptItem | None:
    """Return an item of the list of messages to a SIM; None if it lacks something."""
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
    receipt = Receipt(sent_at, kind, text, _IS_DELIVERED[status])
    return ReceiptItem(receipt, Envelope(code, False, True, message or None))


def read_heard(told: Any) -> Heard | None:
    """Return an item of the list of messages from a SIM; None if it lacks something."""
    if not isinstance(told, tuple):
        return None
    item = dict(told)
    message = dict(item["message"]) if isinstance(item.get("message"), tuple) else {}
    at, kind, text = item.get("received_at"), _TYPES.get(message.get("type")), message.get("content")
    if not isinstance(at, float) or not at.is_integer() or kind is None or not isinstance(text, str):
        return None
    return Heard(int(at), kind, text) if _EARLIEST <= at < _LATEST else None


def _seconds(text: object) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
        # Without an offset it is taken for UTC, as all other times of the provider are.
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
