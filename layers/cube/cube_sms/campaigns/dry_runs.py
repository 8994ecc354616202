"""Dry runs: what a campaign's file has, and how long its sending would take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cube_sms.pacing import used_today

from .estimates import estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.platform import Settings

    from .runs import Campaign, CampaignPreparer


class DryRunner:
    """Checks all rows of campaigns, and sends nothing.

    Parameters
    ----------
    preparer : CampaignPreparer
        Reads the files.
    client : DynamoDBClient
        boto3's client.
    settings : Settings
        The deployment's settings.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self,
        preparer: CampaignPreparer,
        client: DynamoDBClient,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._preparer = preparer
        self._client = client
        self._settings = settings
        self._clock = clock

    def run(self, campaign: Campaign) -> dict[str, Any]:
        """Check a campaign.

        Parameters
        ----------
        campaign : Campaign
            The campaign.

        Returns
        -------
        dict[str, Any]
            The results of the checks and the estimate, as JSON members.

        Raises
        ------
        InvalidCampaignError
            If there is no such file, or it is invalid.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        checks, settings = self._preparer.check(campaign), self._settings
        used = used_today(self._client, settings.messages_table, clock=self._clock)
        seconds, ends_at, days = estimate(
            checks.queries.count,
            now=self._clock(),
            qps=settings.cube_max_qps,
            quota=settings.cube_daily_quota,
            reserve=settings.cube_quota_reserve_percent,
            used_today=used,
        )
        limits = {
            "queriesPerSecond": settings.cube_max_qps,
            "queriesPerDay": settings.cube_daily_quota,
            "reservePercent": settings.cube_quota_reserve_percent,
        }
        return {
            "dryRun": True,
            "key": campaign.key,
            "campaign": campaign.name,
            **checks.members,
            "estimate": {
                "queries": checks.queries.count,
                "seconds": seconds,
                "endsAt": ends_at,
                "days": days,
                **limits,
                "usedToday": used,
            },
        }
