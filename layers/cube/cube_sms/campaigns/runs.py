"""Campaigns: the send requests of a CSV file's rows, in batches for ``statemachine/campaign.asl.json``.

The file is read once, before anything is sent. Later steps read the rows as they were understood here: `BatchSender`
those of a batch, `CampaignReporter` all of them.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec
from botocore.exceptions import ClientError

from cube_sms.request import DEFAULT_MAX_CONTENT_LENGTH, InvalidRequestError, SendRequest, parse_send_request

from .checks import Checks, with_hint
from .csv import MAX_ROW, Record
from .errors import InvalidCampaignError
from .files import CONTENT, DEVICE, read_campaign_file
from .objects import is_missing, read_chunks, read_lines, write_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mypy_boto3_s3 import S3Client

    from .files import CampaignFile

_NAME = re.compile(r"[A-Za-z0-9._:-]{1,100}")

# A batch has an execution of its own, of a few dozen state transitions. It has rows for half a minute at the usual 10 a
# second. Its function has all of them in memory, so that their bytes are limited too.
MAX_BATCH_ROWS = 300
MAX_BATCH_BYTES = 4_194_304

# JSON can have these characters. SQS refuses them in any form.
_NOT_FOR_SQS = re.compile("[\ufffe\uffff]")

# The members of an input that are true or false.
_FLAGS = ("dryRun", "resultOnly")


class Campaign(NamedTuple):
    """What one run of the state machine sends.

    Parameters
    ----------
    bucket, key : str
        The file.
    name : str
        Its name. If the file gives no ids of requests, they begin with it.
    content : str
        The content of rows that have none of their own.
    is_dry_run : bool
        Whether its rows are only to be checked.
    is_result_only : bool
        Whether only its result is to be written again, after its end.
    """

    bucket: str
    key: str
    name: str
    content: str = ""
    is_dry_run: bool = False
    is_result_only: bool = False

    @classmethod
    def from_input(cls, bucket: str, execution: str, data: Any) -> Self:
        """Read the input of an execution.

        Parameters
        ----------
        bucket : str
            The bucket of campaigns' files.
        execution : str
            The execution's name. It becomes the campaign's if the input has none.
        data : Any
            The input.

        Returns
        -------
        Campaign
            The campaign.

        Raises
        ------
        InvalidCampaignError
            If the input has faults, with all of them.

        Examples
        --------
        >>> Campaign.from_input("bucket", "execution", {"key": "spring.csv"}).name
        'execution'
        """
        defaults = {"campaign": execution, "content": "", "dryRun": False, "resultOnly": False}
        given = {**defaults, **data} if isinstance(data, dict) else {}
        # An operator who writes "dry_run" wants to send nothing.
        own_names = {name.casefold(): name for name in defaults}
        faults = [
            f"{own_names[plain]}: is in another spelling"
            for name in given
            if name not in defaults and (plain := re.sub(r"[\W_]", "", name.casefold())) in own_names
        ]
        if not isinstance(given.get("key"), str) or not given["key"]:
            faults.append('key: must be the key of the file in the bucket, such as "spring.csv"')
        if not isinstance(given.get("campaign"), str) or not _NAME.fullmatch(given["campaign"]):
            faults.append(
                "campaign: must be 1 to 100 characters of A-Z, a-z, 0-9 and ._:- (without one it is the name of the "
                "execution)"
            )
        if not isinstance(given.get("content"), str):
            faults.append("content: must be a string")
        faults += [f"{name}: must be true or false" for name in _FLAGS if not isinstance(given.get(name), bool)]
        if all(given.get(name) is True for name in _FLAGS):
            faults.append("resultOnly: must be false in a dry run")
        if faults:
            raise InvalidCampaignError("; ".join(faults), "input")
        return cls(bucket, given["key"], given["campaign"], given["content"], given["dryRun"], given["resultOnly"])

    @property
    def rows_key(self) -> str:
        """The key of the rows as they were understood: `Head`, and then a `Row` in each line."""
        return f"runs/{self.name}.rows.jsonl"

    @property
    def batches_key(self) -> str:
        """The key of the batches of rows, a `Batch` in each line."""
        return f"runs/{self.name}.batches.jsonl"

    def outcomes_key(self, batch: Batch) -> str:
        """Return the key of the outcomes of a batch that has ended."""
        return f"runs/{self.name}.outcomes/{batch.first:09}.jsonl"

    @property
    def result_key(self) -> str:
        """The key of the result.

        Examples
        --------
        >>> Campaign("bucket", "2027/spring.csv", "spring").result_key
        '2027/spring.outcomes.csv'
        """
        return self.key.removesuffix(".csv") + ".outcomes.csv"


class Head(msgspec.Struct, frozen=True):
    """What a campaign's file begins with.

    Parameters
    ----------
    prefix : str
        What precedes the header.
    delimiter : str
        The character between two cells.
    columns : list[str]
        Their names.
    """

    prefix: str
    delimiter: str
    columns: list[str]


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of a campaign's file.

    Parameters
    ----------
    cells : list[str]
        Its cells, one for each column.
    request_id : str
        Its own `requestId`, or one with its number.
    request : SendRequest or None
        What is sent for it.
    reason : str or None
        Why nothing is sent for it.
    """

    cells: list[str]
    request_id: str
    request: SendRequest | None = None
    reason: str | None = None


