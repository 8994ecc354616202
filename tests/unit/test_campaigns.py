"""The result of a campaign: what became of each row, whatever the file looks like."""

from __future__ import annotations

import csv
import io
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from cube_sms.campaigns.files import COLUMNS
from cube_sms.campaigns.outcomes import NOT_TRIED, REFUSED, UNREADABLE
from cube_sms.campaigns.reports import OUTCOME, CampaignReporter
from cube_sms.campaigns.runs import Campaign, CampaignPreparer
from cube_sms.delivery.states import State
from cube_sms.platform import rfc3339
from cube_sms.platform.errors import RecordsUnavailableError
from cube_sms.request.parsing import parse_send_request
from tests.unit.records_table import TABLE, in_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

    from cube_sms.delivery.records import RecordStore
    from tests.support import Clock

ROOT = Path(__file__).parents[2]
BUCKET = "campaigns"
DEVICE = "89314404000939952261"

_names = (f"campaign-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def s3(dynamodb: DynamoDBClient) -> S3Client:
    """S3 with a bucket, in the account of the table."""
    client = boto3.client("s3", region_name=dynamodb.meta.region_name)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return client


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def reporter(s3: S3Client, dynamodb: DynamoDBClient, pauses: list[float]) -> CampaignReporter:
    return CampaignReporter(s3, dynamodb, TABLE, sleep=pauses.append)


def uploaded(s3: S3Client, text: str | bytes, content: str = "Hello") -> Campaign:
    """Put a file into the bucket, have it read, and return its campaign."""
    name = next(_names)
    s3.put_object(Bucket=BUCKET, Key=f"{name}.csv", Body=text.encode() if isinstance(text, str) else text)
    campaign = Campaign(BUCKET, f"{name}.csv", name, content)
    CampaignPreparer(s3).prepare(campaign)
    return campaign


def result(s3: S3Client, campaign: Campaign) -> list[dict[str, str]]:
    """Return the rows of a campaign's result."""
    text = s3.get_object(Bucket=BUCKET, Key=campaign.result_key)["Body"].read().decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def send(store: RecordStore, state: State, fields: dict[str, str], **finish: Any) -> None:
    """Leave the message of a request in a state."""
    in_state(store, parse_send_request(json.dumps(fields).encode()), state, **finish)


def test_each_row_is_told_with_the_outcome_of_its_message(
    s3: S3Client, store: RecordStore, reporter: CampaignReporter, clock: Clock
) -> None:
    # Given a campaign whose messages have ended in every way, or have not
    states = list(State)
    devices = [f"893144040009399522{60 + index}" for index in range(len(states))]
    campaign = uploaded(s3, "city,deviceId\n" + "".join(f"Oslo,{device}\n" for device in devices))
    for number, (device, state) in enumerate(zip(devices, states, strict=True), start=1):
        fields = {"requestId": f"{campaign.name}-{number}", "deviceId": device, "content": "Hello"}
        send(store, state, fields, code="0000", message="success", job_id="job-1", reason="because")

    # When it is reported
    counts = reporter.report(campaign)

    # Then every row has its own cells and its message's state, and is counted
    rows = result(s3, campaign)
    assert [(row["city"], row["deviceId"], row["state"]) for row in rows] == [
        ("Oslo", device, state) for device, state in zip(devices, states, strict=True)
    ]
    assert counts == dict.fromkeys(states, 1)
    sent = rows[states.index(State.SENT)]
    assert list(sent) == ["city", "deviceId", *OUTCOME]
    assert {name: sent[name] for name in OUTCOME} == {
        "requestId": f"{campaign.name}-{states.index(State.SENT) + 1}",
        "state": "SENT",
        "attempts": "1",
        "possiblyDuplicated": "false",
        "code": "0000",
        "message": "success",
        "jobId": "job-1",
        "reason": "because",
        "updatedAt": rfc3339(clock()),
    }


def test_a_row_may_have_a_request_of_its_own(s3: S3Client, store: RecordStore, reporter: CampaignReporter) -> None:
    # Given a row that gives every field
    own = {
        "requestId": next(_names),
        "account": "other",
        "deviceId": DEVICE,
        "messageType": "Binary",
        "content": "0A1B",
        "expiresAt": "2027-01-31T12:00:00Z",
        "delivery": "at-most-once",
    }
    campaign = uploaded(s3, f"{','.join(own)}\n{','.join(own.values())}\n")
    send(store, State.SENT, own)

    # Then it is this request's record that is shown
    assert own.keys() == set(COLUMNS)
    assert reporter.report(campaign) == {"SENT": 1}
    (row,) = result(s3, campaign)
    assert (row["requestId"], row["account"], row["content"]) == (own["requestId"], "other", "0A1B")


def test_a_row_that_is_no_valid_request_is_told_with_every_fault(s3: S3Client, reporter: CampaignReporter) -> None:
    campaign = uploaded(s3, "deviceId,messageType,content\nsensor 7,SMS,\n,Text,\n", content="")

    assert reporter.report(campaign) == {REFUSED: 2}
    first, second = result(s3, campaign)
    assert (first["requestId"], first["attempts"]) == (f"{campaign.name}-1", "")
    assert [fault.partition(":")[0] for fault in first["reason"].split("; ")] == ["deviceId", "messageType", "content"]
    assert "deviceId: is required" in second["reason"]


def test_a_row_whose_id_belongs_to_another_request_is_refused(
    s3: S3Client, store: RecordStore, reporter: CampaignReporter
) -> None:
    # Given a file that was changed after its first run
    campaign = uploaded(s3, f"deviceId,content\n{DEVICE},Goodbye\n")
    send(store, State.SENT, {"requestId": f"{campaign.name}-1", "deviceId": DEVICE, "content": "Hello"})

    # Then the row does not pass for sent
    assert reporter.report(campaign) == {REFUSED: 1}
    (row,) = result(s3, campaign)
    assert row["reason"] == f"requestId: {campaign.name}-1 belongs to a different request"


def test_a_row_that_was_refused_when_it_was_to_be_sent_is_told_why(
    s3: S3Client, store: RecordStore, reporter: CampaignReporter
) -> None:
    campaign = uploaded(s3, f"deviceId,account\n{DEVICE},nobody\n")
    store.refuse(f"{campaign.name}-1", "token", reason="InvalidRequest", detail="account: has no credentials")

    assert reporter.report(campaign) == {REFUSED: 1}
    assert result(s3, campaign)[0]["reason"] == "account: has no credentials"


def test_a_row_that_no_worker_has_taken_is_told_so(s3: S3Client, reporter: CampaignReporter) -> None:
    campaign = uploaded(s3, f"deviceId\n{DEVICE}\n")

    assert reporter.report(campaign) == {NOT_TRIED: 1}
    assert result(s3, campaign)[0]["state"] == NOT_TRIED


def test_a_row_whose_record_somebody_has_changed_is_told_so(
    s3: S3Client, dynamodb: DynamoDBClient, store: RecordStore, reporter: CampaignReporter
) -> None:
    # Given three rows that were sent or refused, and two whose items are spoiled
    campaign = uploaded(s3, "deviceId\n" + f"{DEVICE}\n" * 3)
    for number in (1, 2):
        send(store, State.SENT, {"requestId": f"{campaign.name}-{number}", "deviceId": DEVICE, "content": "Hello"})
    store.refuse(f"{campaign.name}-3", "token", reason="InvalidRequest", detail="account: has no credentials")
    for key, name in ((f"default#{campaign.name}-1", "updatedAt"), (f"#refused#{campaign.name}-3", "detail")):
        dynamodb.update_item(
            TableName=TABLE,
            Key={"messageId": {"S": key}},
            UpdateExpression="SET #name = :value",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":value": {"N": "2026"}},
        )
    # Then the report ends, and names the attributes
    assert reporter.report(campaign) == {UNREADABLE: 2, "SENT": 1}
    assert [row["reason"].partition(":")[0] for row in result(s3, campaign)] == ["updatedAt", "", "detail"]


