"""An operator's orders: to pause, to end a pause, and to open the gate for all or for one account."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cube_sms.platform import ConditionalUpdate, RecordsUnavailableError, get_item

from .gate_item import GATE_KEY
from .glance import view
from .pause import PAUSED, Pause
from .runs import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

# If another write comes first, the order is written again on the item as it is then.
TRIES = 5

_CLOSING = ("closedUntil", "closedFor", "strikes")


def order_pause(client: DynamoDBClient, table: str, pause: Pause) -> None:
    """Pause all sending, and replace an earlier pause: one write.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    pause : Pause
        The pause.

    Raises
    ------
    RecordsUnavailableError
        If DynamoDB is unavailable, or refuses.
    """
    update = ConditionalUpdate()
    update.set(PAUSED, str(pause))
    # This condition always holds: the last order counts.
    update.require(update.absent(PAUSED), update.differ(PAUSED, ""))
    update.write(client, table, GATE_KEY)


def end_pause(client: DynamoDBClient, table: str, *, clock: Callable[[], float] = time.time) -> Pause | None:
    """End a pause: a read and a write.

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
    Pause or None
        The pause that has ended; None if there was none.

    Raises
    ------
    RecordsUnavailableError
        If DynamoDB is unavailable, or refuses.
    """
    text = _remove(client, table, PAUSED).get(PAUSED, {}).get("S", "")
    try:
        pause = Pause.parse(text)
    except ValueError:
        return None
    return pause if pause.until > clock() else None


def open_gate(client: DynamoDBClient, table: str, *, clock: Callable[[], float] = time.time) -> str | None:
    """Remove what closes the gate for all after the provider's answers: two reads and a write.

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
    str or None
        Why it was closed; None if it was not.

    Raises
    ------
    RecordsUnavailableError
        If DynamoDB is unavailable, or refuses.
    """
    closed_for = view(client, table, clock=clock).closed_for
    _remove(client, table, *_CLOSING)
    return closed_for


def open_account(client: DynamoDBClient, table: str, account: str) -> bool:
    """Remove an account's rejections, which close the gate for it, and return if there were any: a read and a write.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    account : str
        Its name.

    Raises
    ------
    RecordsUnavailableError
        If DynamoDB is unavailable, or refuses.
    """
    return bool(_remove(client, table, ACCOUNT + account))


def _remove(client: DynamoDBClient, table: str, *names: str) -> dict[str, Any]:
    """Remove attributes, and return those that were there."""
    for _ in range(TRIES):
        item = get_item(client, table, GATE_KEY)
        found = {name: item[name] for name in names if name in item}
        if not found:
            return found
        update = ConditionalUpdate()
        for name, typed in found.items():
            update.require(update.same(name, typed))
        update.remove(*found)
        if not found.keys() & update.write(client, table, GATE_KEY)[0].keys():
            return found
    raise RecordsUnavailableError(f"other workers changed the gate's item first, {TRIES} times in a row")
