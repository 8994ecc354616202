"""Requests whose tasks wait for a reply: which ones wait, the replies, and the answers to the tasks."""

from __future__ import annotations

from .ask import CLOCK_TOLERANCE, DeviceReply
from .meeting import Meeting
from .received import RECEIVED, Received
from .store import WAITING_KEY, Asks, Device
from .taking import ReplyTaker, Taken
from .telling import tell_tasks

__all__ = [
    "CLOCK_TOLERANCE",
    "RECEIVED",
    "WAITING_KEY",
    "Asks",
    "Device",
    "DeviceReply",
    "Meeting",
    "Received",
    "ReplyTaker",
    "Taken",
    "tell_tasks",
]
