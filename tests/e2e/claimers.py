"""Processes that claim the same messages at the same moment, straight from a table."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import boto3

from cube_sms.delivery.records import RecordStore
from cube_sms.request.parsing import parse_send_request
from local.ministack import REGION
from tests.e2e.processes import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.synchronize import Barrier
    from types import TracebackType

    from cube_sms.request.models import SendRequest
    from local.stack import LocalStack
    from tests.e2e.verdicts import Message

LEASE = 60.0


class Claimed(NamedTuple):
    """What one process's claim of a message came to."""

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
    """Processes that claim, as long as this context.

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
        bodies = [message.json.encode() for message in messages]
        runs = [self._pool.submit(_claim_all, bodies, restart) for _ in range(self._processes)]
        return list(zip(*(run.result(timeout=120) for run in runs), strict=True))


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
