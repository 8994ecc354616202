"""Input from a file."""

from __future__ import annotations

from .batches import BatchSender, batches_ahead
from .dry_runs import DryRunner
from .errors import InvalidCampaignError
from .estimates import Estimate, estimate
from .executions import Executions
from .manager import CampaignManager
from .progress import CampaignItems
from .reports import CampaignReporter
from .runs import Batch, Campaign, CampaignPreparer
from .starts import CampaignStarter

__all__ = [
    "Batch",
    "BatchSender",
    "Campaign",
    "CampaignItems",
    "CampaignManager",
    "CampaignPreparer",
    "CampaignReporter",
    "CampaignStarter",
    "DryRunner",
    "Estimate",
    "Executions",
    "InvalidCampaignError",
    "batches_ahead",
    "estimate",
]
