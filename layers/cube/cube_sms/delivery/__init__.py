"""Sending a message, and the record of what came of it."""

from __future__ import annotations

from .asks import RECEIVED, WAITING_KEY, Asks, Device, Meeting, Received, ReplyTaker, Taken, tell_tasks
from .backoff import put_back_spread, retry_delay
from .errors import RequestConflictError, SpoiledRecordError
from .groups import Share, group_turns, share_of
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
    "RECEIVED",
    "WAITING_KEY",
    "Asks",
    "Cancellation",
    "Change",
    "Device",
    "Meeting",
    "Message",
    "Outcome",
    "Received",
    "Record",
    "RecordStore",
    "RecordTable",
    "Refusal",
    "ReplyTaker",
    "RequestConflictError",
    "Sender",
    "Share",
    "SpoiledRecordError",
    "State",
    "Taken",
    "WaitingRecords",
    "device_messages",
    "group_turns",
    "identity",
    "put_back_spread",
    "read_change",
    "report_cancelled",
    "report_paced",
    "report_sent",
    "retry_delay",
    "share_of",
    "tell_tasks",
]