def test_a_request_that_stands_in_two_rows_is_told_in_both(
    s3: S3Client, store: RecordStore, reporter: CampaignReporter
) -> None:
    request_id = next(_names)
    campaign = uploaded(s3, f"deviceId,requestId\n{DEVICE},{request_id}\n{DEVICE},{request_id}\n")
    send(store, State.SENT, {"requestId": request_id, "deviceId": DEVICE, "content": "Hello"})

    assert reporter.report(campaign) == {"SENT": 2}


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_words_of_the_provider_are_no_formulas(
    s3: S3Client, store: RecordStore, reporter: CampaignReporter, text: str
) -> None:
    # Given a provider that answers with what a spreadsheet would calculate
    campaign = uploaded(s3, f"deviceId,note\n{DEVICE},-5 °C\n")
    fields = {"requestId": f"{campaign.name}-1", "deviceId": DEVICE, "content": "Hello"}
    send(store, State.REJECTED, fields, code=text, message=text, reason=text)

    reporter.report(campaign)

    # Then it is text, and the file's own cells are as they were
    (row,) = result(s3, campaign)
    assert [row["code"], row["message"], row["reason"]] == [f"'{text}"] * 3
    assert row["note"] == "-5 °C"


@pytest.fixture
def left_out(dynamodb: DynamoDBClient) -> Iterator[list[int]]:
    """Have DynamoDB leave out all keys but this many of each call, one number for each call; gives how many it read."""
    limits: list[int] = []

    def leave_out(parsed: dict[str, Any], **_: Any) -> None:
        if limits:
            found = parsed["Responses"][TABLE]
            kept, rest = found[: limits[0]], found[limits.pop(0) :]
            parsed["Responses"][TABLE] = kept
            parsed["UnprocessedKeys"] = {TABLE: {"Keys": [{"messageId": item["messageId"]} for item in rest]}}

    dynamodb.meta.events.register("after-call.dynamodb.BatchGetItem", leave_out)
    yield limits
    dynamodb.meta.events.unregister("after-call.dynamodb.BatchGetItem", leave_out)


