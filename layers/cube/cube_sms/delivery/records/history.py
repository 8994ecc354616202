"""What was sent to a device and what it has answered: pages of the index that a deployment with `DeviceHistory` has."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from cube_sms.platform import KEY, RecordsUnavailableError, get_items, key_of

from .items import REPLY_KEY, is_time, or_fault, read_record, read_reply
from .record import KeptReply, Record
from .replies import find_contents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.delivery.errors import SpoiledRecordError

MOST_PER_PAGE = 100
"""The most items that DynamoDB reads at once."""

# The most bytes of a key in DynamoDB.
_LONGEST_KEY = 2048

type Entry = Record | KeptReply | SpoiledRecordError
"""A message, a reply, or why one of them cannot be read."""


class Page(NamedTuple):
    """A page of a device's history.

    Parameters
    ----------
    entries : list of Entry
        The entries, newest first.
    next : str or None
        The value of `after` for the next page; None if there is none.
    """

    entries: list[Entry]
    next: str | None


def entry_members(entry: Entry) -> dict[str, Any]:
    """Return what callers and operators see of an entry, as JSON members: `kind` says what the others are.

    Parameters
    ----------
    entry : Entry
        The entry.

    Returns
    -------
    dict
        Its members.
    """
    match entry:
        case Record():
            return {"kind": "message", **entry.shown}
        case KeptReply():
            return {"kind": "reply", **entry.members}
    return {"kind": "unreadable", "key": entry.message_id, "reason": str(entry)}


def is_place(text: str) -> bool:
    """Return whether a text can be `Page.next` of a page."""
    try:
        _read_place(text)
    except ValueError:
        return False
    return True


def device_history(
    client: DynamoDBClient,
    table: str,
    index: str,
    device_id: str,
    *,
    limit: int = MOST_PER_PAGE,
    after: str | None = None,
    clock: Callable[[], float] = time.time,
) -> Page:
    """Return a page of a device's history: a query of the index, and a read for each item.

    The entries are in the order of time: when a message was accepted, or when the provider received a reply. The index
    follows the table within moments. It omits messages that were cancelled before the gateway saw their requests, since
    their records name no device.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table, index : str
        Names of the table of records, and of its index by device.
    device_id : str
        The device.
    limit : int
        The most entries of the page, at most `MOST_PER_PAGE`.
    after : str, optional
        `Page.next` of the previous page.
    clock : Callable[[], float]
        Seconds since the epoch.

    Returns
    -------
    Page
        The page.

    Raises
    ------
    ValueError
        If `after` cannot be `Page.next` of a page.
    RecordsUnavailableError
        If DynamoDB is unavailable, or has not filled the index yet.
    """
    query: dict[str, Any] = {
        "KeyConditionExpression": "deviceId = :device",
        "ExpressionAttributeValues": {":device": {"S": device_id}},
        "ScanIndexForward": False,
        "Limit": min(limit, MOST_PER_PAGE),
    }
    if after is not None:
        created_at, key = _read_place(after)
        query["ExclusiveStartKey"] = {
            KEY: {"S": key},
            "deviceId": {"S": device_id},
            "createdAt": {"S": created_at},
        }
    try:
        answer: Any = client.query(TableName=table, IndexName=index, **query)
    except (BotoCoreError, ClientError) as error:
        raise RecordsUnavailableError(error) from error
    keys = [key_of(item) for item in answer["Items"]]
    found = {key_of(item): item for item in get_items(client, table, keys, is_consistent=False)}
    replies = [item for key, item in found.items() if key.startswith(REPLY_KEY)]
    contents = find_contents(client, table, replies, clock())

    def read(item: Mapping[str, Any]) -> Record | KeptReply:
        key = key_of(item)
        return read_reply(item, contents.get(key)) if key.startswith(REPLY_KEY) else read_record(item)

    last = answer.get("LastEvaluatedKey")
    # An item that was deleted meanwhile is left out.
    return Page([or_fault(read, found[key]) for key in keys if key in found], _place(last) if last else None)


def _place(key: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps([key["createdAt"]["S"], key_of(key)]).encode()).decode()


def _read_place(text: str) -> tuple[str, str]:
    with suppress(ValueError):
        match json.loads(urlsafe_b64decode(text.encode())):
            # DynamoDB refuses a key that is malformed.
            case [str(created_at), str(key)] if is_time(created_at) and 0 < len(key.encode()) <= _LONGEST_KEY:
                return created_at, key
    raise ValueError("is none that was given out")
