"""When the receipt of a message is asked for, and how a receipt is matched to its message."""

from __future__ import annotations

import hashlib
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cube_sms.request import MessageType

MINUTE = 60.0
HOUR = 60 * MINUTE

# A device that can be reached has a message within seconds. One that cannot may be off for days.
PAUSES = (30.0, MINUTE, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR)
"""Seconds from when a message was sent to the first look, and from each look to the next one. The last one repeats."""

_LOOKS = tuple(accumulate(PAUSES))


def next_look(sent_at: float, now: float) -> float:
    """Return when the receipt of a message is asked for next.

    It depends only on the message's age. If a look is late, those after it keep their times.

    Parameters
    ----------
    sent_at : float
        Seconds since the epoch at which the provider accepted the message.
    now : float
        Seconds since the epoch.

    Returns
    -------
    float
        Seconds since the epoch, later than now.

    Examples
    --------
    >>> [next_look(0.0, now) for now in (0.0, 30.0, 100.0, 86_400.0)]
    [30.0, 90.0, 210.0, 104010.0]
    """
    age = now - sent_at
    for look in _LOOKS:
        if look > age:
            return sent_at + look
    last, pause = _LOOKS[-1], PAUSES[-1]
    return sent_at + last + pause * ((age - last) // pause + 1)


def content_hash(message_type: MessageType, text: str) -> str:
    """Return a hash that identifies a content and does not show it.

    Parameters
    ----------
    message_type : {"Text", "Binary"}
        Its type.
    text : str
        The text, or hexadecimal digits in either case.

    Returns
    -------
    str
        SHA-256 in hexadecimal digits.
    """
    # The provider may return the digits in another case.
    content = text.upper() if message_type == "Binary" else text
    return hashlib.sha256(f"{message_type}\n{content}".encode(errors="surrogatepass")).hexdigest()
