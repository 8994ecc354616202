"""A campaign whose messages turn out to be delivered, or not, after they were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from cube_sms.campaigns import CampaignManager, Executions
from cube_sms.campaigns.manager import RECEIPT_PAUSE
from cube_sms.campaigns.reports import CampaignReporter
from cube_sms.delivery import FollowedRecords, Record, State
from tests.unit.records_table import TABLE
from tests.unit.test_campaign_batches import DEVICES, World, s3

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

    from cube_sms.delivery.records import RecordStore

__all__ = ["s3"]


class StepFunctions:
    """Step Functions, in which every execution has ended."""

    exceptions = boto3.client("stepfunctions", region_name="eu-central-1").exceptions

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:  # noqa: N803
        """Describe an execution."""
        return {"executionArn": executionArn, "stateMachineArn": "arn", "status": "SUCCEEDED", "input": "{}"}


class Campaign:
    """A campaign that has ended, and what asks how far it is."""

    def __init__(self, world: World, *, has_receipts: bool) -> None:
        self.world = world
        world.finish()
        step_functions: Any = StepFunctions()
        self.manager = CampaignManager(
            world.s3,
            world.dynamodb,
            world.items,
            Executions(step_functions),
            world.sender,
            world.settings,
            clock=world.clock,
        )
        self.reporter = CampaignReporter(world.s3, world.dynamodb, TABLE, has_receipts=has_receipts)
        self.followed = FollowedRecords(world.dynamodb, TABLE, retention=86_400.0, clock=world.clock)

    def settle(self, row: int, state: State) -> None:
        """Have the receipt of a row come."""
        record = self.world.store.get(f"default#{self.world.campaign.name}-{row}")
        assert isinstance(record, Record)
        assert self.followed.settle(record, state, f"#receipt#{record.message_id}", code=None, message=None)

    def states(self) -> dict[str, int]:
        """Return how many rows are in which state."""
        states: dict[str, int] = self.manager.show(self.world.campaign.name)["states"]
        return states


@pytest.fixture(params=[True, False], ids=["receipts", "none"])
def has_receipts(request: pytest.FixtureRequest) -> bool:
    """Whether the deployment asks for receipts."""
    return bool(request.param)


@pytest.fixture
def campaign(s3: S3Client, dynamodb: DynamoDBClient, store: RecordStore, has_receipts: bool) -> Campaign:
    return Campaign(World(s3, dynamodb, store, receipts=has_receipts), has_receipts=has_receipts)


def test_receipts_are_told_as_they_come(campaign: Campaign, has_receipts: bool) -> None:
    # Given a campaign whose rows were sent
    assert campaign.states() == {"SENT": 5}
    # When receipts of two of them come
    campaign.settle(1, State.DELIVERED)
    campaign.settle(4, State.UNDELIVERED)
    # Then a caller who asks again at once gets the same answer
    assert campaign.states() == {"SENT": 5}
    # And a while later what has come, if the deployment asks for receipts
    campaign.world.now += RECEIPT_PAUSE
    told = {"SENT": 3, "DELIVERED": 1, "UNDELIVERED": 1} if has_receipts else {"SENT": 5}
    assert campaign.states() == told
    assert campaign.manager.show(campaign.world.campaign.name)["hasReceipts"] is has_receipts
    # And so does its result, even if the records are gone by then
    for row in range(1, 6):
        key = {"messageId": {"S": f"default#{campaign.world.campaign.name}-{row}"}}
        campaign.world.dynamodb.delete_item(TableName=TABLE, Key=key)
    assert campaign.reporter.report(campaign.world.campaign) == told


@pytest.mark.parametrize("has_receipts", [True])
def test_result_that_is_written_later_has_the_receipts_since_then(campaign: Campaign) -> None:
    assert campaign.reporter.report(campaign.world.campaign) == {"SENT": 5}
    campaign.settle(2, State.DELIVERED)
    assert campaign.reporter.report(campaign.world.campaign) == {"SENT": 4, "DELIVERED": 1}


@pytest.mark.parametrize("has_receipts", [True])
def test_nobody_who_asks_has_anything_sent(campaign: Campaign) -> None:
    # Given a further run of the campaign, which has looked at no batch yet
    world = campaign.world
    sent, put = list(world.sent), len(world.queue.messages)
    assert sorted(sent) == DEVICES
    world.run()
    # When somebody asks how far it is
    world.now += RECEIPT_PAUSE + 1
    campaign.states()
    # Then the batches are left to that run
    looks = [world.items.look(world.campaign.name, batch.number) for batch in world.batches]
    assert {look.execution for look in looks if look} == {"arn:0"}
    assert len(world.queue.messages) == put
