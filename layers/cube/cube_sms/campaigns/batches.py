"""A batch of a campaign's rows, from the send queue to their outcomes: one look at it after the other.

Every look can be repeated, at whatever point the last one stopped. A row that is put onto the queue twice is sent once,
since both messages have one id.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from cube_sms.delivery import (
    Record,
    RecordTable,
    Refusal,
    RequestConflictError,
    SpoiledRecordError,
    State,
    WaitingRecords,
)
from cube_sms.pacing import bulk_closed_until
from cube_sms.platform import DAY, rfc3339

from .outcomes import STOPPED, find_outcomes, has_ended, is_stopped, state_of, write_outcomes
from .pace import AHEAD_SECONDS, Pace
from .progress import CampaignItems, Look
from .puts import Put, RowQueue
from .runs import read_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

    from cube_sms.platform import Settings
    from cube_sms.request import SendRequest

    from .outcomes import Found
    from .progress import Run
    from .runs import Batch, Campaign

# If the gate is closed for longer than that, nothing is looked at before it opens, or after so many seconds.
LEAST_CLOSED = 60
MOST_CLOSED_PAUSE = 7200

# Seconds after which a message has left the queue in any case.
QUEUE_SECONDS = 14 * DAY + 3600

# Rows that are cancelled at the same time, so that a run stops within a minute.
_CANCEL_THREADS = 8


class Looked(NamedTuple):
    """The result of a look at a batch.

    Parameters
    ----------
    is_ended : bool
        Whether nothing more happens to the batch in this run.
    wait : int
        Seconds until the next look.
    """

    is_ended: bool
    wait: int


class BatchSender:
    """Looks at batches.

    Parameters
    ----------
    s3 : S3Client
        boto3's client.
    dynamodb : DynamoDBClient
        boto3's client.
    sqs : SQSClient
        boto3's client.
    settings : Settings
        The deployment's settings.
    clock : Callable[[], float]
        Seconds since the epoch.
    sleep : Callable[[float], None]
        Waits for seconds.
    """

    def __init__(
        self,
        s3: S3Client,
        dynamodb: DynamoDBClient,
        sqs: SQSClient,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        table = settings.messages_table
        self._s3 = s3
        self._records = RecordTable(dynamodb, table, sleep=sleep)
        self._waiting = WaitingRecords(dynamodb, table, retention=settings.record_retention_days * DAY, clock=clock)
        self._items = CampaignItems(dynamodb, table, clock=clock, sleep=sleep)
        self._queue = RowQueue(sqs, settings.send_queue_url, sleep=sleep)
        self._qps = settings.cube_max_qps
        quota, reserve = settings.cube_daily_quota, settings.cube_quota_reserve_percent
        self._has_receipts = settings.receipts
        self._closed_until = partial(bulk_closed_until, dynamodb, table, quota=quota, reserve=reserve, clock=clock)
        self._clock = clock

    def look(self, campaign: Campaign, batch: Batch) -> Looked:
        """Put a batch's rows onto the queue if they have to be sent, or look for their outcomes.

        Parameters
        ----------
        campaign : Campaign
            The campaign.
        batch : Batch
            The batch.

        Returns
        -------
        Looked
            Whether the batch has ended and, if not, when to look again.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is unavailable, or leaves out records again and again.
        RowsNotPutError
            If SQS leaves out rows again and again.
        """
        run = self._items.run(campaign.name)
        if not run:
            # An operator has deleted it.
            return Looked(True, 0)
        look = self._items.look(campaign.name, batch.number)
        is_out = bool(look and look.begun_at and not look.is_ended)
        if not look or look.execution != run.execution:
            # The counts of an earlier run stay until the end of this look.
            look = Look(run.execution, states=look.states if look else "{}")
        rows = read_batch(self._s3, campaign, batch)
        requests = {row.request.message_id: row.request for row in rows if row.request}
        found = find_outcomes(self._s3, self._records, campaign, batch, requests, has_receipts=self._has_receipts)
        waiting = [each for each in requests.values() if not _has_ended(each, found.get(each.message_id), look)]
        now = self._clock()
        # While the gate is closed, rows wait in the file: the queue would drop them after 14 days.
        closed = max(0.0, self._closed_until() - now) if waiting and not run.stopped_at else 0.0
        if run.stopped_at:
            # Rows that were never put onto the queue have no record, and get none.
            waiting = self._cancel(waiting, found, now) if is_out else []
        elif waiting and closed <= AHEAD_SECONDS and (not look.put_at or now - look.put_at > QUEUE_SECONDS):
            look = msgspec.structs.replace(look, begun_at=now)
            self._items.put_look(campaign.name, batch.number, look)
            puts = (Put(each, _claim(found.get(each.message_id))) for each in waiting)
            self._queue.put(puts, campaign=campaign.name, execution=run.execution)
            look = msgspec.structs.replace(look, put_at=self._clock(), put=len(waiting))
        if not waiting:
            write_outcomes(self._s3, campaign, batch, found)
        look = msgspec.structs.replace(
            look,
            looked_at=now,
            changed_at=now if len(waiting) != look.waiting else look.changed_at,
            waiting=len(waiting),
            is_ended=int(not waiting),
            states=msgspec.json.encode(_counts(requests, found, waiting, look)).decode(),
        )
        self._items.put_look(campaign.name, batch.number, look)
        return Looked(not waiting, self._pause(look, run, closed))

    def _cancel(self, waiting: Sequence[SendRequest], found: dict[str, Found], now: float) -> list[SendRequest]:
        """Cancel rows, and return those that a worker has claimed."""

        def cancel(request: SendRequest) -> Found:
            try:
                return self._waiting.cancel(request.message_id, request=request, reason=STOPPED).record
            except RequestConflictError:
                return found.get(request.message_id)
            except SpoiledRecordError as error:
                return error

        with ThreadPoolExecutor(_CANCEL_THREADS) as pool:
            for request, record in zip(waiting, pool.map(cancel, waiting), strict=True):
                found[request.message_id] = record
        # If the lease is over, the worker has crashed. The row's message on the queue then gets an outcome.
        return [each for each in waiting if _is_held(found[each.message_id], now)]

    def _pause(self, look: Look, run: Run, closed: float) -> int:
        if closed > LEAST_CLOSED:
            return math.ceil(min(closed, MOST_CLOSED_PAUSE))
        idle = self._clock() - max(look.changed_at, look.put_at) if look.put_at else 0.0
        return Pace.of(self._qps, run.requests, run.queries).pause(look.waiting, run.batches, idle)


def _has_ended(request: SendRequest, found: Found, look: Look) -> bool:
    if isinstance(found, Refusal):
        # A refusal in an earlier run does not count: its cause may have been corrected.
        return bool(look.begun_at) and found.updated_at >= rfc3339(look.begun_at)
    return has_ended(request, found)


def _claim(found: Found) -> str | None:
    return found.owner if isinstance(found, Record) and is_stopped(found) else None


def _is_held(found: Found, now: float) -> bool:
    return isinstance(found, Record) and found.state is State.SENDING and found.lease_until > now


def _counts(
    requests: Mapping[str, SendRequest], found: Mapping[str, Found], waiting: Sequence[SendRequest], look: Look
) -> Counter[str]:
    """Return how many rows are in which state. Those that are still to be put onto the queue are left out."""
    counts: Counter[str] = Counter()
    left = {request.message_id for request in waiting}
    for key, request in requests.items():
        each = found.get(key)
        if key in left and not (isinstance(each, Record) and not each.state.is_final):
            counts["QUEUED"] += bool(look.put_at)
        elif each is not None:
            counts[state_of(request, each)] += 1
    return +counts
