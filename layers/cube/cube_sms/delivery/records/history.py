"""What was sent to a device, newest first: pages of the index that a deployment with `DeviceHistory` has."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from cube_sms.platform import KEY, RecordsUnavailableError, get_items, key_of

from .items import or_fault, read_record

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.delivery.errors import SpoiledRecordError

    from .record import Record

MOST_PER_PAGE = 100
"""As many records as DynamoDB reads at once."""


class Page(NamedTuple):
    """A page of a device's messages.

    Parameters
    ----------
    records : list of Record or SpoiledRecordError
        Their records, newest first; of one that cannot be read, why.
    next : str or None
        What to ask for the page after it with; None if there is none.
    """

    records: list[Record | SpoiledRecordError]
    next: str | None


def device_messages(
    client: DynamoDBClient,
    table: str,
    index: str,
    device_id: str,
    *,
    limit: int = MOST_PER_PAGE,
    after: str | None = None,
) -> Page:
    """Return a page of the messages to a device: a query of the index, and a read for each record.

    The index follows the table within moments. It has no record of a message that was cancelled before anybody saw its
    request, since that names no device.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table, index : str
        Names of the table of records, and of its index by device.
    device_id : str
        The device.
    limit : int
        The most records of the page, at most `MOST_PER_PAGE`.
    after : str, optional
        `Page.next` of the page before it.

    Returns
    -------
    Page
        The page.

    Raises
    ------
    ValueError
        If `after` is none that was given out.
    RecordsUnavailableError
        If DynamoDB is away, or has not filled the index yet.
    """
    query: dict[str, Any] = {
        "KeyConditionExpression": "deviceId = :device",
        "ExpressionAttributeValues": {":device": {"S": device_id}},
        "ScanIndexForward": False,
        "Limit": min(limit, MOST_PER_PAGE),
    }
    if after is not None:
        created_at, message_id = _read_place(after)
        query["ExclusiveStartKey"] = {
            KEY: {"S": message_id},
            "deviceId": {"S": device_id},
            "createdAt": {"S": created_at},
        }
    try:
        answer: Any = client.query(TableName=table, IndexName=index, **query)
    except (BotoCoreError, ClientError) as error:
        raise RecordsUnavailableError(error) from error
    keys = [key_of(item) for item in answer["Items"]]
    found = {key_of(item): item for item in get_items(client, table, keys, is_consistent=False)}
    last = answer.get("LastEvaluatedKey")
    # One that has gone meanwhile is left out.
    return Page([or_fault(read_record, found[key]) for key in keys if key in found], _place(last) if last else None)


def _place(key: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps([key["createdAt"]["S"], key_of(key)]).encode()).decode()


def _read_place(text: str) -> tuple[str, str]:
    with suppress(ValueError):
        match json.loads(urlsafe_b64decode(text.encode())):
            case [str(created_at), str(message_id)]:
                return created_at, message_id
    raise ValueError("is none that was given out")
