"""Campaigns as their two functions see them: a file, what is put onto the queue for it, and its result."""

from __future__ import annotations

import csv
import io
import itertools
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3

from cube_sms.campaigns import Campaign
from cube_sms.campaigns.runs import read_batch, read_batches
from functions.prepare_campaign import app as prepare_campaign
from functions.report_campaign import app as report_campaign
from tests.support import Context
from tests.unit.records_table import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from mypy_boto3_s3 import S3Client

BUCKET = "campaigns"
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "CUBE_BASE_URL": "https://cube.example.com/",
    "CUBE_SECRET_ID": "cube-sms-credentials",
    "MESSAGES_TABLE": TABLE,
    "SEND_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/cube-sms-send",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/cube-sms-dead",
    "REJECTED_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/cube-sms-rejected",
}

EXECUTION = "arn:aws:states:eu-central-1:123456789012:execution:cube-sms-campaign:an-execution"

_names = (f"campaign-{number}" for number in itertools.count())


class Ran(NamedTuple):
    """What a campaign came to, none of whose messages any worker has taken.

    Parameters
    ----------
    refusal : str
        Why nothing was sent, if nothing was.
    requests : list[dict]
        What the state machine puts onto the queue.
    result : str
        The file of outcomes.
    states : dict[str, int]
        How many rows it has in which state.
    """

    refusal: str = ""
    requests: tuple[dict[str, Any], ...] = ()
    result: str = ""
    states: dict[str, int] = {}  # noqa: RUF012 - a default that nobody changes

    def table(self, delimiter: str = ",") -> list[list[str]]:
        """Return the cells of the result, its header first."""
        return list(csv.reader(io.StringIO(self.result.removeprefix("\ufeff"), newline=""), delimiter=delimiter))

    def rows(self, delimiter: str = ",") -> list[dict[str, str]]:
        """Return the rows of the result by the names of their columns."""
        header, *rows = self.table(delimiter)
        assert len(set(map(str.casefold, header))) == len(header)
        return [dict(zip(header, row, strict=True)) for row in rows]


class CampaignRuns:
    """Runs campaigns through the handlers, between which the state machine stands.

    Parameters
    ----------
    s3 : S3Client
        Where the files are.
    """

    def __init__(self, s3: S3Client) -> None:
        self._s3 = s3

    @classmethod
    def deploy(cls, monkeypatch: pytest.MonkeyPatch) -> CampaignRuns:
        """Make the bucket, and the functions cold."""
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        prepare_campaign.settings.cache_clear()
        prepare_campaign.preparer.cache_clear()
        prepare_campaign.dry_runner.cache_clear()
        prepare_campaign.starter.cache_clear()
        report_campaign.reporter.cache_clear()
        s3 = boto3.client("s3", region_name="eu-central-1")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        return cls(s3)

    def run(self, file: bytes | str, **data: Any) -> Ran:
        """Run a campaign of a file. Its input is the given one; ``content`` is "Hello" if that says nothing else."""
        name = next(_names)
        body = file.encode() if isinstance(file, str) else file
        self._s3.put_object(Bucket=BUCKET, Key=f"{name}.csv", Body=body)
        answer = self.prepare({"key": f"{name}.csv", "campaign": name, "content": "Hello", **data})
        if "refusal" in answer:
            assert self._keys(f"runs/{name}.") == self._keys(f"{name}.outcomes") == []
            return Ran(answer["refusal"])
        requests = tuple(self._requests(answer))
        states = self.report(answer, execution=EXECUTION)["states"]
        result = self._read(f"{name}.outcomes.csv")
        assert len(requests) == answer["requests"]
        assert sum(states.values()) == answer["rows"]
        return Ran("", requests, result, states)

    def dry_run(self, file: bytes | str, **data: Any) -> dict[str, Any]:
        """Run a campaign of a file dry, and return what is found. Nothing is left in the bucket but the file."""
        name = next(_names)
        body = file.encode() if isinstance(file, str) else file
        self._s3.put_object(Bucket=BUCKET, Key=f"{name}.csv", Body=body)
        answer = self.prepare({"key": f"{name}.csv", "campaign": name, "content": "Hello", "dryRun": True, **data})
        assert self._keys(f"runs/{name}.") == self._keys(f"{name}.outcomes") == []
        return answer

    def prepare(self, data: Any, execution: str = EXECUTION) -> dict[str, Any]:
        """Invoke the function at the start of a campaign."""
        event = {"bucket": BUCKET, "execution": execution, "input": data}
        answer: dict[str, Any] = prepare_campaign.handler(event, Context())
        return answer

    def report(self, prepared: dict[str, Any], **execution: str) -> dict[str, Any]:
        """Invoke the function at the end of a campaign."""
        event = {"bucket": BUCKET, "key": prepared["key"], "campaign": prepared["campaign"], **execution}
        answer: dict[str, Any] = report_campaign.handler(event, Context())
        return answer

    def _requests(self, prepared: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Return what is put onto the queue for all batches, but that all of it is bulk."""
        campaign = Campaign(BUCKET, prepared["key"], prepared["campaign"])
        for batch in read_batches(self._s3, campaign):
            for row in read_batch(self._s3, campaign, batch):
                if row.request:
                    request = json.loads(row.request.to_json())
                    assert request.pop("priority") == "bulk"
                    yield request

    def _keys(self, prefix: str) -> list[str]:
        return [each["Key"] for each in self._s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]

    def _read(self, key: str) -> str:
        return self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
