"""Input from a file."""

from __future__ import annotations

from .batches import BatchSender
from .dry_runs import DryRunner
from .errors import InvalidCampaignError
from .estimates import Estimate, estimate
from .executions import Executions
from .manager import CampaignManager
from .pace import Pace
from .progress import CampaignItems
from .queries import sharing
from .reports import CampaignReporter
from .runs import Batch, Campaign, CampaignPreparer
from .starts import CampaignStarter
from .statuses import CampaignStatus

__all__ = [
    "Batch",
    "BatchSender",
    "Campaign",
    "CampaignItems",
    "CampaignManager",
    "CampaignPreparer",
    "CampaignReporter",
    "CampaignStarter",
    "CampaignStatus",
    "DryRunner",
    "Estimate",
    "Executions",
    "InvalidCampaignError",
    "Pace",
    "estimate",
    "sharing",
]