class Batch(msgspec.Struct, frozen=True):
    """Rows of a campaign that are sent together. The same rows make the same batches.

    Parameters
    ----------
    number : int
        Its place among the batches, from 0.
    first, rows : int
        The number of its first row, from 1, and how many it has.
    start, size : int
        Their place among the campaign's rows, in bytes.
    """

    number: int
    first: int
    rows: int
    start: int
    size: int


class Prepared(NamedTuple):
    """The counts of a campaign's file.

    Parameters
    ----------
    rows : int
        How many rows it has.
    requests : int
        How many of them are valid requests.
    queries : int
        How many queries these take at least.
    batches : int
        How many batches they are sent in.
    warnings : dict[str, int]
        How many are odd, of each kind.
    """

    rows: int
    requests: int
    queries: int
    batches: int
    warnings: dict[str, int]

    @property
    def counts(self) -> dict[str, int]:
        """The counts that a run keeps."""
        return {"rows": self.rows, "requests": self.requests, "queries": self.queries, "batches": self.batches}


class CampaignPreparer:
    """Reads the file of a campaign, and writes its rows and their send requests.

    Parameters
    ----------
    s3 : S3Client
        boto3's client.
    max_content_length : int
        The most characters a text may have.
    most_together : Callable[[str], int]
        How many messages of an account can share a query.
    """

    def __init__(
        self,
        s3: S3Client,
        *,
        max_content_length: int = DEFAULT_MAX_CONTENT_LENGTH,
        most_together: Callable[[str], int] = lambda _account: 1,
    ) -> None:
        self._s3 = s3
        self._max_content_length = max_content_length
        self._most_together = most_together

    def prepare(self, campaign: Campaign) -> Prepared:
        """Read the whole file, so that a file with a fault in it is not sent in part.

        Parameters
        ----------
        campaign : Campaign
            What is to be sent.

        Returns
        -------
        Prepared
            Its counts.

        Raises
        ------
        InvalidCampaignError
            If there is no such file, or it is invalid.
        """
        file, rows = self._read(campaign)
        batches, checks = _Batches(), Checks(self._most_together)

        def lines() -> Iterator[bytes]:
            yield batches.begin(msgspec.json.encode(Head(file.prefix, file.delimiter, file.columns)))
            for row in rows:
                checks.add(row)
                yield batches.add(msgspec.json.encode(row))

        write_lines(self._s3, campaign.bucket, campaign.rows_key, lines())
        found = batches.end()
        write_lines(self._s3, campaign.bucket, campaign.batches_key, map(msgspec.json.encode, found))
        return Prepared(checks.rows, checks.valid, checks.queries.count, len(found), checks.warnings)

    def require_rows(self, campaign: Campaign) -> None:
        """Raise an `InvalidCampaignError` if the rows of a campaign that was prepared are deleted."""
        try:
            read_rows(self._s3, campaign)
        except ClientError as error:
            if not is_missing(error):
                raise
            raise InvalidCampaignError(f"The rows of the campaign {campaign.name} are deleted", "rows") from error

    def check(self, campaign: Campaign) -> Checks:
        """Read the whole file and write nothing.

        Parameters
        ----------
        campaign : Campaign
            What is to be checked.

        Returns
        -------
        Checks
            What was found in its rows.

        Raises
        ------
        InvalidCampaignError
            As `prepare` does.
        """
        checks = Checks(self._most_together)
        for row in self._read(campaign)[1]:
            checks.add(row)
        return checks

    def _read(self, campaign: Campaign) -> tuple[CampaignFile, Iterator[Row]]:
        file = read_campaign_file(self._file(campaign), needs_content=not campaign.content.strip())
        rows = (self._row(campaign, file, record, number) for number, record in enumerate(file.records, start=1))
        return file, rows

    def _file(self, campaign: Campaign) -> Iterator[bytes]:
        try:
            return read_chunks(self._s3, campaign.bucket, campaign.key)
        except ClientError as error:
            if not is_missing(error):
                raise
            raise InvalidCampaignError(
                f"There is no file {campaign.key} in the bucket {campaign.bucket}", "input"
            ) from error

    def _row(self, campaign: Campaign, file: CampaignFile, record: Record, number: int) -> Row:
        own = {
            # Only a text may have spaces at its ends.
            name: cell if name == CONTENT else cell.strip()
            for name, index in file.fields.items()
            if (cell := record.cells[index] if index < len(record.cells) else "").strip()
        }
        default = {CONTENT: campaign.content} if campaign.content.strip() else {}
        fields = {"requestId": f"{campaign.name}-{number}", "priority": "bulk", **default, **own}
        cells = [*record.cells, *[""] * len(file.columns)][: len(file.columns)]
        request = self._understood(fields, record, len(file.columns))
        if isinstance(request, str):
            return Row(cells, fields["requestId"], reason=request)
        return Row(cells, fields["requestId"], request)

    def _understood(self, fields: Mapping[str, str], record: Record, width: int) -> SendRequest | str:
        if record.is_cut:
            return f"row: has more than {MAX_ROW} characters"
        if not Record(record.cells[width:]).is_empty:
            return (
                f"row: has {len(record.cells)} cells, and the file {width} columns (a cell with a delimiter in it "
                "belongs in quotes)"
            )
        if _NOT_FOR_SQS.search(fields.get(CONTENT, "")):
            return f"{CONTENT}: holds U+FFFE or U+FFFF, which are no characters"
        try:
            return parse_send_request(msgspec.json.encode(fields), max_content_length=self._max_content_length)
        except InvalidRequestError as error:
            return with_hint(str(error), fields.get(DEVICE, ""))


