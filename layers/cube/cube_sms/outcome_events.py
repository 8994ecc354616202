"""Outcome events: what the stream of the table of records tells, and how EventBridge puts it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .records import REFUSED_KEY, read_record
from .states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .records import Record

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
    """
    key = change["dynamodb"]["Keys"]["messageId"]["S"]
    item, before = (change["dynamodb"].get(image, {}) for image in ("NewImage", "OldImage"))
    tokens = frozenset(item.get("taskTokens", {}).get("SS", ()))
    if key.startswith(REFUSED_KEY) and item:
        reason, detail = item["reason"]["S"], item["detail"]["S"]
        request_id = key.removeprefix(REFUSED_KEY)
        return Ended(reason, {"requestId": request_id, "reason": reason, "detail": detail}, False, tokens)
    if "state" not in item or not State(item["state"]["S"]).is_final:
        return None
    # A claim ends once. What comes after it in the same state is one more task that asks.
    is_news = any(item[name] != before.get(name) for name in ("owner", "state"))
    answered = frozenset() if is_news else frozenset(before.get("taskTokens", {}).get("SS", ()))
    record = read_record(item)
    return Ended(record.state.title(), detail_of(record), is_news, tokens - answered)


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
        a message that had failed is put back and ends once more.
    """
    # Every claim has an owner of its own, and ends once.
    event_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{record.message_id} {record.owner}"))
    return {"eventId": event_id, "messageId": record.message_id, **record.members}
