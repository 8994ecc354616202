"""Keeping within the provider's limits, all workers together."""

from __future__ import annotations

from .errors import NotNowError
from .gate import Gate, GateStatus, Slot
from .glance import Closure, bulk_closed_until, closures, used_today
from .lanes import WINDOW
from .leases import ConnectionLeases
from .quota import bulk_limit

__all__ = [
    "WINDOW",
    "Closure",
    "ConnectionLeases",
    "Gate",
    "GateStatus",
    "NotNowError",
    "Slot",
    "bulk_closed_until",
    "bulk_limit",
    "closures",
    "used_today",
]