def test_records_that_dynamodb_leaves_out_are_asked_for_again(
    s3: S3Client, store: RecordStore, reporter: CampaignReporter, left_out: list[int], pauses: list[float]
) -> None:
    # Given DynamoDB that reads some of the records, then none, then the rest
    campaign = uploaded(s3, "deviceId\n" + f"{DEVICE}\n" * 5)
    for number in range(1, 6):
        send(store, State.SENT, {"requestId": f"{campaign.name}-{number}", "deviceId": DEVICE, "content": "Hello"})
    left_out += [2, 0, 5]

    # Then every row is reported, and DynamoDB had its pauses
    assert reporter.report(campaign) == {"SENT": 5}
    assert pauses == [0.05, 0.1]


def test_records_that_stay_left_out_are_an_error(
    s3: S3Client, store: RecordStore, reporter: CampaignReporter, left_out: list[int]
) -> None:
    campaign = uploaded(s3, f"deviceId\n{DEVICE}\n")
    send(store, State.SENT, {"requestId": f"{campaign.name}-1", "deviceId": DEVICE, "content": "Hello"})
    left_out += [0] * 20

    with pytest.raises(RecordsUnavailableError, match="1 records were left out"):
        reporter.report(campaign)


def test_a_result_of_several_parts_is_whole(s3: S3Client, reporter: CampaignReporter) -> None:
    # Given a file so large that its result is uploaded in parts
    notes = [f"{number} {'x' * 100_000}" for number in range(250)]
    campaign = uploaded(s3, "deviceId,note\n" + "".join(f"{DEVICE},{note}\n" for note in notes))

    # Then nothing of it is missing
    assert reporter.report(campaign) == {NOT_TRIED: 250}
    rows = result(s3, campaign)
    assert [row["note"] for row in rows] == notes
    assert [row["requestId"] for row in rows] == [f"{campaign.name}-{number}" for number in range(1, 251)]