class _Batches:
    """The batches of the rows that are being written."""

    def __init__(self) -> None:
        self._batches: list[Batch] = []
        self._first, self._rows, self._start, self._size = 1, 0, 0, 0

    def begin(self, line: bytes) -> bytes:
        """Take the line before the first row."""
        self._start = len(line) + 1
        return line

    def add(self, line: bytes) -> bytes:
        """Take the line of a row."""
        self._rows += 1
        self._size += len(line) + 1
        if self._rows == MAX_BATCH_ROWS or self._size >= MAX_BATCH_BYTES:
            self._cut()
        return line

    def end(self) -> list[Batch]:
        """Return the batches of all rows."""
        if self._rows:
            self._cut()
        return self._batches

    def _cut(self) -> None:
        self._batches.append(Batch(len(self._batches), self._first, self._rows, self._start, self._size))
        self._first, self._start = self._first + self._rows, self._start + self._size
        self._rows = self._size = 0


def read_rows(s3: S3Client, campaign: Campaign) -> tuple[Head, Iterator[Row]]:
    """Return what `CampaignPreparer` made of a campaign's file: its head, and its rows."""
    lines = read_lines(s3, campaign.bucket, campaign.rows_key)
    (head,) = islice(lines, 1)
    return msgspec.json.decode(head, type=Head), map(msgspec.json.Decoder(Row).decode, lines)


def read_batches(s3: S3Client, campaign: Campaign) -> Iterator[Batch]:
    """Return the batches of a campaign's rows."""
    return map(msgspec.json.Decoder(Batch).decode, read_lines(s3, campaign.bucket, campaign.batches_key))


def read_batch(s3: S3Client, campaign: Campaign, batch: Batch) -> list[Row]:
    """Return the rows of a batch."""
    lines = read_lines(s3, campaign.bucket, campaign.rows_key, start=batch.start, size=batch.size)
    return list(map(msgspec.json.Decoder(Row).decode, lines))
