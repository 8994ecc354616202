"""The way in for what devices answer: callbacks from the provider."""

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
