"""A look at the gate by those who send nothing themselves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from .gate_item import GateItem
from .quota import beginning_of, bulk_limit, day_of
from .runs import ACCOUNT, Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient


class Closure(NamedTuple):
    """Something that nothing is sent for.

    Parameters
    ----------
    account : str or None
        Of which account; None for all of them.
    reason : str
        Why: what the gate was closed for, or the code that the account gets for everything.
    until : float
        Seconds since the epoch.
    """

    account: str | None
    reason: str
    until: float


def closures(client: DynamoDBClient, table: str, *, clock: Callable[[], float] = time.time) -> list[Closure]:
    """Return for whom the gate is closed, and why: one read. A quota that is spent is `used_today`.

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
    list of Closure
        For everybody first, and then for accounts by their names.

    Raises
    ------
    RecordsUnavailableError
        Where DynamoDB is away.
    """
    item, now = _read(client, table, clock), clock()
    found = [Closure(None, item.get("closedFor") or "unavailable", item.number("closedUntil"))]
    for name, text in sorted(item.starting(ACCOUNT).items()):
        run = Run.parse(text)
        if run.state != "counting":
            found.append(Closure(name.removeprefix(ACCOUNT), run.code, run.at))
    return [each for each in found if each.until > now]


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
    until = max(item.number("closedUntil"), beginning_of(day + 1) if is_spent else 0.0)
    return until if until > now else 0.0


def _read(client: DynamoDBClient, table: str, clock: Callable[[], float]) -> GateItem:
    item = GateItem(client, table, clock=clock, ticks=clock)
    item.read()
    return item
