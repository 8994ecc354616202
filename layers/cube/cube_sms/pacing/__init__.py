"""The provider's limits, kept by all workers together."""

from __future__ import annotations

from .errors import NotNowError
from .gate import Gate, GateStatus, Slot
from .glance import GateView, bulk_closed_until, used_today, view
from .lanes import WINDOW
from .leases import ConnectionLeases
from .orders import end_pause, open_account, open_gate, order_pause
from .pause import Pause, check_reason
from .quota import bulk_limit

__all__ = [
    "WINDOW",
    "ConnectionLeases",
    "Gate",
    "GateStatus",
    "GateView",
    "NotNowError",
    "Pause",
    "Slot",
    "bulk_closed_until",
    "bulk_limit",
    "check_reason",
    "end_pause",
    "open_account",
    "open_gate",
    "order_pause",
    "used_today",
    "view",
]
