"""The output: events of messages that ended."""

from __future__ import annotations

from .publisher import OutcomePublisher, Published
from .report import report_published

__all__ = [
    "OutcomePublisher",
    "Published",
    "report_published",
]
