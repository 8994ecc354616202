"""The way in from a file."""

from __future__ import annotations

from .errors import InvalidCampaignError
from .reports import CampaignReporter
from .runs import Campaign, CampaignPreparer

__all__ = [
    "Campaign",
    "CampaignPreparer",
    "CampaignReporter",
    "InvalidCampaignError",
]
