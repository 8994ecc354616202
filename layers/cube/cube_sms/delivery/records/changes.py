"""What the stream of the table tells of a write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.delivery.errors import SpoiledRecordError
from cube_sms.platform import key_of, key_to

from .items import read_item, read_record
from .record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .record import Refusal


class Change(NamedTuple):
    """What the stream of the table tells of one write.

    Parameters
    ----------
    now : Record, Refusal or None
        What the write left; None where the item is neither, or has been deleted.
    before : Record or None
        The record that there was; None for none, and for one that could not be read.
    """

    now: Record | Refusal | None
    before: Record | None = None


def read_change(change: Mapping[str, Any]) -> Change:
    """Return what a record of the table's stream tells.

    Parameters
    ----------
    change : Mapping[str, Any]
        The record as Lambda gives it, with the new image and the old one.

    Returns
    -------
    Change
        What it tells.

    Raises
    ------
    SpoiledRecordError
        If what was written cannot be read.
    """
    item, before = (change["dynamodb"].get(image, {}) for image in ("NewImage", "OldImage"))
    now = read_item(item) if item else None
    return Change(now, _read_old(before) if isinstance(now, Record) else None)


def change_to(item: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return a record of the stream that tells of an item as if it had been written just now.

    Parameters
    ----------
    item : Mapping[str, Any]
        The item, in DynamoDB's types.
    number : int
        Where in the stream it stands.

    Returns
    -------
    dict
        The record, with what `read_change` and the publisher ask for.
    """
    return {"dynamodb": {"SequenceNumber": str(number), "Keys": key_to(key_of(item)), "NewImage": item}}


def _read_old(item: Mapping[str, Any]) -> Record | None:
    try:
        return read_record(item) if item else None
    except SpoiledRecordError:
        return None
