"""Later queries for receipts and replies, and the answers to tasks whose time ended."""

from __future__ import annotations

from .asking import Asker
from .receipts import ReceiptFollower
from .replies import ReplyFollower
from .report import Told, report_told
from .runs import Follower, FollowUp
from .shift import Shift

__all__ = ["Asker", "FollowUp", "Follower", "ReceiptFollower", "ReplyFollower", "Shift", "Told", "report_told"]
