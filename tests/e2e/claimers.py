"""Processes that claim or cancel the same messages at the same moment, straight from a table."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import boto3

from cube_sms.delivery.records import RecordStore
from cube_sms.request.parsing import parse_send_request
from local.ministack import REGION
from tests.processes import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.synchronize import Barrier
    from types import TracebackType

    from cube_sms.request.models import SendRequest
    from local.stack import LocalStack
    from tests.e2e.verdicts import Message

LEASE = 60.0


class Claimed(NamedTuple):
    """What one process's claim of a message came to, or its cancellation."""

    is_held: bool
    has_ended: bool
    state: str
    owner: str


class _Claimer(NamedTuple):
    records: RecordStore
    barrier: Barrier


_claimer: _Claimer | None = None


def record_store(url: str, table: str, *, lease: float = LEASE) -> RecordStore:
    """Return the records of a table of the local AWS."""
    client = boto3.client(
        "dynamodb", endpoint_url=url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
    )
    return RecordStore(client, table, lease=lease, retention=86400.0)


class Claimers:
    """Processes that claim or cancel, as long as this context.

    Parameters
    ----------
    stack : LocalStack
        Whose table.
    processes : int
        How many.
    """

    def __init__(self, stack: LocalStack, processes: int) -> None:
        arguments: Any = (stack.aws.url, stack.outputs["MessagesTableName"], CONTEXT.Barrier(processes))
        self._processes = processes
        self._pool = ProcessPoolExecutor(processes, mp_context=CONTEXT, initializer=_prepare, initargs=arguments)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def claim(self, messages: Sequence[Message], restart: Sequence[str | None]) -> list[tuple[Claimed, ...]]:
        """Let every process claim every message at the same moment, and return what they got, message by message."""
        return self._run(messages, restart, cancelling=0)

    def race(
        self, messages: Sequence[Message], restart: Sequence[str | None], *, cancelling: int
    ) -> list[tuple[Claimed, ...]]:
        """Do the same, while the last processes cancel each message: theirs are the last of what is returned."""
        return self._run(messages, restart, cancelling=cancelling)

    def _run(
        self, messages: Sequence[Message], restart: Sequence[str | None], *, cancelling: int
    ) -> list[tuple[Claimed, ...]]:
        bodies = [message.json.encode() for message in messages]
        tasks = [_claim_all] * (self._processes - cancelling) + [_cancel_all] * cancelling
        runs = [self._pool.submit(task, bodies, restart) for task in tasks]
        return list(zip(*(run.result(timeout=300) for run in runs), strict=True))


def request_of(message: Message) -> SendRequest:
    """Return a message as the functions read it."""
    return parse_send_request(message.json.encode())


def _prepare(url: str, table: str, barrier: Barrier) -> None:
    global _claimer
    _claimer = _Claimer(record_store(url, table), barrier)


def _claim_all(bodies: Sequence[bytes], restart: Sequence[str | None]) -> list[Claimed]:
    assert _claimer
    claimed = []
    # All processes meet before each claim, so that none of them takes the task of another one.
    for body, owner in zip(bodies, restart, strict=True):
        request = parse_send_request(body)
        _claimer.barrier.wait(60)
        claim = _claimer.records.claim(request, restart=owner)
        claimed.append(Claimed(claim.is_held, claim.has_ended, claim.record.state, claim.record.owner))
    return claimed


def _cancel_all(bodies: Sequence[bytes], _restart: Sequence[str | None]) -> list[Claimed]:
    assert _claimer
    cancelled = []
    for body in bodies:
        request = parse_send_request(body)
        _claimer.barrier.wait(60)
        record, has_ended = _claimer.records.cancel(request.message_id)
        cancelled.append(Claimed(False, has_ended, record.state, record.owner))
    return cancelled
