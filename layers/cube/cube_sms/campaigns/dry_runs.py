"""Dry runs: what a campaign's file has, and how long its sending would take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cube_sms.pacing import used_today

from .estimates import estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

    from .runs import Campaign, CampaignPreparer


class DryRunner:
    """Checks all rows of campaigns, and sends nothing.

    Parameters
    ----------
    preparer : CampaignPreparer
        Reads the files.
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    qps, quota : int
        Queries a second and a day (UTC) that the provider allows; 0 for no limit.
    reserve : int
        Percent of the quota that campaigns leave to others.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self,
        preparer: CampaignPreparer,
        client: DynamoDBClient,
        table: str,
        *,
        qps: int,
        quota: int,
        reserve: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._preparer = preparer
        self._client = client
        self._table = table
        self._qps = qps
        self._quota = quota
        self._reserve = reserve
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
        checks = self._preparer.check(campaign)
        used = used_today(self._client, self._table, clock=self._clock)
        seconds, ends_at, days = estimate(
            checks.queries.count,
            now=self._clock(),
            qps=self._qps,
            quota=self._quota,
            reserve=self._reserve,
            used_today=used,
        )
        limits = {"queriesPerSecond": self._qps, "queriesPerDay": self._quota, "reservePercent": self._reserve}
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
