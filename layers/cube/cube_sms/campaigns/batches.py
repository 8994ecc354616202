"""A batch of a campaign's rows, from their way onto the queue to their outcomes: one look at it after the other.

Every look can be repeated, wherever the one before it broke off. A row that is put onto the queue twice is sent once,
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
from .progress import CampaignItems, Look
from .puts import Put, RowQueue
from .runs import MAX_BATCH_ROWS, read_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

    from cube_sms.platform import Settings
    from cube_sms.request import SendRequest

    from .outcomes import Found
    from .runs import Batch, Campaign

# How much of the queue's sending is put onto it ahead: several times the pause between two looks. So the queue does not
# run dry because nobody has noticed yet that a batch has ended.
AHEAD_SECONDS = 300.0

# The queries a second that are taken for granted where there is no limit.
UNLIMITED_RATE = 30

# Seconds between two looks: while rows end, while none does, and while the gate is closed. A look is three state
# transitions, and nine of the 25,000 events that the history of an execution may have.
LEAST_PAUSE = 2
MOST_PAUSE = 60
MOST_IDLE_PAUSE = 900
MOST_CLOSED_PAUSE = 7200

# After so many seconds a message is on the queue no longer, whatever became of it.
QUEUE_SECONDS = 14 * DAY + 3600

# Cancelled at the same time: a run is to stop within a minute.
_CANCEL_THREADS = 8


def batches_ahead(qps: int) -> int:
    """Return how many batches have their rows on the queue at a time.

    Parameters
    ----------
    qps : int
        Queries a second that the provider allows; 0 for no limit.

    Returns
    -------
    int
        So many that they take `AHEAD_SECONDS` to send.

    Examples
    --------
    >>> batches_ahead(10), batches_ahead(1), batches_ahead(0)
    (10, 2, 30)
    """
    return max(2, math.ceil((qps or UNLIMITED_RATE) * AHEAD_SECONDS / MAX_BATCH_ROWS))


class Looked(NamedTuple):
    """What a look at a batch came to.

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
        self._rate = settings.cube_max_qps or UNLIMITED_RATE
        self._ahead = batches_ahead(settings.cube_max_qps)
        quota, reserve = settings.cube_daily_quota, settings.cube_quota_reserve_percent
        self._has_receipts = settings.receipts
        self._closed_until = partial(bulk_closed_until, dynamodb, table, quota=quota, reserve=reserve, clock=clock)
        self._clock = clock

    def look(self, campaign: Campaign, batch: Batch) -> Looked:
        """Put the rows of a batch onto the queue that have to be, or see what has become of them.

        Parameters
        ----------
        campaign : Campaign
            The campaign.
        batch : Batch
            The batch.

        Returns
        -------
        Looked
            Whether the batch has ended, and if not, when to look again.

        Raises
        ------
        RecordsUnavailableError
            Where DynamoDB is away, or leaves out records again and again.
        RowsNotPutError
            Where SQS leaves out rows again and again.
        """
        run = self._items.run(campaign.name)
        if not run:
            # Somebody has deleted it.
            return Looked(True, 0)
        look = self._items.look(campaign.name, batch.number)
        is_out = bool(look and look.begun_at and not look.is_ended)
        if not look or look.execution != run.execution:
            # What an earlier run saw stands until this look is over.
            look = Look(run.execution, states=look.states if look else "{}")
        rows = read_batch(self._s3, campaign, batch)
        requests = {row.request.message_id: row.request for row in rows if row.request}
        found = find_outcomes(self._s3, self._records, campaign, batch, requests, has_receipts=self._has_receipts)
        waiting = [each for each in requests.values() if not _has_ended(each, found.get(each.message_id), look)]
        now = self._clock()
        # Rows wait in the file meanwhile: on the queue they would not outlast its 14 days.
        closed = max(0.0, self._closed_until() - now) if waiting and not run.stopped_at else 0.0
        if run.stopped_at:
            # What was never put onto the queue has no record, and gets none.
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
        return Looked(not waiting, self._pause(look, run.batches, closed))

    def _cancel(self, waiting: Sequence[SendRequest], found: dict[str, Found], now: float) -> list[SendRequest]:
        """Cancel rows, and return those that a worker has."""

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
        # A worker that has died cannot send it any more. Its message finds out what became of it.
        return [each for each in waiting if _is_held(found[each.message_id], now)]

    def _pause(self, look: Look, batches: int, closed: float) -> int:
        """Return for how many seconds nothing can be seen that anybody waits for."""
        if closed > MOST_PAUSE:
            return math.ceil(min(closed, MOST_CLOSED_PAUSE))
        now = self._clock()
        # As if all batches on the queue were sent at the same pace. They are rather sent one after the other: then
        # this one is done earlier or later than that, and a look too many is made.
        expected = look.waiting * min(self._ahead, batches) / self._rate
        pause = min(MOST_PAUSE, max(LEAST_PAUSE, expected / 2))
        idle = min(MOST_IDLE_PAUSE, (now - max(look.changed_at, look.put_at)) / 4) if look.put_at else 0.0
        return math.ceil(max(pause, idle))


def _has_ended(request: SendRequest, found: Found, look: Look) -> bool:
    if isinstance(found, Refusal):
        # Word of an earlier run is no answer: what was wrong may have been mended.
        return bool(look.begun_at) and found.updated_at >= rfc3339(look.begun_at)
    return has_ended(request, found)


def _claim(found: Found) -> str | None:
    return found.owner if isinstance(found, Record) and is_stopped(found) else None


def _is_held(found: Found, now: float) -> bool:
    return isinstance(found, Record) and found.state is State.SENDING and found.lease_until > now


def _counts(
    requests: Mapping[str, SendRequest], found: Mapping[str, Found], waiting: Sequence[SendRequest], look: Look
) -> Counter[str]:
    """Return how many rows are in which state, without those that are still to be put onto the queue."""
    counts: Counter[str] = Counter()
    left = {request.message_id for request in waiting}
    for key, request in requests.items():
        each = found.get(key)
        if key in left and not (isinstance(each, Record) and not each.state.is_final):
            counts["QUEUED"] += bool(look.put_at)
        elif each is not None:
            counts[state_of(request, each)] += 1
    return +counts
