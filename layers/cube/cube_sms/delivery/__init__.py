"""Sending a message, and the record of what came of it."""

from __future__ import annotations

from .backoff import put_back_spread, retry_delay
from .errors import RequestConflictError, SpoiledRecordError
from .groups import Share, group_turns, most_together, share_of
from .outcome import Outcome
from .records import (
    MOST_PER_PAGE,
    Cancellation,
    Change,
    Record,
    RecordStore,
    RecordTable,
    Refusal,
    WaitingRecords,
    device_messages,
    read_change,
)
from .report import identity, report_cancelled, report_paced, report_sent
from .sending import Message, Sender
from .states import State

__all__ = [
    "MOST_PER_PAGE",
    "Cancellation",
    "Change",
    "Message",
    "Outcome",
    "Record",
    "RecordStore",
    "RecordTable",
    "Refusal",
    "RequestConflictError",
    "Sender",
    "Share",
    "SpoiledRecordError",
    "State",
    "WaitingRecords",
    "device_messages",
    "group_turns",
    "identity",
    "most_together",
    "put_back_spread",
    "read_change",
    "report_cancelled",
    "report_paced",
    "report_sent",
    "retry_delay",
    "share_of",
]
