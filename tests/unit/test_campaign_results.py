"""Results of campaigns that are written again after the end, through the handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from cube_sms.campaigns import Campaign, CampaignItems
from tests.unit.campaign_runs import BUCKET, EXECUTION, CampaignRuns
from tests.unit.records_table import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

LATER = "arn:aws:states:eu-central-1:123456789012:execution:cube-sms-campaign:a-later-execution"
FILE = b"deviceId\n89314404000939952264\n"


@pytest.fixture(scope="module")
def campaigns(dynamodb: DynamoDBClient) -> Iterator[CampaignRuns]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield CampaignRuns.deploy(monkeypatch)


@pytest.fixture
def s3(campaigns: CampaignRuns) -> S3Client:
    return boto3.client("s3", region_name="eu-central-1")


def prepared(campaigns: CampaignRuns, s3: S3Client, name: str) -> dict[str, Any]:
    """Return what the state machine knows of a campaign whose file has been read."""
    s3.put_object(Bucket=BUCKET, Key=f"{name}.csv", Body=FILE)
    return campaigns.prepare({"key": f"{name}.csv", "campaign": name, "content": "Hello"})


def again(campaigns: CampaignRuns, name: str) -> dict[str, Any]:
    """Return what the state machine knows if only the result is to be written."""
    return campaigns.prepare({"key": "another.csv", "campaign": name, "resultOnly": True}, LATER)


@pytest.mark.parametrize("execution", [{"execution": EXECUTION}, {}], ids=["this", "an earlier state machine"])
def test_a_result_is_written_again_and_the_run_stays_as_it_is(
    campaigns: CampaignRuns, s3: S3Client, dynamodb: DynamoDBClient, execution: dict[str, str]
) -> None:
    # Given a campaign that has ended, and whose file has changed since
    first = campaigns.report(prepared(campaigns, s3, "ended"), **execution)
    items = CampaignItems(dynamodb, TABLE)
    run = items.run("ended")
    assert run
    assert run.ended_at
    s3.put_object(Bucket=BUCKET, Key=run.key, Body=FILE + b"89314404000939952272\n")
    s3.delete_object(Bucket=BUCKET, Key=first["key"])
    # When only its result is to be written
    found = again(campaigns, "ended")
    # Then the state machine has nothing to send
    assert found == {"key": "ended.csv", "campaign": "ended", "requests": 0}
    # And the result is that of the rows as they were read
    assert campaigns.report(found, execution=LATER) == first
    assert s3.get_object(Bucket=BUCKET, Key=first["key"])["Body"].read().count(b"893144") == 1
    # And the run is the same, with its end
    assert items.run("ended") == run


def test_a_campaign_that_has_not_ended_has_no_result(campaigns: CampaignRuns, s3: S3Client) -> None:
    prepared(campaigns, s3, "running")
    assert again(campaigns, "running") == {"refusal": "No campaign named running has ended"}
    assert again(campaigns, "no-such") == {"refusal": "No campaign named no-such has ended"}


def test_a_result_that_is_written_again_does_not_end_a_run_that_began_meanwhile(
    campaigns: CampaignRuns, s3: S3Client, dynamodb: DynamoDBClient
) -> None:
    # Given a campaign that begins again while its result is written
    campaigns.report(prepared(campaigns, s3, "resumed"), execution=EXECUTION)
    found = again(campaigns, "resumed")
    prepared(campaigns, s3, "resumed")
    campaigns.report(found, execution=LATER)
    # Then that run goes on
    run = CampaignItems(dynamodb, TABLE).run("resumed")
    assert run
    assert not run.ended_at


def test_a_result_is_not_written_from_deleted_rows(campaigns: CampaignRuns, s3: S3Client) -> None:
    # Given a campaign whose rows the bucket has deleted
    told = campaigns.report(prepared(campaigns, s3, "old"), execution=EXECUTION)
    s3.delete_object(Bucket=BUCKET, Key=Campaign(BUCKET, "old.csv", "old").rows_key)
    # Then its last result stays
    assert again(campaigns, "old") == {"refusal": "The rows of the campaign old are deleted"}
    assert s3.head_object(Bucket=BUCKET, Key=told["key"])
