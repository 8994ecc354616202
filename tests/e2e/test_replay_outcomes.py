"""Events that were given up, as an operator has them published or sent after all."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from local.stack import LocalStack, wait_until
from local.workflows import EventConsumer
from tests.e2e.aws_proxy import INTERNAL_ERROR, AwsProxy, Proxied, Rule, always, route
from tests.e2e.command import cube_sms
from tests.e2e.outcomes import wait_until_not_published
from tests.e2e.test_send import a_device, send_request, states

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.processes import Ended


@pytest.fixture(scope="module")
def proxied_events() -> Iterator[Proxied]:
    """Return a stack whose functions talk to EventBridge through a proxy."""
    with AwsProxy() as proxy, LocalStack(is_limited=False) as stack:
        proxy.upstream = stack.aws.url
        route(stack, proxy, "EVENTBRIDGE")
        yield Proxied(stack, proxy)


def outcomes(stack: LocalStack, *arguments: str) -> Ended:
    """Run the operator's command for outcomes."""
    return cube_sms(stack, "outcomes", *arguments)


def unpublished(stack: LocalStack) -> int:
    attributes = stack.sqs.get_queue_attributes(
        QueueUrl=stack.outputs["UnpublishedQueueUrl"],
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    return sum(int(value) for value in attributes.values())


def a_lost_event(proxied: Proxied, **fields: Any) -> str:
    """Send a message while EventBridge is away, and return its id. The local stream does not try again."""
    stack, request_id = proxied.stack, f"lost-{uuid4()}"
    with proxied.proxy.applying(Rule("PutEvents", always(INTERNAL_ERROR))):
        stack.enqueue(send_request(a_device(), requestId=request_id, **fields))
        wait_until_not_published(stack, request_id)
    assert states(stack, request_id) == ["SENT"]
    return request_id


def give_up(stack: LocalStack, *request_ids: str, condition: str = "RecordAgeExceeded") -> None:
    """Tell the queue of the final records of messages, as Lambda does of a batch that it gives up."""
    streams: Any = stack.aws.client("dynamodbstreams")
    (arn,) = [each["StreamArn"] for each in streams.list_streams()["Streams"]]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
    records = streams.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
    wanted = {f"default#{request_id}" for request_id in request_ids}
    batch = [
        record["dynamodb"]
        for record in records
        if record["dynamodb"]["Keys"]["messageId"]["S"] in wanted
        and record["dynamodb"]["NewImage"]["state"]["S"] == "SENT"
    ]
    assert len(batch) == len(wanted)
    tell(stack, arn, shard["ShardId"], batch[0]["SequenceNumber"], batch[-1]["SequenceNumber"], condition)


def tell(stack: LocalStack, arn: str, shard: str, first: str, last: str, condition: str) -> None:
    """Put onto the queue what Lambda says of records that it gives up."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    invocation = {
        "requestContext": {
            "requestId": str(uuid4()),
            "functionArn": stack.outputs["PublishOutcomesFunctionName"],
            "condition": condition,
            "approximateInvokeCount": 31,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "1", "functionError": None},
        "version": "1.0",
        "timestamp": now,
        "DDBStreamBatchInfo": {
            "shardId": shard,
            "startSequenceNumber": first,
            "endSequenceNumber": last,
            "approximateArrivalOfFirstRecord": now,
            "approximateArrivalOfLastRecord": now,
            "batchSize": 2,
            "streamArn": arn,
        },
    }
    stack.sqs.send_message(QueueUrl=stack.outputs["UnpublishedQueueUrl"], MessageBody=json.dumps(invocation))


def test_what_was_given_up_is_listed_and_published_once(proxied_events: Proxied) -> None:
    # Given two messages that were sent while EventBridge was away, and Lambda has given up their events
    stack = proxied_events.stack
    consumer = EventConsumer(stack, {"source": ["cube-sms"]})
    lost = [a_lost_event(proxied_events) for _ in range(2)]
    give_up(stack, *lost)

    # When an operator looks, and has them published
    listed = outcomes(stack, "list")
    done = outcomes(stack, "replay")

    # Then it is told, each event is there, and the queue is empty
    assert (listed.status, done.status) == (0, 0), listed.err + done.err
    assert listed.out.splitlines()[1].split()[:2] == ["RecordAgeExceeded", "2"]
    assert "1 batches, 0 published" in listed.out
    assert "1 batches, 1 published" in done.out
    wait_until("both events", lambda: all(consumer.details(request_id) for request_id in lost))
    assert [event["detail-type"] for event in consumer.events()] == ["SMS Sent"] * 2
    assert unpublished(stack) == 0


def test_what_cannot_be_published_stays(proxied_events: Proxied) -> None:
    # Given an event that was given up
    stack = proxied_events.stack
    consumer = EventConsumer(stack, {"source": ["cube-sms"]})
    request_id = a_lost_event(proxied_events)
    give_up(stack, request_id)

    # When it is to be published and EventBridge is still away
    with proxied_events.proxy.applying(Rule("PutEvents", always(INTERNAL_ERROR))):
        failed = outcomes(stack, "replay")

    # Then the command fails and says so, and another one publishes it
    assert failed.status == 1
    assert "not published from record" in failed.out
    assert unpublished(stack) == 1
    assert outcomes(stack, "replay").status == 0
    wait_until("an event", lambda: consumer.details(request_id))


def test_what_the_stream_has_lost_is_rebuilt_from_the_table(proxied_events: Proxied) -> None:
    # Given an event that was given up, and that the stream does not have any more
    stack = proxied_events.stack
    consumer = EventConsumer(stack, {"source": ["cube-sms"]})
    before = datetime.now(UTC) - timedelta(seconds=1)
    request_id = a_lost_event(proxied_events)
    (arn,) = [each["StreamArn"] for each in stack.aws.client("dynamodbstreams").list_streams()["Streams"]]
    tell(stack, arn, "shardId-00000000000000000000-00000000", *2 * ("1" * 21,), "RetryAttemptsExhausted")

    # When it is to be published from the stream, and then from the table
    missed = outcomes(stack, "replay")
    rebuilt = [outcomes(stack, "rebuild", "--since", before.isoformat()) for _ in range(2)]

    # Then the first says what to do, and the second publishes it, the same event however often
    assert missed.status == 1
    assert "rebuild it from the table" in missed.out
    assert [run.out for run in rebuilt] == ["1 outcomes published from the table\n"] * 2, rebuilt[0].err
    wait_until("both", lambda: len(consumer.details(request_id)) == 2)
    assert len({detail["eventId"] for detail in consumer.details(request_id)}) == 1
    stack.sqs.purge_queue(QueueUrl=stack.outputs["UnpublishedQueueUrl"])


def test_records_that_cannot_be_read_are_named_when_the_others_are_rebuilt(proxied_events: Proxied) -> None:
    # Given two messages that were sent, of which somebody has changed one by hand
    stack = proxied_events.stack
    consumer = EventConsumer(stack, {"source": ["cube-sms"]})
    before = datetime.now(UTC) - timedelta(seconds=1)
    spoiled, well = a_lost_event(proxied_events), a_lost_event(proxied_events)
    dynamodb = stack.aws.client("dynamodb")
    table, key = stack.outputs["MessagesTableName"], {"messageId": {"S": f"default#{spoiled}"}}
    item: Any = dynamodb.get_item(TableName=table, Key=key)["Item"]
    dynamodb.put_item(TableName=table, Item=item | {"updatedAt": {"S": "yesterday"}})

    # When all are to be published from the table
    rebuilt = outcomes(stack, "rebuild", "--since", before.isoformat(), "--json")

    # Then one is published, and the other one named
    assert rebuilt.status == 1, rebuilt.err
    assert rebuilt.json["published"] == 1
    ((message_id, fault),) = [each.values() for each in rebuilt.json["notPublished"]]
    assert message_id == f"default#{spoiled}"
    assert fault.startswith("updatedAt: ")
    assert "yesterday" not in rebuilt.out
    wait_until("an event", lambda: consumer.details(well))

    # And when that is mended, its event goes out by itself
    dynamodb.put_item(TableName=table, Item=item)
    wait_until("the other", lambda: consumer.details(spoiled))


def test_a_request_that_could_not_be_delivered_is_put_onto_the_send_queue(proxied_events: Proxied) -> None:
    # Given an event with a request, which EventBridge could not deliver, and what it says of it
    stack, device, event_id = proxied_events.stack, a_device(), str(uuid4())
    event = {"id": event_id, "detail-type": "SMS Requested", "detail": json.loads(send_request(device))}
    queue = stack.outputs["UndeliveredRequestsQueueUrl"]
    stack.sqs.send_message(
        QueueUrl=queue,
        MessageBody=json.dumps(event),
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value}
            for name, value in {"ERROR_CODE": "NO_PERMISSIONS", "RETRY_ATTEMPTS": "0"}.items()
        },
    )

    # When an operator puts it back
    done = cube_sms(stack, "dlq", "redrive", "--queue", queue, "--all", "--wait", "0")

    # Then it is sent, under the id of the event
    assert "1 redriven to the send queue" in done.out, done.err
    wait_until("it to be sent", lambda: states(stack, event_id) == ["SENT"])
    assert len(stack.cube.requests(device)) == 1
