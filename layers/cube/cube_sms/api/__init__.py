"""The input over HTTP: the calls of the API."""

from __future__ import annotations

from .events import request_of
from .history import HistoryApi
from .messages import PATIENCE, Deleted, MessagesApi, Posted
from .report import report_deleted, report_posted

__all__ = [
    "PATIENCE",
    "Deleted",
    "HistoryApi",
    "MessagesApi",
    "Posted",
    "report_deleted",
    "report_posted",
    "request_of",
]
