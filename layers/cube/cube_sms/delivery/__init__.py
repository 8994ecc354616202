"""Sending a message, and the record of what came of it."""

from __future__ import annotations

from .backoff import put_back_spread, retry_delay
from .errors import RequestConflictError, SpoiledRecordError
from .records import REFUSED_KEY, Record, hash_of, read_record, read_refusal
from .report import identity, report_paced, report_sent
from .sending import Outcome, Sender
from .states import State

__all__ = [
    "REFUSED_KEY",
    "Outcome",
    "Record",
    "RequestConflictError",
    "Sender",
    "SpoiledRecordError",
    "State",
    "hash_of",
    "identity",
    "put_back_spread",
    "read_record",
    "read_refusal",
    "report_paced",
    "report_sent",
    "retry_delay",
]
