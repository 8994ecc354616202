"""Records of messages in DynamoDB: what is kept of each, and who may post it now. Nothing else reads or writes them."""

from __future__ import annotations

from .changes import Change, change_to, read_change
from .followed import RECEIPT_KEY, FollowedRecords
from .history import MOST_PER_PAGE, Entry, Page, device_history, entry_members, is_place
from .items import REFUSED_KEY, read_item, read_record
from .record import KeptReply, Record, Refusal, hash_of
from .replies import ReplyRecords
from .store import Claim, RecordStore
from .table import RecordTable
from .transitions import TRANSITIONS
from .waiting import Cancellation, WaitingRecords

__all__ = [
    "MOST_PER_PAGE",
    "RECEIPT_KEY",
    "REFUSED_KEY",
    "TRANSITIONS",
    "Cancellation",
    "Change",
    "Claim",
    "Entry",
    "FollowedRecords",
    "KeptReply",
    "Page",
    "Record",
    "RecordStore",
    "RecordTable",
    "Refusal",
    "ReplyRecords",
    "WaitingRecords",
    "change_to",
    "device_history",
    "entry_members",
    "hash_of",
    "is_place",
    "read_change",
    "read_item",
    "read_record",
]
