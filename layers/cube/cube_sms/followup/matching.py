"""Whose receipt it is: the provider names no message, so that device, type, text and time have to tell."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from cube_sms.delivery import RECEIPT_KEY, content_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cube_sms.delivery import Record
    from cube_sms.provider import Receipt

TOLERANCE = 600.0
"""Seconds that a message may have been sent before its first POST, or after its answer, by the provider's clock.

The provider refuses a request from a clock that is further off.
"""


class Final(NamedTuple):
    """A receipt that says how a message ended.

    Parameters
    ----------
    key : str
        What says that it has been used: the key of an item. No two receipts that are there at the same time have one.
    content_hash : str
        What tells its content from another one.
    receipt : Receipt
        The receipt.
    """

    key: str
    content_hash: str
    receipt: Receipt


class Match(NamedTuple):
    """A message, and the receipt that is taken for its own."""

    record: Record
    final: Final


def sent_at(record: Record) -> float:
    """Return when the provider had accepted a message, in seconds since the epoch."""
    return _seconds(record.updated_at)


def window(record: Record) -> tuple[float, float]:
    """Return from when to when a message can have been sent, by the provider's clock."""
    return _seconds(record.begun_at or record.updated_at) - TOLERANCE, sent_at(record) + TOLERANCE


def final_receipts(account: str, device_id: str, receipts: Iterable[Receipt]) -> list[Final]:
    """Return the receipts of a device that say how a message ended, the oldest first.

    Of receipts that are alike in all that is known of them, each has a number. It does not matter which has which.

    Parameters
    ----------
    account, device_id : str
        Whose they are.
    receipts : iterable of Receipt
        All receipts of a time, in any order.

    Returns
    -------
    list of Final
        Those that are final.
    """
    alike: Counter[str] = Counter()
    found = []
    for receipt in sorted(receipts, key=lambda each: each.sent_at):
        if receipt.is_delivered is None:
            continue
        content = content_hash(receipt.message_type, receipt.text)
        told = f"{account}#{device_id}#{receipt.sent_at:.3f}#{content}#{'yes' if receipt.is_delivered else 'no'}"
        found.append(Final(f"{RECEIPT_KEY}{told}#{alike[told]}", content, receipt))
        alike[told] += 1
    return found


def match_receipts(records: Iterable[Record], receipts: Sequence[Final], used: set[str]) -> list[Match]:
    """Match messages of one device with receipts: the oldest first, and each with the oldest that can be its own.

    Parameters
    ----------
    records : iterable of Record
        The messages' records, each in `State.SENT`.
    receipts : sequence of Final
        The receipts, the oldest first.
    used : set of str
        The keys of those that have been used before.

    Returns
    -------
    list of Match
        Each message and each receipt at most once.
    """
    left = [final for final in receipts if final.key not in used]
    matches = []
    for record in sorted(records, key=lambda each: (each.begun_at or each.updated_at, each.message_id)):
        since, until = window(record)
        for final in left:
            if final.content_hash == record.content_hash and since <= final.receipt.sent_at <= until:
                left.remove(final)
                matches.append(Match(record, final))
                break
    return matches


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
