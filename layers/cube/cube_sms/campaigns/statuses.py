"""The statuses of a campaign, as `cube-sms campaign` shows them."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class CampaignStatus(StrEnum):
    """How far the newest run of a campaign is.

    Attributes
    ----------
    is_over : bool
        Whether the run has ended. Otherwise it continues by itself.
    """

    is_over: bool

    def __new__(cls, value: str, is_over: bool) -> Self:  # noqa: D102 - of the members below
        status = str.__new__(cls, value)
        status._value_ = value
        status.is_over = is_over
        return status

    RUNNING = "RUNNING", False
    """The state machine reads the file, queues its rows and waits for their outcomes."""
    STOPPING = "STOPPING", False
    """An operator stopped or paused the campaign. Rows that workers have claimed still end."""
    STOPPED = "STOPPED", True
    """The campaign was stopped, and its result is written. `cube-sms campaign resume` sends the rest."""
    ENDED = "ENDED", True
    """The result is written. If rows are `NOT_TRIED`, a batch failed for hours: resume the campaign."""
    BROKEN_OFF = "BROKEN_OFF", True
    """The execution of the state machine failed before the result was written: resume the campaign."""
