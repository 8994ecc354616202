"""List which outcomes Lambda has given up publishing, or have them published after all.

The queue of the unpublished says where in the stream of the table each batch stands. The stream keeps it for a day, and
what it has lost is rebuilt from the records of the table. An event that is published again has the same ``eventId``.

Usage: ``python -m scripts.replay_outcomes [--stack NAME] list``, ``replay``, or ``rebuild --since TIME``. boto3's own
environment (``AWS_PROFILE``, ``AWS_DEFAULT_REGION``, ``AWS_ENDPOINT_URL``) says where.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3

from cube_sms.delivery.errors import SpoiledRecordError
from cube_sms.delivery.records import Record, Refusal, change_to, read_item
from cube_sms_cli.look import Look
from scripts.deployment import OperatorError, moment, run, stack_outputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mypy_boto3_sqs.type_defs import MessageTypeDef

# How long DynamoDB keeps what a stream tells.
STREAM_AGE = timedelta(days=1)

# An empty page of a stream is no end of it. Where so many follow one another, nothing is to come.
MOST_EMPTY_PAGES = 1000

# Records that the function is given at once, as by Lambda, and seconds before it is given those again that it reports.
BATCH_SIZE = 100
PAUSES = (1, 5, 15)

NOT_IN_STREAM = "not in the stream any more: rebuild it from the table"


class NotPublishedError(OperatorError):
    """The function does not publish a record."""


class NotInStreamError(Exception):
    """The stream does not have the records any more."""


class Batch(NamedTuple):
    """Records that Lambda has given up."""

    condition: str
    info: dict[str, Any]

    @property
    def kept_until(self) -> datetime:
        """Until when the stream has all of them."""
        return datetime.fromisoformat(self.info["approximateArrivalOfFirstRecord"]) + STREAM_AGE


def main() -> int:
    """Run the command."""
    arguments = parse_arguments()
    function, table, queue = stack_outputs(
        arguments.stack, "PublishOutcomesFunctionName", "MessagesTableName", "UnpublishedQueueUrl"
    )
    if arguments.command == "rebuild":
        changes, spoiled = changes_in_table(table, arguments.since)
        publish(function, changes)
        print(f"{len(changes)} outcomes published from the table")
        for each in spoiled:
            print(f"{each.message_id}\tcannot be read, and is not published: {each}")
        return int(bool(spoiled))
    sqs, published, kept = boto3.client("sqs"), 0, 0

    def take(message: MessageTypeDef) -> bool:
        nonlocal published, kept
        try:
            batch = read_batch(message)
        except (LookupError, TypeError, ValueError):
            print(f"{message['MessageId']}\tis not what Lambda tells of a batch")
            kept += 1
            return False
        fault = replay(function, batch) if arguments.command == "replay" else "not published"
        print("\t".join(describe(batch, fault or "published")))
        if fault:
            kept += 1
            return False
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        published += 1
        return True

    # One after the other: the function publishes what it is given in its order.
    with Look(sqs, queue, take, threads=1) as look:
        look.run()
    print(f"{published + kept} batches, {published} published")
    return int(arguments.command == "replay" and kept > 0)


def read_batch(message: MessageTypeDef) -> Batch:
    """Read what Lambda tells of a batch that it gives up."""
    body = json.loads(message["Body"])
    batch = Batch(body["requestContext"]["condition"], body["DDBStreamBatchInfo"])
    describe(batch, "")
    return batch


def replay(function: str, batch: Batch) -> str | None:
    """Publish a batch, and return what was in the way."""
    try:
        publish(function, changes_in_stream(batch.info))
    except (NotPublishedError, NotInStreamError) as error:
        return str(error)
    return None


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="List which outcomes were not published, or have them published.")
    parser.add_argument("--stack", default="cube-sms", help="name of the CloudFormation stack (cube-sms)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="why, how many records, from when, and until when the stream has them")
    commands.add_parser("replay", help="publish what the stream still has, and take it off the queue")
    rebuild = commands.add_parser("rebuild", help="publish the outcome of every message that has ended since a time")
    rebuild.add_argument(
        "--since",
        required=True,
        type=moment,
        metavar="TIME",
        help="such as 2027-01-31T12:00:00Z; reads the whole table",
    )
    return parser.parse_args()


def describe(batch: Batch, result: str) -> list[str]:
    """Return what is known of a batch."""
    info = batch.info
    return [
        batch.condition,
        f"{info['batchSize']} records",
        f"from {info['approximateArrivalOfFirstRecord']}",
        f"in the stream until {batch.kept_until:%Y-%m-%dT%H:%M:%SZ}",
        result,
    ]


def changes_in_stream(info: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records of a batch, as Lambda gives them to a function."""
    streams: Any = boto3.client("dynamodbstreams")
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


def changes_in_table(table: str, since: datetime) -> tuple[list[dict[str, Any]], list[SpoiledRecordError]]:
    """Return records of a stream, as they would be had every message ended now that has ended since a time.

    What is left of requests that were refused is among them: their tasks may still wait. What cannot be read is beside
    them: nobody can say when it ended, or whether it has.
    """
    ended: list[tuple[str, dict[str, Any]]] = []
    spoiled = []
    for page in boto3.client("dynamodb").get_paginator("scan").paginate(TableName=table):
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


def publish(function: str, changes: Iterable[dict[str, Any]]) -> None:
    """Give records to the function in their order, and again what it reports."""
    functions: Any = boto3.client("lambda")
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
                raise NotPublishedError(f"the function broke off: {result.get('errorMessage', result)}")
            failed = [failure["itemIdentifier"] for failure in result["batchItemFailures"]]
            if not failed:
                break
            waiting = waiting[[change["dynamodb"]["SequenceNumber"] for change in waiting].index(failed[0]) :]
            if pause is None:
                raise NotPublishedError(f"not published from record {failed[0]} on: the function's log says why")
            time.sleep(pause)


if __name__ == "__main__":
    run(main)
