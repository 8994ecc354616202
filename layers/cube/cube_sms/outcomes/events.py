"""Outcome events: what the stream of the table of records tells, and how EventBridge puts it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cube_sms.delivery import REFUSED_KEY, SpoiledRecordError, read_record, read_refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cube_sms.delivery import Record

SOURCE = "cube-sms"


@dataclass(frozen=True, slots=True)
class Ended:
    """A message that has ended, or a request that was not accepted.

    Parameters
    ----------
    outcome : str
        The state in one word such as ``Sent``, or why the request was not accepted, such as ``Conflict``.
    detail : dict
        What there is to tell: the detail of the event, and the answer to a task.
    is_news : bool
        Whether it is an event. Otherwise it is for the tasks alone.
    task_tokens : frozenset of str
        Of the Step Functions tasks that wait for it.
    """

    outcome: str
    detail: dict[str, Any]
    is_news: bool
    task_tokens: frozenset[str] = field(repr=False)

    @property
    def detail_type(self) -> str:
        """What EventBridge calls the event."""
        return f"SMS {self.outcome}"


def read_change(change: Mapping[str, Any]) -> Ended | None:
    """Return what a record of the table's stream tells of a message's end.

    Parameters
    ----------
    change : Mapping[str, Any]
        The record as Lambda gives it, with the new image and the old one.

    Returns
    -------
    Ended or None
        None where nothing has ended.

    Raises
    ------
    SpoiledRecordError
        If somebody has changed the item so that it cannot be read. When it is mended, that change tells of the end.
    """
    key = change["dynamodb"]["Keys"]["messageId"]["S"]
    item, before = (change["dynamodb"].get(image, {}) for image in ("NewImage", "OldImage"))
    if key.startswith(REFUSED_KEY) and item:
        refusal = read_refusal(item)
        tokens = frozenset(item.get("taskTokens", {}).get("SS", ()))
        return Ended(refusal.reason, {"requestId": key.removeprefix(REFUSED_KEY), **refusal._asdict()}, False, tokens)
    if "state" not in item:
        return None
    record = read_record(item)
    if not record.state.is_final:
        return None
    told = _told_by(before)
    # A claim ends once. What comes after it in the same state is one more task that asks.
    is_news = told is None or (told.owner, told.state) != (record.owner, record.state)
    answered = frozenset() if is_news or not told else told.task_tokens
    return Ended(record.state.title(), detail_of(record), is_news, record.task_tokens - answered)


def _told_by(before: Mapping[str, Any]) -> Record | None:
    """Return the record that there was before; None for one that could not be read, and so not be told."""
    try:
        return read_record(before) if before else None
    except SpoiledRecordError:
        return None


def detail_of(record: Record) -> dict[str, Any]:
    """Return the detail of the event that tells of a message's end.

    Parameters
    ----------
    record : Record
        Its record, in a final state.

    Returns
    -------
    dict
        The members. ``eventId`` is the end's own: the same however often the event is delivered, and another one where
        a message that had failed or was rejected is put back and ends once more.
    """
    # Every claim has an owner of its own, and ends once.
    event_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{record.message_id} {record.owner}"))
    return {"eventId": event_id, "messageId": record.message_id, **record.members}
