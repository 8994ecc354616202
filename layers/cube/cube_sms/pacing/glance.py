"""A look at the gate, for code that sends nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from .accounts import Accounts
from .breaker import Breaker
from .gate_item import GateItem
from .pausing import Pausing
from .quota import beginning_of, bulk_limit, day_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

    from .errors import GateReason
    from .pause import Pause


class GateView(NamedTuple):
    """The state of the gate, for code that sends nothing.

    Parameters
    ----------
    used : int
        How many of today's queries have been counted.
    day_ends_at : float
        Seconds since the epoch: when the next day's queries begin to count.
    closed_for : str or None
        Why the gate is closed, if it is.
    closed_until : float
        Seconds since the epoch: until when it is closed; 0 if it is open.
    pause : Pause or None
        The pause that an operator has ordered, if it lasts.
    closed_accounts : tuple of (str, str)
        The accounts that the gate is closed for, with the code that closed each.
    """

    used: int
    day_ends_at: float
    closed_for: GateReason | None
    closed_until: float
    pause: Pause | None
    closed_accounts: tuple[tuple[str, str], ...]


def view(client: DynamoDBClient, table: str, *, clock: Callable[[], float] = time.time) -> GateView:
    """Return the state of the gate: one read.

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
    GateView
        The state.

    Raises
    ------
    RecordsUnavailableError
        If DynamoDB is unavailable, or refuses.
    """
    item = _read(client, table, clock)
    day = day_of(clock())
    closed_for = Breaker(item, longest_post=0.0, clock=clock).closed_for
    return GateView(
        used=_used(item, day),
        day_ends_at=beginning_of(day + 1),
        closed_for=closed_for,
        closed_until=item.number("closedUntil") if closed_for else 0.0,
        pause=Pausing(item, clock=clock).pause,
        closed_accounts=Accounts(item, longest_post=0.0, clock=clock).closed,
    )


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
        How many; 0 if there is no quota, since queries are then not counted.

    Raises
    ------
    RecordsUnavailableError
        If DynamoDB is unavailable.
    """
    return _used(_read(client, table, clock), day_of(clock()))


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
        Percent of them that bulk messages leave to others.
    clock : Callable[[], float]
        Seconds since the epoch.

    Returns
    -------
    float
        Seconds since the epoch; 0 if bulk messages are sent now.

    Raises
    ------
    RecordsUnavailableError
        If DynamoDB is unavailable.
    """
    item, now = _read(client, table, clock), clock()
    day = int(item.number("day"))
    is_spent = quota and day >= day_of(now) and item.number("used") >= bulk_limit(quota, reserve)
    pause = Pausing(item, clock=clock).pause
    until = max(
        item.number("closedUntil"),
        beginning_of(day + 1) if is_spent else 0.0,
        # An operator may end it sooner.
        pause.worth_a_try_at(now) if pause else 0.0,
    )
    return until if until > now else 0.0


def _read(client: DynamoDBClient, table: str, clock: Callable[[], float]) -> GateItem:
    item = GateItem(client, table, clock=clock, ticks=clock)
    item.read()
    return item


def _used(item: GateItem, day: int) -> int:
    return int(item.number("used")) if item.number("day") == day else 0
