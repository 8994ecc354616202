"""Records of messages in DynamoDB: what is kept of each, and who may post it now. Nothing else reads or writes them."""

from __future__ import annotations

from .changes import Change, change_to, read_change
from .items import REFUSED_KEY, read_item, read_record
from .record import Record, Refusal, hash_of
from .store import Claim, RecordStore
from .table import RecordTable
from .waiting import Cancellation, WaitingRecords

__all__ = [
    "REFUSED_KEY",
    "Cancellation",
    "Change",
    "Claim",
    "Record",
    "RecordStore",
    "RecordTable",
    "Refusal",
    "WaitingRecords",
    "change_to",
    "hash_of",
    "read_change",
    "read_item",
    "read_record",
]
