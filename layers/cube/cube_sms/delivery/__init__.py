"""Sending a message, and the record of its outcome."""

from __future__ import annotations

from .asks import CLOCK_TOLERANCE, RECEIVED, WAITING_KEY, Asks, Device, Meeting, Received, ReplyTaker, Taken, tell_tasks
from .backoff import put_back_spread, retry_delay
from .errors import RequestConflictError, SpoiledRecordError
from .groups import Share, group_turns, most_together, share_of
from .looks import content_hash, next_look
from .outcome import Outcome
from .records import (
    MOST_PER_PAGE,
    RECEIPT_KEY,
    Cancellation,
    Change,
    Entry,
    FollowedRecords,
    KeptReply,
    Record,
    RecordStore,
    RecordTable,
    Refusal,
    ReplyRecords,
    WaitingRecords,
    device_history,
    entry_members,
    is_place,
    read_change,
)
from .report import identity, report_cancelled, report_paced, report_sent
from .sending import Message, Sender
from .states import State

__all__ = [
    "CLOCK_TOLERANCE",
    "MOST_PER_PAGE",
    "RECEIPT_KEY",
    "RECEIVED",
    "WAITING_KEY",
    "Asks",
    "Cancellation",
    "Change",
    "Device",
    "Entry",
    "FollowedRecords",
    "KeptReply",
    "Meeting",
    "Message",
    "Outcome",
    "Received",
    "Record",
    "RecordStore",
    "RecordTable",
    "Refusal",
    "ReplyRecords",
    "ReplyTaker",
    "RequestConflictError",
    "Sender",
    "Share",
    "SpoiledRecordError",
    "State",
    "Taken",
    "WaitingRecords",
    "content_hash",
    "device_history",
    "entry_members",
    "group_turns",
    "identity",
    "is_place",
    "most_together",
    "next_look",
    "put_back_spread",
    "read_change",
    "report_cancelled",
    "report_paced",
    "report_sent",
    "retry_delay",
    "share_of",
    "tell_tasks",
]
