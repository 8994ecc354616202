"""Rules for the content of a message, in one place for both forms it can be given in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cube_sms.platform import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTENT_FIELD = "smsTemplateContent"
ITEM_FIELDS = (CONTENT_FIELD, "smsType", "smsNum")
# The most items of `smsContentList`.
MAX_ITEMS = 10

# Of the fields of an item that are no content: far more than the provider's own, and within what a queue takes.
MAX_FIELD_LENGTH = 256

# The most hexadecimal digits of a binary message: 140 bytes.
MAX_BINARY_DIGITS = 280

# Unicode's control characters but \n, \r and \t: what the signature has no canonical form for.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

HALF_A_PAIR = "holds half of a surrogate pair (an emoji cut in two)"

# The longest name of an unknown field that an answer quotes.
MAX_NAME_LENGTH = 64


def holds_half_a_pair(text: str) -> bool:
    """Return whether a text holds half of a surrogate pair, which UTF-8 cannot express."""
    return bool(_SURROGATE.search(text))


def shown_name(name: str) -> str:
    """Return the name of an unknown field as a fault can show it.

    Examples
    --------
    >>> shown_name("colour"), shown_name(chr(0xD83D))
    ('colour', '?')
    """
    return _SURROGATE.sub("?", name[:MAX_NAME_LENGTH])


def text_faults(path: str, text: str, message_type: str | None, max_length: int) -> list[Fault]:
    """Return what is wrong with a text.

    Parameters
    ----------
    path : str
        Its place in the request.
    text : str
        The text.
    message_type : {"Text", "Binary"} or None
        What it should be; None where that is not known, and nothing can be said.
    max_length : int
        The most characters of a Text.

    Returns
    -------
    list[Fault]
        The faults, none where it is right.

    Examples
    --------
    >>> text_faults("content", "0A1", "Binary", 140)[0].message
    'must be an even number of hexadecimal digits, 2 to 280'
    """
    faults = []
    if message_type == "Binary" and (len(text) > MAX_BINARY_DIGITS or not _HEXADECIMAL.fullmatch(text)):
        faults.append(Fault(path, f"must be an even number of hexadecimal digits, 2 to {MAX_BINARY_DIGITS}"))
    if message_type == "Text" and not 1 <= len(text) <= max_length:
        faults.append(Fault(path, f"must have 1 to {max_length} characters, has {len(text)}"))
    if message_type == "Text" and _CONTROL.search(text):
        faults.append(Fault(path, "holds a control character other than line feed, carriage return and tab"))
    return faults


def item_faults(path: str, items: Sequence[object], message_type: str | None, max_length: int) -> list[Fault]:
    """Return what is wrong with the items of the provider's array.

    Parameters
    ----------
    path : str
        The array's place in the request.
    items : sequence of object
        The items, of whatever type.
    message_type, max_length
        As for `text_faults`.

    Returns
    -------
    list[Fault]
        The faults of every item.
    """
    faults = []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            faults.append(Fault(f"{path}[{index}]", "must be an object"))
            continue
        for name in {CONTENT_FIELD: None} | item:
            faults += _field_faults(
                f"{path}[{index}].{shown_name(name)}", name, item.get(name), message_type, max_length
            )
    return faults


def _field_faults(path: str, name: str, value: object, message_type: str | None, max_length: int) -> list[Fault]:
    if name not in ITEM_FIELDS:
        return [Fault(path, "is not a field of the provider's array")]
    if value is not None and not isinstance(value, str):
        return [Fault(path, "must be a string")]
    if value and holds_half_a_pair(value):
        return [Fault(path, HALF_A_PAIR)]
    if name == CONTENT_FIELD:
        return text_faults(path, value or "", message_type, max_length)
    if value and len(value) > MAX_FIELD_LENGTH:
        return [Fault(path, f"must have at most {MAX_FIELD_LENGTH} characters, has {len(value)}")]
    if value and _CONTROL.search(value):
        return [Fault(path, "holds a control character other than line feed, carriage return and tab")]
    return []
