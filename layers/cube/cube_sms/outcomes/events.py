"""Outcome events, made of the records of the table's stream."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cube_sms.delivery import Change, Record, Refusal, State, read_change

if TYPE_CHECKING:
    from collections.abc import Mapping


_BY_RECEIPT = {State.DELIVERED, State.UNDELIVERED}


@dataclass(frozen=True, slots=True)
class Ended:
    """A message that has ended, or a request that was not accepted.

    Parameters
    ----------
    outcome : str
        The state in one word such as ``Sent``, or why the request was not accepted, such as ``Conflict``.
    detail : dict
        The detail of the event, and the answer to a task.
    is_sent : bool
        Whether Cube has accepted the message: what a task waits for.
    is_news : bool
        Whether it is an event. Otherwise it is for the tasks alone.
    task_tokens : frozenset of str
        Of the Step Functions tasks that wait for it.
    await_reply : int, optional
        Seconds for which they wait for the device's reply, if the message was sent; None if they wait for the end
        alone.
    """

    outcome: str
    detail: dict[str, Any]
    is_sent: bool
    is_news: bool
    task_tokens: frozenset[str] = field(repr=False)
    await_reply: int | None = None

    @property
    def detail_type(self) -> str:
        """What EventBridge calls the event."""
        return f"SMS {self.outcome}"


def read_end(change: Mapping[str, Any]) -> Ended | None:
    """Return the end of a message that a record of the table's stream reports.

    Parameters
    ----------
    change : Mapping[str, Any]
        The record as Lambda gives it, with the new image and the old one.

    Returns
    -------
    Ended or None
        None if nothing has ended.

    Raises
    ------
    SpoiledRecordError
        If somebody has changed the item so that it cannot be read. When it is mended, that change reports the end.
    """
    match read_change(change):
        case Change(Refusal() as refusal):
            return Ended(refusal.reason, refusal.members, False, False, refusal.task_tokens)
        case Change(Record() as record, told) if record.state.is_final:
            # A claim ends once. What comes after it in the same state is one more task that asks. What was cancelled
            # may be cancelled once more, which is no news.
            is_news = (
                told is None
                or told.state is not record.state
                or (told.owner != record.owner and record.state is not State.CANCELLED)
            )
            # A receipt is no answer to tasks: they got theirs when the message was sent.
            answered = told.task_tokens if told and (told.state.is_sent or not is_news) else frozenset()
            tokens = record.task_tokens - answered
            return Ended(
                record.state.title(), detail_of(record), record.state.is_sent, is_news, tokens, record.await_reply
            )
    return None


def detail_of(record: Record) -> dict[str, Any]:
    """Return the detail of the event of a message's end.

    Parameters
    ----------
    record : Record
        Its record, in a final state.

    Returns
    -------
    dict
        The members. ``eventId`` belongs to the end, and is the same however often the event is delivered. A message
        that is redriven after it failed or was rejected ends once more, under another one.
    """
    # Every claim has an owner of its own, and ends once; what was sent ends once more, by its receipt.
    end = f"{record.message_id} {record.owner}" + (f" {record.state}" if record.state in _BY_RECEIPT else "")
    event_id = str(uuid.uuid5(uuid.NAMESPACE_OID, end))
    return {"eventId": event_id, "messageId": record.message_id, **record.members}
