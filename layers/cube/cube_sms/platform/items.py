"""Items of the table of records: their key, and how they are read and written."""

from __future__ import annotations

import time
from itertools import batched
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from .errors import RecordsUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

KEY = "messageId"
"""The attribute that is the table's key. Beside the records there are items whose keys begin with "#"."""

# What DynamoDB reads at once, and the seconds before it is asked again for what it has left out.
_READ_SIZE = 100
_READ_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)


def key_to(key: str) -> dict[str, Any]:
    """Return what DynamoDB wants to know of an item that it is asked for.

    Examples
    --------
    >>> key_to("default#order-7781")
    {'messageId': {'S': 'default#order-7781'}}
    """
    return {KEY: {"S": key}}


def key_of(item: Mapping[str, Any]) -> str:
    """Return the key of an item, of which there may be no more than the key.

    Examples
    --------
    >>> key_of({"messageId": {"S": "default#order-7781"}, "attempts": {"N": "1"}})
    'default#order-7781'
    """
    return str(item[KEY]["S"])


def get_item(client: DynamoDBClient, table: str, key: str, **options: Any) -> dict[str, Any]:
    """Read an item of the table of records, as DynamoDB has it at this moment.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table.
    key : str
        The item's key.
    **options
        What else DynamoDB's GetItem takes.

    Returns
    -------
    dict
        The item, in DynamoDB's types; empty where there is none.

    Raises
    ------
    RecordsUnavailableError
        If DynamoDB is unavailable.
    """
    try:
        answer: Any = client.get_item(TableName=table, Key=key_to(key), **{"ConsistentRead": True, **options})
    except (BotoCoreError, ClientError) as error:
        raise RecordsUnavailableError(error) from error
    item: dict[str, Any] = answer.get("Item", {})
    return item


def get_items(
    client: DynamoDBClient,
    table: str,
    keys: Iterable[str],
    *,
    is_consistent: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[dict[str, Any]]:
    """Read many items of the table of records.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table.
    keys : iterable of str
        The items' keys, each once.
    is_consistent : bool
        Whether they are read as DynamoDB has them at this moment, for twice the price.
    sleep : Callable[[float], None]
        Waits for seconds.

    Yields
    ------
    dict
        Each item that there is, in DynamoDB's types, in no order.

    Raises
    ------
    RecordsUnavailableError
        If DynamoDB is unavailable, or leaves out items again and again.
    """
    for some in batched(keys, _READ_SIZE, strict=False):
        left: Any = [key_to(key) for key in some]
        for pause in (*_READ_PAUSES, None):
            try:
                answer: Any = client.batch_get_item(
                    RequestItems={table: {"Keys": left, "ConsistentRead": is_consistent}}
                )
            except (BotoCoreError, ClientError) as error:
                raise RecordsUnavailableError(error) from error
            yield from answer["Responses"].get(table, [])
            left = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
            if not left:
                break
            if pause:
                sleep(pause)
        else:
            raise RecordsUnavailableError(f"{len(left)} records were left out")


def update_item(client: DynamoDBClient, table: str, key: str, **expressions: Any) -> tuple[dict[str, Any], bool]:
    """Update an item of the table of records under a condition, and look at it whether the condition held or not.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table.
    key : str
        The item's key.
    **expressions
        What to write, and under which condition, as DynamoDB's UpdateItem takes it.

    Returns
    -------
    item : dict
        The item as it is now, in DynamoDB's types; empty where there is none.
    is_written : bool
        Whether the condition held.

    Raises
    ------
    RecordsUnavailableError
        If DynamoDB is unavailable.
    """
    try:
        answer: Any = client.update_item(
            TableName=table,
            Key=key_to(key),
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **expressions,
        )
    except client.exceptions.ConditionalCheckFailedException as error:
        found: Any = error.response.get("Item", {})
        return found, False
    except (BotoCoreError, ClientError) as error:
        raise RecordsUnavailableError(error) from error
    return answer["Attributes"], True
