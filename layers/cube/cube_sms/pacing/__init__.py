"""Keeping within the provider's limits, all workers together."""

from __future__ import annotations

from .errors import NotNowError
from .gate import Gate, GateStatus, Slot
from .leases import ConnectionLeases

__all__ = [
    "ConnectionLeases",
    "Gate",
    "GateStatus",
    "NotNowError",
    "Slot",
]
