"""Campaigns: what became of each row of a CSV file that ``statemachine/campaign.asl.json`` has sent."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from .errors import InvalidRequestError, RecordsUnavailableError, RequestConflictError, SpoiledRecordError
from .models import DEFAULT_MAX_CONTENT_LENGTH, SendRequest, parse_send_request
from .records import REFUSED_KEY, hash_of, read_record, read_refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

# Columns that are fields of a send request. The state machine has the same list.
FIELDS = ("requestId", "account", "deviceId", "messageType", "content", "expiresAt", "delivery")

# Columns of the result. Where the file has one of the same name, as the result of a result has, this one replaces it.
OUTCOME = ("requestId", "state", "attempts", "possiblyDuplicated", "code", "message", "reason")

# What a row can come to besides the states of a message.
REFUSED = "REFUSED"
NOT_TRIED = "NOT_TRIED"
UNREADABLE = "UNREADABLE"

# What DynamoDB reads at once, and the seconds before it is asked again for what it has left out.
BATCH_GET_SIZE = 100
BATCH_GET_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)

# A part at a time, in the thread that makes it: what is held in memory does not grow with the file.
_ONE_BY_ONE = TransferConfig(use_threads=False)

# A spreadsheet takes a cell that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class _Dialect(csv.excel):
    # As Step Functions reads CSV:
    # https://docs.aws.amazon.com/step-functions/latest/dg/example-csv-parse-dist-map.html
    escapechar = "\\"


class Campaign(NamedTuple):
    """What one run of the state machine sends.

    Parameters
    ----------
    bucket, key : str
        The file: CSV in UTF-8, with the names of its columns in the first line.
    name : str
        What ids of requests begin with where the file gives none.
    content : str
        The content of rows that have none of their own.
    """

    bucket: str
    key: str
    name: str
    content: str = ""

    @property
    def result_key(self) -> str:
        """Where the result goes.

        Examples
        --------
        >>> Campaign("bucket", "2027/spring.csv", "spring").result_key
        '2027/spring.outcomes.csv'
        """
        return self.key.removesuffix(".csv") + ".outcomes.csv"

    def fields_of(self, row: Mapping[str, str], number: int) -> dict[str, str]:
        """Return the send request of a row, as the state machine makes it.

        Parameters
        ----------
        row : Mapping[str, str]
            Its cells. What is empty, and what is no field of a request, is left out.
        number : int
            Its number, from 1.

        Returns
        -------
        dict[str, str]
            The request's fields, valid or not.

        Examples
        --------
        >>> campaign = Campaign("bucket", "spring.csv", "spring", "Hello")
        >>> campaign.fields_of({"deviceId": "8931", "city": "Oslo", "content": ""}, 7)
        {'requestId': 'spring-7', 'content': 'Hello', 'deviceId': '8931'}
        """
        default = {"content": self.content} if self.content else {}
        own = {name: row[name] for name in FIELDS if row.get(name)}
        return {"requestId": f"{self.name}-{number}", **default, **own}


class CampaignReporter:
    """Writes what became of the rows of a campaign.

    Parameters
    ----------
    s3 : S3Client
        boto3's client.
    dynamodb : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    max_content_length : int
        The most characters a text may have.
    sleep : Callable[[float], None]
        Waits for seconds.
    """

    def __init__(
        self,
        s3: S3Client,
        dynamodb: DynamoDBClient,
        table: str,
        *,
        max_content_length: int = DEFAULT_MAX_CONTENT_LENGTH,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._s3 = s3
        self._dynamodb = dynamodb
        self._table = table
        self._max_content_length = max_content_length
        self._sleep = sleep

    def report(self, campaign: Campaign) -> dict[str, int]:
        """Write the result: the file's own columns, and what became of each row.

        Parameters
        ----------
        campaign : Campaign
            What was sent.

        Returns
        -------
        dict[str, int]
            How many rows came to which state.

        Raises
        ------
        RecordsUnavailableError
            Where DynamoDB is away, or leaves out records again and again.
        """
        counts: Counter[str] = Counter()
        body = self._s3.get_object(Bucket=campaign.bucket, Key=campaign.key)["Body"]
        # What is not UTF-8 could not be sent either. Excel begins a file with U+FEFF.
        with io.TextIOWrapper(body, "utf-8-sig", errors="replace", newline="") as text:  # type: ignore[type-var]
            self._s3.upload_fileobj(
                io.BufferedReader(_Stream(self._result(campaign, csv.reader(text, _Dialect), counts))),
                campaign.bucket,
                campaign.result_key,
                ExtraArgs={"ContentType": "text/csv; charset=utf-8"},
                Config=_ONE_BY_ONE,
            )
        return dict(counts)

    def _result(self, campaign: Campaign, lines: Iterator[list[str]], counts: Counter[str]) -> Iterator[bytes]:
        header = next(lines, [])
        kept = [name for name in header if name not in OUTCOME]
        yield _as_csv([[*kept, *OUTCOME]])
        rows = (dict(zip(header, [*line, *[""] * len(header)], strict=False)) for line in lines if line)
        for batch in batched(enumerate(rows, start=1), BATCH_GET_SIZE, strict=False):
            requests = [campaign.fields_of(row, number) for number, row in batch]
            outcomes = self._outcomes(requests)
            counts.update(outcome["state"] for outcome in outcomes)
            yield _as_csv(
                [*(row[name] for name in kept), *(outcome.get(name) for name in OUTCOME)]
                for (_, row), outcome in zip(batch, outcomes, strict=True)
            )

    def _outcomes(self, requests: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
        parsed = [self._parse(fields) for fields in requests]
        valid = {request.message_id: request for request in parsed if isinstance(request, SendRequest)}
        items = self._find(valid)
        # Such as those of an account that there is none of, for as long as word is kept of them.
        refusals = self._find({f"{REFUSED_KEY}{valid[key].request_id}" for key in valid.keys() - items.keys()})
        outcomes = []
        for fields, request in zip(requests, parsed, strict=True):
            if isinstance(request, SendRequest):
                refusal = refusals.get(f"{REFUSED_KEY}{request.request_id}")
                outcome = _outcome(request, items.get(request.message_id), refusal)
            else:
                outcome = {"state": REFUSED, "reason": str(request)}
            outcomes.append({**outcome, "requestId": fields["requestId"]})
        return outcomes

    def _parse(self, fields: Mapping[str, str]) -> SendRequest | InvalidRequestError:
        try:
            return parse_send_request(msgspec.json.encode(fields), max_content_length=self._max_content_length)
        except InvalidRequestError as error:
            return error

    def _find(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the items of the table under these keys, as DynamoDB has them at this moment."""
        found: dict[str, dict[str, Any]] = {}
        left: Any = [{"messageId": {"S": key}} for key in keys]
        for pause in (*BATCH_GET_PAUSES, None):
            if not left:
                return found
            try:
                answer: Any = self._dynamodb.batch_get_item(
                    RequestItems={self._table: {"Keys": left, "ConsistentRead": True}}
                )
            except (BotoCoreError, ClientError) as error:
                raise RecordsUnavailableError(error) from error
            found |= {item["messageId"]["S"]: item for item in answer["Responses"].get(self._table, [])}
            left = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            if left and pause:
                self._sleep(pause)
        if left:
            raise RecordsUnavailableError(f"{len(left)} records were left out")
        return found


