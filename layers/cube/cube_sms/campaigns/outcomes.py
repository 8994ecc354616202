"""The outcomes of a batch's rows, for as long as a run may last: longer than their records are kept."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from cube_sms.delivery import Record, Refusal, State

from .objects import is_missing, read_lines, write_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

    from cube_sms.delivery import RecordTable, SpoiledRecordError
    from cube_sms.request import SendRequest

    from .runs import Batch, Campaign

REFUSED = "REFUSED"
"""The row is no valid request, or its id belongs to another request. Its `reason` names the fault."""
NOT_TRIED = "NOT_TRIED"
"""The row is not on the send queue yet, or its batch failed. Another run sends it."""
UNREADABLE = "UNREADABLE"
"""The record of the row was changed by hand and cannot be read."""

ROW_STATES = (REFUSED, NOT_TRIED, UNREADABLE)
"""The states of a row in addition to those of its message."""

STOPPED = "its campaign was stopped"
"""The reason of messages that are cancelled with their campaign, and are sent if it is run again."""

type Found = Record | Refusal | SpoiledRecordError | None
"""What the table of records has of a message."""


def has_ended(request: SendRequest, found: Found) -> bool:
    """Return whether a row's outcome is known, and stays even if its campaign runs again."""
    if not isinstance(found, Record):
        # The caller that puts a row onto the queue again knows whether a refusal is older.
        return found is not None
    return not found.is_of(request) or (found.state.is_final and not is_stopped(found))


def is_stopped(found: Found) -> bool:
    """Return whether a message was cancelled because its campaign was stopped."""
    return isinstance(found, Record) and found.state is State.CANCELLED and found.reason == STOPPED


def state_of(request: SendRequest, found: Found) -> str:
    """Return a row's state: that of its message, or one of the others."""
    match found:
        case None:
            return NOT_TRIED
        case Record() if found.is_of(request):
            return str(found.state)
        case Record() | Refusal():
            return REFUSED
    return UNREADABLE


def has_news(request: SendRequest, found: Found, *, has_receipts: bool) -> bool:
    """Return whether more may be known of a row by now than its outcome that was kept."""
    awaits_receipt = has_receipts and isinstance(found, Record) and found.state is State.SENT
    return awaits_receipt or not has_ended(request, found)


def find_outcomes(
    s3: S3Client,
    records: RecordTable,
    campaign: Campaign,
    batch: Batch,
    requests: Mapping[str, SendRequest],
    *,
    has_receipts: bool,
) -> dict[str, Found]:
    """Return what is known of each row of a batch: an outcome that was kept, or what the table has at this moment.

    Parameters
    ----------
    s3 : S3Client
        boto3's client.
    records : RecordTable
        The table.
    campaign, batch
        The campaign and the batch of the rows.
    requests : Mapping[str, SendRequest]
        What is sent for the rows, by `SendRequest.message_id`.
    has_receipts : bool
        Whether what was sent may turn out to be delivered or not.

    Returns
    -------
    dict[str, Found]
        What is known, by the same.

    Raises
    ------
    RecordsUnavailableError
        If DynamoDB is unavailable, or leaves out records again and again.
    """
    kept = {key: record for key, record in _read_outcomes(s3, campaign, batch).items() if key in requests}
    left = [request for key, request in requests.items() if has_news(request, kept.get(key), has_receipts=has_receipts)]
    return {**kept, **records.find(left)}


def write_outcomes(s3: S3Client, campaign: Campaign, batch: Batch, found: Mapping[str, Found]) -> None:
    """Keep the records of a batch's rows, without their task tokens."""
    records = (record for record in found.values() if isinstance(record, Record) and record.state.is_final)
    lines = (msgspec.json.encode(asdict(record) | {"task_tokens": ()}) for record in records)
    write_lines(s3, campaign.bucket, campaign.outcomes_key(batch), lines)


def _read_outcomes(s3: S3Client, campaign: Campaign, batch: Batch) -> dict[str, Record]:
    """Return the records that were kept of a batch's rows, now or by an earlier run, by `SendRequest.message_id`."""
    try:
        lines = list(read_lines(s3, campaign.bucket, campaign.outcomes_key(batch)))
    except ClientError as error:
        if not is_missing(error):
            raise
        return {}
    return {record.message_id: record for record in map(_read, lines)}


def _read(line: bytes) -> Record:
    members: dict[str, Any] = msgspec.json.decode(line)
    return Record(**members | {"state": State[members["state"]], "task_tokens": frozenset()})
