"""The result of a campaign: the outcome of each row of its file."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from cube_sms.delivery import Record, RecordTable, Refusal, RequestConflictError, State

from .files import normalized
from .objects import let_go, write_chunks
from .outcomes import NOT_TRIED, REFUSED, UNREADABLE, find_outcomes
from .progress import CampaignItems
from .runs import read_batches, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

    from cube_sms.request import SendRequest

    from .outcomes import Found
    from .runs import Campaign, Head, Row

# Columns of the result, after the file's own.
OUTCOME = ("requestId", "state", "attempts", "possiblyDuplicated", "code", "message", "reason", "jobId", "updatedAt")

# The states of rows that another run may send.
_OPEN = {NOT_TRIED, State.CANCELLED, *(state for state in State if not state.is_final)}

# A spreadsheet takes a cell that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CampaignReporter:
    """Writes the results of campaigns.

    Parameters
    ----------
    s3 : S3Client
        boto3's client.
    dynamodb : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    has_receipts : bool
        Whether what was sent may turn out to be delivered or not.
    clock : Callable[[], float]
        Seconds since the epoch.
    sleep : Callable[[float], None]
        Waits for seconds.
    """

    def __init__(
        self,
        s3: S3Client,
        dynamodb: DynamoDBClient,
        table: str,
        *,
        has_receipts: bool = False,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._s3 = s3
        self._records = RecordTable(dynamodb, table, sleep=sleep)
        self._items = CampaignItems(dynamodb, table, clock=clock, sleep=sleep)
        self._has_receipts = has_receipts
        self._clock = clock

    def report(self, campaign: Campaign) -> dict[str, int]:
        """Write the result: the file's own columns, and the outcome of each row.

        Parameters
        ----------
        campaign : Campaign
            What was sent.

        Returns
        -------
        dict[str, int]
            How many rows are in which state.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is unavailable, or leaves out records again and again.
        """
        counts: Counter[str] = Counter()
        head, rows = read_rows(self._s3, campaign)
        write_chunks(
            self._s3,
            campaign.bucket,
            campaign.result_key,
            self._result(campaign, head, rows, counts),
            content_type="text/csv; charset=utf-8",
        )
        if not counts.keys() & _OPEN:
            # All rows have ended: a further run would send none.
            let_go(self._s3, campaign.bucket, campaign.key, campaign.rows_key, campaign.result_key)
        return dict(counts)

    def end(self, campaign: Campaign, execution: str | None) -> bool:
        """Note that a campaign's run has its result, and return whether an operator had stopped it.

        Parameters
        ----------
        campaign : Campaign
            The campaign.
        execution : str or None
            ARN of the execution that has the result; None for that of the newest run. One that only writes the result
            again ends no run.

        Returns
        -------
        bool
            Whether an operator had stopped the newest run.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        run = self._items.run(campaign.name)
        if not run:
            return False
        noted = self._items.note(campaign.name, execution or run.execution, ended_at=self._clock())
        return bool((noted or run).stopped_at)

    def _result(self, campaign: Campaign, head: Head, rows: Iterator[Row], counts: Counter[str]) -> Iterator[bytes]:
        yield head.prefix.encode() + _as_csv([[*_renamed(head.columns), *OUTCOME]], head.delimiter)
        for batch in read_batches(self._s3, campaign):
            some = list(islice(rows, batch.rows))
            requests = {row.request.message_id: row.request for row in some if row.request}
            found = find_outcomes(self._s3, self._records, campaign, batch, requests, has_receipts=self._has_receipts)
            outcomes = _outcomes(some, found)
            counts.update(outcome["state"] for outcome in outcomes)
            yield _as_csv(
                (
                    [*row.cells, *(outcome.get(name) for name in OUTCOME)]
                    for row, outcome in zip(some, outcomes, strict=True)
                ),
                head.delimiter,
            )


def _outcomes(rows: Sequence[Row], found: Mapping[str, Found]) -> list[dict[str, Any]]:
    outcomes = []
    for row in rows:
        if row.request:
            outcome = _outcome(row.request, found.get(row.request.message_id))
        else:
            outcome = {"state": REFUSED, "reason": row.reason}
        outcomes.append({**outcome, "requestId": row.request_id})
    return outcomes


def _renamed(columns: Sequence[str]) -> list[str]:
    """Return the names of a file's columns for its result. One that equals a column of `OUTCOME` is changed."""
    ours = set(map(normalized, OUTCOME))
    taken = ours | set(map(normalized, columns))
    names = []
    for column in columns:
        name = column
        if normalized(column) in ours:
            while normalized(name) in taken:
                name += " (file)"
            taken.add(normalized(name))
        names.append(name)
    return names


def _outcome(request: SendRequest, found: Found) -> dict[str, Any]:
    match found:
        case None:
            return {"state": NOT_TRIED}
        case Refusal():
            return {"state": REFUSED, "reason": found.detail}
        case Record() if found.is_of(request):
            outside = {name: _inert(found.members[name]) for name in ("code", "message", "jobId", "reason")}
            return {**found.members, "possiblyDuplicated": str(found.possibly_duplicated).lower(), **outside}
        case Record():
            # The record is of another request: of an earlier run, after which the file was changed.
            return {"state": REFUSED, "reason": str(RequestConflictError(str(request.request_id)))}
        case error:
            # An operator has changed the record by hand. The other rows have their outcomes.
            return {"state": UNREADABLE, "reason": str(error)}


def _inert(text: str | None) -> str | None:
    return f"'{text}" if text and text.startswith(_FORMULA) else text


def _as_csv(lines: Iterable[Iterable[object]], delimiter: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(lines)
    return text.getvalue().encode()