def _outcome(request: SendRequest, item: Mapping[str, Any] | None, refusal: Mapping[str, Any] | None) -> dict[str, Any]:
    try:
        return _outcome_of(request, item, refusal)
    except SpoiledRecordError as error:
        # Somebody has changed it by hand. The other rows have their outcomes.
        return {"state": UNREADABLE, "reason": str(error)}


def _outcome_of(
    request: SendRequest, item: Mapping[str, Any] | None, refusal: Mapping[str, Any] | None
) -> dict[str, Any]:
    if item is None:
        return {"state": REFUSED, "reason": read_refusal(refusal).detail} if refusal else {"state": NOT_TRIED}
    record = read_record(item)
    if record.request_hash != hash_of(request):
        # It tells of another request: of an earlier run's, whose file was changed since.
        return {"state": REFUSED, "reason": str(RequestConflictError(str(request.request_id)))}
    outside = {name: _inert(record.members[name]) for name in ("code", "message", "reason")}
    return {**record.members, "possiblyDuplicated": str(record.possibly_duplicated).lower(), **outside}


def _inert(text: str | None) -> str | None:
    return f"'{text}" if text and text.startswith(_FORMULA) else text


def _as_csv(lines: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, _Dialect).writerows(lines)
    return text.getvalue().encode()


class _Stream(io.RawIOBase):
    """What an iterator yields, as a file to read from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._chunks, b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
