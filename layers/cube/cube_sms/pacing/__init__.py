"""Keeping within the provider's limits, all workers together."""

from __future__ import annotations

from .errors import NotNowError
from .gate import Gate, GateStatus, Slot
from .lanes import WINDOW
from .leases import ConnectionLeases
from .quota import used_today

__all__ = [
    "WINDOW",
    "ConnectionLeases",
    "Gate",
    "GateStatus",
    "NotNowError",
    "Slot",
    "used_today",
]
