"""The way in from the queue."""

from __future__ import annotations

from .consumer import Consumed, QueueConsumer
from .report import report_consumed

__all__ = [
    "Consumed",
    "QueueConsumer",
    "report_consumed",
]
