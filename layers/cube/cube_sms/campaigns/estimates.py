"""How long the queries of a campaign will take under the provider's limits."""

from __future__ import annotations

import math
from typing import NamedTuple

from cube_sms.pacing import WINDOW, bulk_limit
from cube_sms.platform import DAY, rfc3339

# The last moment that a year of four digits can express: 31 December 9999.
_LAST_MOMENT = 253_402_300_799.0


class Estimate(NamedTuple):
    """When a campaign will have been sent, if it has the limits to itself.

    Parameters
    ----------
    seconds : int or None
        Seconds until its last query is made; None if that never comes.
    ends_at : str or None
        The time of that (RFC 3339, UTC); None if it never comes.
    days : int or None
        Days of UTC on which there are queries; None if there is no last one.
    """

    seconds: int | None
    ends_at: str | None
    days: int | None


def estimate(queries: int, *, now: float, qps: int, quota: int, reserve: int, used_today: int) -> Estimate:
    """Work out how long queries take that begin now, if nothing else is sent and the provider refuses none of them.

    Parameters
    ----------
    queries : int
        How many are still to be made.
    now : float
        Seconds since the epoch.
    qps, quota : int
        Queries a second and a day (UTC) that the provider allows; 0 for no limit.
    reserve : int
        Percent of the quota that queries of bulk messages leave to others. Part of a query counts as one.
    used_today : int
        Queries of today's quota that have been used.

    Returns
    -------
    Estimate
        How long they take, when they end, and of how many days they use the quota.

    Examples
    --------
    >>> estimate(1000, now=1_800_000_000.0, qps=10, quota=0, reserve=0, used_today=0)
    Estimate(seconds=101, ends_at='2027-01-15T08:01:41.000Z', days=1)
    >>> estimate(6000, now=1_800_000_000.0, qps=10, quota=5000, reserve=10, used_today=0).ends_at
    '2027-01-16T00:02:31.500Z'
    """
    if queries <= 0:
        return Estimate(0, rfc3339(now), 0)
    rate = qps / WINDOW if qps else math.inf
    allowed = bulk_limit(quota, reserve) if quota else math.inf
    midnight = (now // DAY + 1) * DAY
    # No more are made in a day than its quota allows, and than there are seconds for.
    today = min(max(0, allowed - used_today), (midnight - now) * rate)
    a_day = min(allowed, DAY * rate)
    if queries <= today:
        end, days = now + queries / rate, 1
    elif a_day:
        rest = queries - today
        full = math.ceil(rest / a_day) - 1
        end = midnight + full * DAY + (rest - full * a_day) / rate
        days = (today > 0) + full + 1
    else:
        end, days = math.inf, 0
    if end > _LAST_MOMENT:
        return Estimate(None, None, None)
    return Estimate(math.ceil(end - now), rfc3339(end), days)
