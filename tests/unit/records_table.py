"""What the tests of the records share: a clock, new messages, and calls that are repeated."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import boto3

from cube_sms.delivery.records import RECEIPT_KEY, FollowedRecords
from cube_sms.delivery.states import State
from tests.support import send_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.delivery.records import Record, RecordStore
    from cube_sms.request.models import SendRequest

TABLE = "cube-sms-messages"
LEASE = 30.0
RETENTION = 30 * 86400.0

# The final states that a claim can end in, and all of them.
ENDS = [State.SENT, State.REJECTED, State.EXPIRED, State.FAILED, State.UNKNOWN]
FINAL = [*ENDS, State.CANCELLED]

# Attributes as somebody may leave them; None for one that is gone.
SPOILED: list[tuple[str, Any]] = [
    *((name, None) for name in ("attempts", "requestHash", "deviceId", "createdAt", "updatedAt", "owner")),
    *((name, None) for name in ("unsettled", "possiblyDuplicated")),
    *(
        ("updatedAt", {"S": text})
        for text in (
            "yesterday",
            "",
            "2026",
            "10000-01-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+01:00",
            "0001-01-01T00:00:00Z",
            "20260101T000000Z",
        )
    ),
    ("updatedAt", {"N": "2026"}),
    ("createdAt", {"S": "yesterday"}),
    ("state", {"S": "sent"}),
    ("state", {"N": "1"}),
    ("attempts", {"S": "1"}),
    ("attempts", {"N": "1.5"}),
    ("attempts", {"N": "-1"}),
    ("attempts", {"N": "1e30"}),
    ("unsettled", {"S": "true"}),
    ("deviceId", {"L": []}),
    ("leaseUntil", {"S": "yesterday"}),
    ("reason", {"M": {}}),
    ("message", {"S": "yesterday" * 1000}),
    ("taskTokens", {"L": [{"S": "yesterday"}]}),
    ("taskTokens", {"S": "yesterday"}),
]

_numbers = itertools.count()


def new_request(**fields: Any) -> SendRequest:
    """Return the request of a new message."""
    return send_request(**{"requestId": f"order-{next(_numbers)}", **fields})


def recorded(store: RecordStore, request: SendRequest) -> Record:
    """Return the record of a message as the table has it."""
    record = store.get(request.message_id)
    assert record
    return record


def in_state(store: RecordStore, request: SendRequest, state: State, **finish: Any) -> Record:
    """Leave a message in a state after one POST, or none if it is queued or cancelled, and return its record."""
    if state is State.QUEUED:
        return store.note_queued(request)
    if state is State.CANCELLED:
        return store.cancel(request.message_id, request=request).record
    record = store.claim(request).record
    if state is State.SENDING:
        return record
    if state not in (State.DELIVERED, State.UNDELIVERED):
        return store.finish(record, state, **finish)
    record = store.finish(record, State.SENT, **finish)
    receipts = FollowedRecords(boto3.client("dynamodb", region_name="eu-central-1"), TABLE, retention=86_400.0)
    assert receipts.settle(record, state, f"{RECEIPT_KEY}{record.message_id}", code=None, message=None)
    return recorded(store, request)


@contextlib.contextmanager
def answer_lost(dynamodb: DynamoDBClient) -> Iterator[list[int]]:
    """Lose the answer to each write's first attempt, which boto3 then repeats; gives the status of each attempt."""
    statuses: list[int] = []

    def needs_retry(response: Any, attempts: int, **_: Any) -> Any:
        statuses.append(response[0].status_code)
        return 0 if attempts == 1 else None

    event = "needs-retry.dynamodb.UpdateItem"
    dynamodb.meta.events.register_first(event, needs_retry)
    try:
        yield statuses
    finally:
        dynamodb.meta.events.unregister(event, needs_retry)


@contextlib.contextmanager
def forestalled(dynamodb: DynamoDBClient, write: int, action: Callable[[], object]) -> Iterator[None]:
    """Let something else happen right before a certain write, counted from 1."""
    writes = itertools.count(1)
    is_ours = True

    def before_call(**_: Any) -> None:
        nonlocal is_ours
        if is_ours and next(writes) == write:
            is_ours = False
            action()
            is_ours = True

    event = "before-call.dynamodb.UpdateItem"
    dynamodb.meta.events.register(event, before_call)
    try:
        yield
    finally:
        dynamodb.meta.events.unregister(event, before_call)
