"""Batches of a campaign, look by look: whatever comes between, every row is sent once."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cube_sms.campaigns import runs
from cube_sms.campaigns.batches import MOST_CLOSED_PAUSE, BatchSender
from cube_sms.campaigns.outcomes import STOPPED
from cube_sms.campaigns.progress import CampaignItems, Run
from cube_sms.campaigns.puts import RowsNotPutError
from cube_sms.campaigns.reports import CampaignReporter
from cube_sms.campaigns.runs import Campaign, CampaignPreparer, read_batches
from cube_sms.delivery.states import State
from cube_sms.platform import DAY, Settings
from cube_sms.request.parsing import parse_send_request
from tests.unit.records_table import TABLE

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

    from cube_sms.delivery.records import RecordStore

BUCKET = "batches"
DEVICES = [f"893144040009399522{60 + index}" for index in range(5)]

_names = (f"campaign-{number}" for number in itertools.count())


class Queue:
    """A send queue that keeps every message for good, as if each was delivered again and again."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        # How many of the next calls leave out all but the first message.
        self.is_failing = False

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        """Take messages as SQS does."""
        assert QueueUrl.endswith("send")
        assert 1 <= len(Entries) <= 10
        taken = Entries[:1] if self.is_failing else Entries
        self.messages += [] if self.is_failing and len(Entries) == 1 else taken
        left = [entry for entry in Entries if self.is_failing and (entry not in taken or len(Entries) == 1)]
        return {"Failed": [{"Id": entry["Id"]} for entry in left]}


class World:
    """A campaign, its queue, a worker, and a clock.

    Parameters
    ----------
    s3, dynamodb, store
        What both share.
    rows : int
        How many rows it has, two of which are a batch.
    """

    def __init__(
        self, s3: S3Client, dynamodb: DynamoDBClient, store: RecordStore, rows: int = 5, **limits: Any
    ) -> None:
        self.s3, self.dynamodb, self.store = s3, dynamodb, store
        self.now = 1_800_000_000.0
        self.queue = Queue()
        self.sent: list[str] = []
        self.campaign = Campaign(BUCKET, f"{(name := next(_names))}.csv", name, "Hello")
        body = "deviceId\n" + "".join(f"{device}\n" for device in DEVICES[:rows])
        s3.put_object(Bucket=BUCKET, Key=self.campaign.key, Body=body.encode())
        with patch.object(runs, "MAX_BATCH_ROWS", 2):
            self.prepared = CampaignPreparer(s3).prepare(self.campaign)
        self.batches = list(read_batches(s3, self.campaign))
        self.items = CampaignItems(dynamodb, TABLE, clock=self.clock)
        self.settings = Settings(
            cube_base_url="https://cube.example.com",
            cube_secret_id="secret",
            messages_table=TABLE,
            send_queue_url="https://sqs.example.com/send",
            dead_letter_queue_url="https://sqs.example.com/dead",
            rejected_queue_url="https://sqs.example.com/rejected",
            **limits,
        )
        sqs: Any = self.queue
        self.sender = BatchSender(s3, dynamodb, sqs, self.settings, clock=self.clock, sleep=lambda _: None)
        self.executions = itertools.count()
        self.run()

    def clock(self) -> float:
        self.now += 0.01
        return self.now

    def run(self) -> None:
        """Begin a run, the first one or one that goes on."""
        former = self.items.run(self.campaign.name)
        run = Run(f"arn:{next(self.executions)}", BUCKET, self.campaign.key, self.now, **self.prepared.counts)
        assert self.items.begin(self.campaign.name, run, former)

    def stop(self) -> None:
        """Stop the campaign, but look at none of its batches."""
        run = self.items.run(self.campaign.name)
        assert run
        self.items.note(self.campaign.name, run.execution, stopped_at=self.now)

    def look(self, batch: int) -> bool:
        """Look at a batch, and return whether it has ended."""
        return self.sender.look(self.campaign, self.batches[batch % len(self.batches)]).is_ended

    def break_off(self, batch: int) -> None:
        """Look at a batch, where SQS takes one message of ten at most and then none."""
        self.queue.is_failing = True
        try:
            self.look(batch)
        except RowsNotPutError:
            pass
        finally:
            self.queue.is_failing = False

    def work(self, index: int) -> None:
        """Have a worker take a message, and leave it on the queue."""
        if not self.queue.messages:
            return
        message = self.queue.messages[index % len(self.queue.messages)]
        request = parse_send_request(message["MessageBody"].encode())
        restart = message.get("MessageAttributes", {}).get("failedClaim", {}).get("StringValue")
        claim = self.store.claim(request, restart=restart)
        if claim.is_held:
            self.sent.append(request.device_id)
            self.store.finish(claim.record, State.SENT)

    def finish(self) -> None:
        """Go on until all batches have ended."""
        for _ in range(20):
            ends = [self.look(batch) for batch in range(len(self.batches))]
            if all(ends):
                return
            for index in range(len(self.queue.messages)):
                self.work(index)
        raise AssertionError("a batch does not end")


@pytest.fixture(scope="module")
def s3(dynamodb: DynamoDBClient) -> S3Client:
    client = boto3.client("s3", region_name=dynamodb.meta.region_name)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return client


