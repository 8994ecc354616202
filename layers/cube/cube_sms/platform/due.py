"""Items of the table of records that are to be looked at again: a sparse index that finds what is due."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from .errors import RecordsUnavailableError
from .items import key_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DUE_INDEX = "due"
"""The index. An item is in it while it has both attributes: ``due``, its shard, and ``dueAt``, when (epoch seconds)."""

# One key of an index takes 1,000 writes a second, and what comes faster would hold back the table's own writes.
SHARDS = 10


def kind_of(key: str) -> str:
    """Return of which kind an item is, as its key says: empty for a record.

    Examples
    --------
    >>> kind_of("default#order-7781"), kind_of("#waiting#default#8931")
    ('', '#waiting#')
    """
    return key[: key.find("#", 1) + 1] if key.startswith("#") else ""


def shard_of(key: str) -> str:
    """Return the shard of an item's key, the value of its attribute ``due``. Each kind of items has shards of its own.

    Examples
    --------
    >>> shard_of("default#order-7781"), shard_of("#waiting#default#8931")
    ('1', '#waiting#9')
    """
    return f"{kind_of(key)}{zlib.crc32(key.encode()) % SHARDS}"


def due_keys(client: DynamoDBClient, table: str, kind: str, now: float, *, most: int) -> list[str]:
    """Return the keys of items that are due: a query of the index for each shard.

    The index follows the table within moments: what has just been looked at may still be among them.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    kind : str
        Their kind: see `kind_of`.
    now : float
        Seconds since the epoch.
    most : int
        The most keys of each shard.

    Returns
    -------
    list of str
        The keys, what has been due for the longest first.

    Raises
    ------
    RecordsUnavailableError
        If DynamoDB is unavailable, or has not filled the index yet.
    """
    found: list[tuple[float, str]] = []
    for number in range(SHARDS):
        try:
            answer: Any = client.query(
                TableName=table,
                IndexName=DUE_INDEX,
                KeyConditionExpression="due = :shard AND dueAt <= :now",
                ExpressionAttributeValues={":shard": {"S": f"{kind}{number}"}, ":now": {"N": f"{now:.3f}"}},
                Limit=most,
            )
        except (BotoCoreError, ClientError) as error:
            raise RecordsUnavailableError(error) from error
        found += [(float(item["dueAt"]["N"]), key_of(item)) for item in answer["Items"]]
    return [key for _, key in sorted(found)]
