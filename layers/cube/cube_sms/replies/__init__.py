"""Callbacks from the provider, with the replies of devices."""

from __future__ import annotations

from .receiver import Callback, CallbackReceiver, Receipt
from .report import report_failed, report_receipt

__all__ = [
    "Callback",
    "CallbackReceiver",
    "Receipt",
    "report_failed",
    "report_receipt",
]
