"""Outcomes that Lambda has given up publishing: what is known of them, and how they are published after all.

The queue of the unpublished says where in the stream of the table each batch stands. The stream keeps it for a day, and
what it has lost is rebuilt from the records of the table. An event that is published again has the same ``eventId``.
"""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.delivery.errors import SpoiledRecordError
from cube_sms.delivery.records import Record, Refusal, change_to, read_item
from cube_sms.platform import rfc3339

from .errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

# How long DynamoDB keeps the records of a stream.
STREAM_AGE = timedelta(days=1)

# An empty page of a stream is no end of it. If so many follow one another, nothing is to come.
MOST_EMPTY_PAGES = 1000

# Records that the function is given at once, as by Lambda, and seconds before it is given those again that it reports.
BATCH_SIZE = 100
PAUSES = (1, 5, 15)

NOT_IN_STREAM = "not in the stream any more: rebuild it from the table"


class NotPublishedError(OperatorError):
    """The function does not publish a record."""


class NotInStreamError(OperatorError):
    """The stream does not have the records any more."""


class Batch(NamedTuple):
    """Records that Lambda has given up.

    Parameters
    ----------
    condition : str
        Why.
    info : dict
        Their place in the stream, in Lambda's words.
    """

    condition: str
    info: dict[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        """What is known of it, and until when the stream has all of it."""
        arrived_at = self.info["approximateArrivalOfFirstRecord"]
        return {
            "reason": self.condition,
            "records": self.info["batchSize"],
            "from": arrived_at,
            "inStreamUntil": rfc3339((datetime.fromisoformat(arrived_at) + STREAM_AGE).timestamp()),
        }


def read_batch(message: MessageTypeDef) -> Batch | None:
    """Read what Lambda reports of a batch that it gives up.

    Parameters
    ----------
    message : MessageTypeDef
        The message of the queue.

    Returns
    -------
    Batch or None
        None if the message is something else.
    """
    try:
        body = json.loads(message["Body"])
        batch = Batch(body["requestContext"]["condition"], body["DDBStreamBatchInfo"])
        return batch if batch.data else None
    except (LookupError, TypeError, ValueError):
        return None


def changes_in_stream(streams: Any, batch: Batch) -> list[dict[str, Any]]:
    """Return the records of a batch, as Lambda gives them to a function.

    Parameters
    ----------
    streams : DynamoDBStreamsClient
        boto3's client.
    batch : Batch
        Which.

    Returns
    -------
    list of dict
        The records, in their order.

    Raises
    ------
    NotInStreamError
        If the stream has lost some of them.
    """
    info = batch.info
    missing = (streams.exceptions.TrimmedDataAccessException, streams.exceptions.ResourceNotFoundException)
    first, last = int(info["startSequenceNumber"]), int(info["endSequenceNumber"])
    found: list[dict[str, Any]] = []
    try:
        iterator = streams.get_shard_iterator(
            StreamArn=info["streamArn"],
            ShardId=info["shardId"],
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            SequenceNumber=info["startSequenceNumber"],
        )["ShardIterator"]
        empty = 0
        # A shard that is closed ends without another iterator.
        while iterator and empty < MOST_EMPTY_PAGES and (not found or sequence_number(found[-1]) < last):
            page = streams.get_records(ShardIterator=iterator)
            found += page["Records"]
            empty = 0 if page["Records"] else empty + 1
            iterator = page.get("NextShardIterator")
    except missing:
        raise NotInStreamError(NOT_IN_STREAM) from None
    if not found or sequence_number(found[-1]) < last:
        raise NotInStreamError(NOT_IN_STREAM)
    return [change for change in found if first <= sequence_number(change) <= last]


def sequence_number(change: dict[str, Any]) -> int:
    """Return where in its shard a record stands."""
    return int(change["dynamodb"]["SequenceNumber"])


def changes_in_table(
    dynamodb: DynamoDBClient, table: str, since: datetime
) -> tuple[list[dict[str, Any]], list[SpoiledRecordError]]:
    """Return records of a stream, as they would be had every message ended now that has ended since a time.

    Items of refused requests are among them, because their tasks may still wait. Records that cannot be read are beside
    them, because their end is unknown.

    Parameters
    ----------
    dynamodb : DynamoDBClient
        boto3's client.
    table : str
        Name of the table, all of which is read.
    since : datetime
        The time.

    Returns
    -------
    list of dict
        The records of a stream, those first that ended first.
    list of SpoiledRecordError
        What cannot be read.
    """
    ended: list[tuple[str, dict[str, Any]]] = []
    spoiled = []
    for page in dynamodb.get_paginator("scan").paginate(TableName=table):
        for item in page["Items"]:
            try:
                updated_at = end_of(item)
            except SpoiledRecordError as error:
                spoiled.append(error)
                continue
            if updated_at is not None and (not updated_at or datetime.fromisoformat(updated_at) >= since):
                ended.append((updated_at, dict(item)))
    ended.sort(key=lambda each: each[0])
    changes = [change_to(item, number) for number, (_, item) in enumerate(ended, 1)]
    return changes, spoiled


def end_of(item: Mapping[str, Any]) -> str | None:
    """Return when the message of an item ended: None if it has not, nothing for a request that was refused."""
    match read_item(item):
        case Refusal():
            return ""
        case Record() as record if record.state.is_final:
            return record.updated_at
    return None


def publish(
    functions: Any, function: str, changes: Iterable[dict[str, Any]], tell: Callable[[int], None] = lambda _: None
) -> None:
    """Give records to the function that publishes, in their order, and again what it reports.

    Parameters
    ----------
    functions : LambdaClient
        boto3's client.
    function : str
        Name of the function.
    changes : iterable of dict
        The records.
    tell : Callable[[int], None]
        Takes how many were published, now and then.

    Raises
    ------
    NotPublishedError
        If the function does not take one of them.
    """
    published = 0
    for batch in batched(changes, BATCH_SIZE, strict=False):
        waiting = list(batch)
        for pause in (*PAUSES, None):
            answer = functions.invoke(
                FunctionName=function,
                Qualifier="live",
                Payload=json.dumps({"Records": waiting}, default=datetime.timestamp),
            )
            result = json.loads(answer["Payload"].read())
            if "FunctionError" in answer:
                raise NotPublishedError(f"the function failed: {result.get('errorMessage', result)}")
            failed = [failure["itemIdentifier"] for failure in result["batchItemFailures"]]
            if not failed:
                break
            waiting = waiting[[change["dynamodb"]["SequenceNumber"] for change in waiting].index(failed[0]) :]
            if pause is None:
                raise NotPublishedError(f"not published from record {failed[0]} on: the function's log says why")
            time.sleep(pause)
        published += len(batch)
        tell(published)
