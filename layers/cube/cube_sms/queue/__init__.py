"""Input from the send queue."""

from __future__ import annotations

from .consumer import QueueConsumer
from .messages import Consumed
from .report import report_consumed, report_put_back

__all__ = [
    "Consumed",
    "QueueConsumer",
    "report_consumed",
    "report_put_back",
]
