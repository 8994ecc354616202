"""A look at the gate by those who send nothing themselves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .gate_item import GateItem
from .pause import PAUSED, Pause
from .quota import beginning_of, bulk_limit, day_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient


def used_today(client: DynamoDBClient, table: str, *, clock: Callable[[], float] = time.time) -> int:
    """Return how many of today's queries all workers together have counted: one read.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    clock : Callable[[], float]
        Seconds since the epoch.

    Returns
    -------
    int
        How many; 0 where there is no quota, since then nobody counts.

    Raises
    ------
    RecordsUnavailableError
        Where DynamoDB is away.
    """
    item = _read(client, table, clock)
    return int(item.number("used")) if item.number("day") == day_of(clock()) else 0


def bulk_closed_until(
    client: DynamoDBClient, table: str, *, quota: int, reserve: int, clock: Callable[[], float] = time.time
) -> float:
    """Return until when no bulk message is sent: one read.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    quota : int
        Queries a day that the provider allows; 0 for no limit.
    reserve : int
        Percent of them that bulk messages leave to the others.
    clock : Callable[[], float]
        Seconds since the epoch.

    Returns
    -------
    float
        Seconds since the epoch; 0 if bulk messages are sent now.

    Raises
    ------
    RecordsUnavailableError
        Where DynamoDB is away.
    """
    item, now = _read(client, table, clock), clock()
    day = int(item.number("day"))
    is_spent = quota and day >= day_of(now) and item.number("used") >= bulk_limit(quota, reserve)
    paused = item.get(PAUSED)
    until = max(
        item.number("closedUntil"),
        beginning_of(day + 1) if is_spent else 0.0,
        # Somebody may end it sooner.
        Pause.parse(paused).worth_a_try_at(now) if paused else 0.0,
    )
    return until if until > now else 0.0


def _read(client: DynamoDBClient, table: str, clock: Callable[[], float]) -> GateItem:
    item = GateItem(client, table, clock=clock, ticks=clock)
    item.read()
    return item
