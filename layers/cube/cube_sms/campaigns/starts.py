"""The beginning of a campaign's run: one run of a name at a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .errors import InvalidCampaignError
from .progress import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from .executions import Executions
    from .progress import CampaignItems
    from .runs import Campaign, Prepared


class CampaignStarter:
    """Begins runs.

    Parameters
    ----------
    items : CampaignItems
        Has the runs.
    executions : Executions
        Says which of them run.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(self, items: CampaignItems, executions: Executions, *, clock: Callable[[], float] = time.time) -> None:
        self._items = items
        self._executions = executions
        self._clock = clock

    def begin(self, campaign: Campaign, execution: str) -> None:
        """Note that a run begins. One that has begun may be noted again.

        Parameters
        ----------
        campaign : Campaign
            What is sent.
        execution : str
            ARN of the execution.

        Raises
        ------
        InvalidCampaignError
            If another run of the same name goes on.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        former = self._items.run(campaign.name)
        if former and former.execution != execution:
            running = self._executions.find(former.execution)
            if running and running.is_running:
                raise _running(campaign, former.execution)
        run = Run(execution, campaign.bucket, campaign.key, self._clock())
        if not self._items.begin(campaign.name, run, former):
            raise _running(campaign, "that has begun at the same time")

    def ended(self, campaign: Campaign) -> Campaign:
        """Return a campaign that has ended, with the file of its newest run.

        Parameters
        ----------
        campaign : Campaign
            A campaign of this name.

        Returns
        -------
        Campaign
            The campaign.

        Raises
        ------
        InvalidCampaignError
            If there is none of this name, or its newest run has not ended.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        run = self._items.run(campaign.name)
        if not run or not run.ended_at:
            raise InvalidCampaignError(f"No campaign named {campaign.name} has ended", "input")
        return campaign._replace(bucket=run.bucket, key=run.key)

    def prepared(self, campaign: Campaign, execution: str, prepared: Prepared) -> None:
        """Note the counts of the campaign's file."""
        self._items.note(campaign.name, execution, **prepared.counts)


def _running(campaign: Campaign, which: str) -> InvalidCampaignError:
    return InvalidCampaignError(
        f"A campaign named {campaign.name} is running, as the execution {which}. Stop it or wait for its end, or give "
        "this one another name",
        "input",
    )
