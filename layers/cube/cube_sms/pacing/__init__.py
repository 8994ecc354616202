"""Keeping within the provider's limits, all workers together."""

from __future__ import annotations

from .errors import NotNowError
from .gate import Gate, GateStatus, Slot
from .gate_item import DAY
from .leases import ConnectionLeases

__all__ = [
    "DAY",
    "ConnectionLeases",
    "Gate",
    "GateStatus",
    "NotNowError",
    "Slot",
]
