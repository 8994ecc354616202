"""What the stream of the table says of a write."""

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
    """What the stream of the table says of one write.

    Parameters
    ----------
    now : Record, Refusal or None
        The item after the write; None if it is neither, or has been deleted.
    before : Record or None
        The record before the write; None if there was none, or it could not be read.
    """

    now: Record | Refusal | None
    before: Record | None = None


def read_change(change: Mapping[str, Any]) -> Change:
    """Return what a record of the table's stream says.

    Parameters
    ----------
    change : Mapping[str, Any]
        The record as Lambda gives it, with the new image and the old one.

    Returns
    -------
    Change
        The write.

    Raises
    ------
    SpoiledRecordError
        If the item after the write cannot be read.
    """
    item, before = (change["dynamodb"].get(image, {}) for image in ("NewImage", "OldImage"))
    now = read_item(item) if item else None
    return Change(now, _read_old(before) if isinstance(now, Record) else None)


def change_to(item: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return the record that the stream would have if an item had been written just now.

    Parameters
    ----------
    item : Mapping[str, Any]
        The item, in DynamoDB's types.
    number : int
        The number of the record in the stream.

    Returns
    -------
    dict
        The record, with what `read_change` and the publisher need.
    """
    return {"dynamodb": {"SequenceNumber": str(number), "Keys": key_to(key_of(item)), "NewImage": item}}


def _read_old(item: Mapping[str, Any]) -> Record | None:
    try:
        return read_record(item) if item else None
    except SpoiledRecordError:
        return None
