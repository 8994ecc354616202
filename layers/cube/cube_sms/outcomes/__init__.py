"""The way out: events of what ended."""

from __future__ import annotations

from .publisher import OutcomePublisher, Published
from .report import report_published

__all__ = [
    "OutcomePublisher",
    "Published",
    "report_published",
]
