"""A look at the gate by those who send nothing themselves."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from cube_sms.platform import DAY, RecordsUnavailableError, key_to

from .gate_item import GATE_KEY
from .lanes import HANDOVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient


def bulk_closed_until(
    client: DynamoDBClient, table: str, *, quota: int, reserve: int = 0, clock: Callable[[], float] = time.time
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
        Seconds since the epoch; 0 if bulk messages are sent now. What somebody has written into the item by hand and
        cannot be read counts as absent.

    Raises
    ------
    RecordsUnavailableError
        Where DynamoDB is away.
    """
    try:
        answer = client.get_item(TableName=table, Key=key_to(GATE_KEY))
    except (BotoCoreError, ClientError) as error:
        raise RecordsUnavailableError(error) from error
    item: Any = answer.get("Item", {})

    def number(name: str) -> float:
        return float(item.get(name, {}).get("N", 0))

    now = clock()
    day = int((now - HANDOVER) // DAY)
    is_spent = quota and number("day") >= day and number("used") >= quota - math.ceil(quota * reserve / 100)
    until = max(number("closedUntil"), (number("day") + 1) * DAY + HANDOVER if is_spent else 0.0)
    return until if until > now else 0.0
