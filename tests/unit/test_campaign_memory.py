"""What a large campaign takes of a function's memory: a part of its file at a time."""

from __future__ import annotations

import io
import tracemalloc
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from cube_sms.campaigns.reports import CampaignReporter
from cube_sms.campaigns.runs import Campaign, CampaignPreparer
from tests.unit.records_table import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

ROWS = 40_000
# A column of its own, which is in the result as well.
SITE = "A pump behind the house. " * 30

# In bytes. Most of it is what is known of each device (test_campaign_checks.py).
BOUND = 8_000_000


class _Folder:
    """As much of S3 as functions of a campaign need, on disk."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self._folder = folder
        self._opened = opened

    def file(self, key: str) -> Path:
        return self._folder / key.replace("/", "#")

    def get_object(self, *, Key: str, Range: str = "", **_: Any) -> dict[str, Any]:  # noqa: N803
        if not self.file(Key).exists():
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        assert not Range, "nobody here reads a part"
        body = self._opened.enter_context(self.file(Key).open("rb"))
        return {"Body": StreamingBody(cast("Any", body), cast("Any", None))}

    def upload_fileobj(self, body: BinaryIO, _bucket: str, key: str, **_: Any) -> None:
        with self.file(key).open("wb") as file:
            while piece := body.read(io.DEFAULT_BUFFER_SIZE):
                file.write(piece)

    def put_object_tagging(self, **_: Any) -> None:
        raise AssertionError("a campaign of cancelled rows may go on")


class _Records:
    """As much of DynamoDB as a report needs: every message was cancelled."""

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        at = {"S": "2026-01-12T10:00:00.000Z"}
        told: dict[str, Any] = {"state": {"S": "CANCELLED"}, "attempts": {"N": "0"}, "createdAt": at, "updatedAt": at}
        told |= {"owner": {"S": "somebody"}, "unsettled": {"BOOL": False}, "possiblyDuplicated": {"BOOL": False}}
        return {"Responses": {TABLE: [{**key, **told} for key in RequestItems[TABLE]["Keys"]]}}


@contextmanager
def bounded() -> Iterator[None]:
    """Hold that Python's objects never take more than `BOUND` within this context."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < BOUND


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[_Folder]:
    """Return a bucket with a file that is larger than the bound."""
    with ExitStack() as opened:
        folder = _Folder(tmp_path, opened)
        with folder.file("large.csv").open("w") as file:
            file.write("deviceId,site\n")
            file.writelines(f"8931{number:015},{SITE}\n" for number in range(ROWS))
        assert folder.file("large.csv").stat().st_size > 3 * BOUND
        yield folder


def test_a_large_file_is_prepared_and_reported_a_part_at_a_time(folder: _Folder) -> None:
    # Given a file that is larger than the bound
    s3, campaign = cast("S3Client", folder), Campaign("campaigns", "large.csv", "large", "Hello")

    # When it is prepared, and reported
    with bounded():
        prepared = CampaignPreparer(s3).prepare(campaign)
    with bounded():
        counts = CampaignReporter(s3, cast("DynamoDBClient", _Records()), TABLE).report(campaign)

    # Then memory held a part of it at a time, though every row is there
    assert (prepared.rows, prepared.requests) == (ROWS, ROWS)
    assert counts == {"CANCELLED": ROWS}
    assert folder.file(campaign.result_key).stat().st_size > folder.file("large.csv").stat().st_size
