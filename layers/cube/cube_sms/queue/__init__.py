"""The way in from the queue."""

from __future__ import annotations

from .consumer import QueueConsumer
from .report import report_consumed

__all__ = [
    "QueueConsumer",
    "report_consumed",
]
