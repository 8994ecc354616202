"""Processes that open and close the API's connections, straight on a table of places."""

from __future__ import annotations

import contextlib
import signal
import time
from random import Random
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from cube_sms.pacing.errors import ConnectionsTakenError
from cube_sms.pacing.leases import ConnectionLeases

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

SECONDS = 3.0

_barrier: Barrier | None = None


def prepare(barrier: Barrier) -> None:
    """Take the barrier at which all processes meet."""
    global _barrier
    _barrier = barrier


def leases(url: str, table: str, count: int) -> ConnectionLeases:
    """Return places in a table of the local AWS."""
    client: Any = boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"mode": "standard", "total_max_attempts": 3}),
    )
    return ConnectionLeases(client, table, count)


def open_and_close(url: str, table: str, count: int, seed: int) -> list[tuple[float, float]]:
    """Open and close connections for some seconds, and return when each was opened and closed."""
    places, random = leases(url, table, count), Random(seed)
    spans: list[tuple[float, float]] = []
    assert _barrier
    # All processes meet here, so that none of them takes the task of another one.
    _barrier.wait(60)
    deadline = time.time() + SECONDS
    # Until each has had a place, on however slow a machine.
    while time.time() < deadline or not spans:
        with contextlib.suppress(ConnectionsTakenError), places.hold(until=time.time() + 29.0):
            opened_at = time.monotonic()
            time.sleep(random.uniform(0.0, 0.05))
            spans.append((opened_at, time.monotonic()))
    return spans


def hold_for_ever(url: str, table: str, seconds: float, opened: SimpleQueue[float]) -> None:
    """Take a place, report when its time is over, and never release it."""
    cut_off_at = time.time() + seconds
    with leases(url, table, 1).hold(until=cut_off_at):
        opened.put(cut_off_at)
        signal.pause()
