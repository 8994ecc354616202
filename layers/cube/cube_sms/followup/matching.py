"""Match receipts with messages by device, type, text and time, since the provider's list has no message ids."""

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
"""Seconds before the first POST, and after its answer, in which a receipt still fits by the provider's clock.

The provider refuses requests if the clocks differ by more.
"""


class Final(NamedTuple):
    """A receipt with a final state.

    Parameters
    ----------
    key : str
        Key of the item that marks it as used. It is unique among the receipts of a list.
    content_hash : str
        Hash of its content, to compare it with a record's.
    receipt : Receipt
        The receipt.
    """

    key: str
    content_hash: str
    receipt: Receipt


class Match(NamedTuple):
    """A message, and the receipt that it takes."""

    record: Record
    final: Final


def sent_at(record: Record) -> float:
    """Return when the provider accepted a message, in seconds since the epoch."""
    return _seconds(record.updated_at)


def window(record: Record) -> tuple[float, float]:
    """Return the first and the last moment at which a message can have been sent, by the provider's clock."""
    return _seconds(record.begun_at or record.updated_at) - TOLERANCE, sent_at(record) + TOLERANCE


def final_receipts(account: str, device_id: str, receipts: Iterable[Receipt]) -> list[Final]:
    """Return the receipts of a device with a final state, the oldest first.

    Receipts that are equal in all members get a number each, in any order.

    Parameters
    ----------
    account, device_id : str
        The account and the device.
    receipts : iterable of Receipt
        All receipts of a period, in any order.

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
    """Match messages of one device with receipts: the oldest message first, each with the oldest receipt that fits.

    Parameters
    ----------
    records : iterable of Record
        The messages' records, each in `State.SENT`.
    receipts : sequence of Final
        The receipts, the oldest first.
    used : set of str
        Keys of the receipts that earlier runs have used.

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
