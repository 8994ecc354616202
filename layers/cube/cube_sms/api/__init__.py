"""The way in over HTTP."""

from __future__ import annotations

from .events import body_of, header_of
from .messages import PATIENCE, Deleted, MessagesApi, Posted
from .replies import Reply, problem, reply_to_error
from .report import report_deleted, report_posted

__all__ = [
    "PATIENCE",
    "Deleted",
    "MessagesApi",
    "Posted",
    "Reply",
    "body_of",
    "header_of",
    "problem",
    "reply_to_error",
    "report_deleted",
    "report_posted",
]