STEPS = st.one_of(
    st.tuples(st.sampled_from(["look", "break_off"]), st.integers(0, 2)),
    st.tuples(st.just("work"), st.integers(0, 30)),
    st.tuples(st.sampled_from(["stop", "run"])),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(steps=st.lists(STEPS, max_size=25))
@example(steps=[("look", 0), ("stop",), ("look", 0), ("run",), ("work", 0), ("look", 0), ("work", 0), ("stop",)])
@example(steps=[("break_off", 0), ("stop",), ("look", 0), ("work", 0), ("run",)])
@example(steps=[("look", 0), ("run",), ("stop",), ("look", 0), ("work", 0), ("work", 1), ("run",)])
def test_every_row_is_sent_once(
    s3: S3Client, dynamodb: DynamoDBClient, store: RecordStore, steps: list[tuple[Any, ...]]
) -> None:
    # Given a campaign with looks, looks that break off, workers, stops and further runs in any order
    world = World(s3, dynamodb, store)
    for name, *arguments in steps:
        getattr(world, name)(*arguments)

    # When a last run goes on to its end
    world.run()
    world.finish()

    # Then every row has been sent, once, and the result says so
    assert sorted(world.sent) == DEVICES
    assert CampaignReporter(s3, dynamodb, TABLE).report(world.campaign) == {"SENT": 5}


def test_a_stopped_campaign_sends_nothing_more(s3: S3Client, dynamodb: DynamoDBClient, store: RecordStore) -> None:
    # Given a campaign of which a batch is on the queue, half of it sent, and others are not there yet
    world = World(s3, dynamodb, store)
    world.look(0)
    world.work(0)

    # When it is stopped, and each batch looked at once
    world.stop()
    assert all(world.look(batch) for batch in range(3))
    for index in range(len(world.queue.messages)):
        world.work(index)

    # Then what was on the queue is cancelled, and what was not has no record
    assert world.sent == DEVICES[:1]
    assert CampaignReporter(s3, dynamodb, TABLE).report(world.campaign) == {"SENT": 1, "CANCELLED": 1, "NOT_TRIED": 3}
    record = store.get(f"default#{world.campaign.name}-2")
    assert record
    assert record.reason == STOPPED


def test_a_row_is_not_sent_again_when_its_record_is_gone(
    s3: S3Client, dynamodb: DynamoDBClient, store: RecordStore
) -> None:
    # Given a campaign that has ended, longer ago than its records are kept
    world = World(s3, dynamodb, store)
    world.finish()
    for number in range(1, 6):
        dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": f"default#{world.campaign.name}-{number}"}})

    # When it runs again
    world.run()
    world.finish()

    # Then nothing is sent, and the result tells what was
    assert sorted(world.sent) == DEVICES
    assert CampaignReporter(s3, dynamodb, TABLE).report(world.campaign) == {"SENT": 5}


def test_rows_wait_in_the_file_while_the_quota_is_spent(
    s3: S3Client, dynamodb: DynamoDBClient, store: RecordStore
) -> None:
    # Given a day whose quota is spent
    world = World(s3, dynamodb, store, cube_daily_quota=10)
    today = int(world.now // DAY)
    dynamodb.put_item(
        TableName=TABLE, Item={"messageId": {"S": "#gate"}, "day": {"N": str(today)}, "used": {"N": "10"}}
    )
    try:
        # When a batch is looked at
        looked = world.sender.look(world.campaign, world.batches[0])

        # Then nothing is put onto the queue before the next day
        assert (looked.is_ended, looked.wait, world.queue.messages) == (False, MOST_CLOSED_PAUSE, [])
        world.now = (today + 1) * DAY + 10
        assert not world.look(0)
        assert len(world.queue.messages) == 2
    finally:
        dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": "#gate"}})


def test_a_message_that_is_lost_is_put_again_when_the_queue_cannot_have_it(
    s3: S3Client, dynamodb: DynamoDBClient, store: RecordStore
) -> None:
    # Given rows whose messages somebody has purged
    world = World(s3, dynamodb, store, rows=2)
    world.look(0)
    world.queue.messages.clear()

    # When they are looked at again and again, then they are put again after SQS's 14 days, and not before
    for _ in range(3):
        world.now += 4 * DAY
        world.look(0)
    assert world.queue.messages == []
    world.now += 4 * DAY
    world.look(0)
    assert len(world.queue.messages) == 2


def test_batches_hold_every_row_of_a_large_file_once(s3: S3Client) -> None:
    # Given a file of 100,000 rows
    campaign = Campaign(BUCKET, "large.csv", "large", "Hello")
    body = "deviceId\n" + "".join(f"89314404{number:012}\n" for number in range(100_000))
    s3.put_object(Bucket=BUCKET, Key=campaign.key, Body=body.encode())

    # When it is read
    prepared = CampaignPreparer(s3).prepare(campaign)

    # Then its batches follow each other without a gap, and each can be read for itself
    batches = list(read_batches(s3, campaign))
    assert (prepared.rows, prepared.requests, prepared.batches, len(batches)) == (100_000, 100_000, 334, 334)
    for batch, following in itertools.pairwise(batches):
        assert (batch.first + batch.rows, batch.start + batch.size) == (following.first, following.start)
    last = runs.read_batch(s3, campaign, batches[-1])
    assert [json.loads(row.request.to_json())["deviceId"] for row in last if row.request][-1] == "89314404000000099999"
