"""The way in from a file."""

from __future__ import annotations

from .dry_runs import DryRunner
from .errors import InvalidCampaignError
from .estimates import Estimate, estimate
from .reports import CampaignReporter
from .runs import Campaign, CampaignPreparer

__all__ = [
    "Campaign",
    "CampaignPreparer",
    "CampaignReporter",
    "DryRunner",
    "Estimate",
    "InvalidCampaignError",
    "estimate",
]
