"""What the tests of the gate share: a gate on a clock of its own, and what Cube may say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cube_sms.pacing.gate import Gate
from cube_sms.pacing.gate_item import GATE_KEY
from cube_sms.provider.base import (
    CubeAnswer,
    CubeAuthenticationError,
    CubeOutcomeUnknown,
    CubeRejected,
    CubeThrottled,
    CubeUnavailable,
)
from local.gate_model import OneItemTable
from tests.support import START
from tests.unit.records_table import TABLE

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.pacing.gate import Slot
    from cube_sms.provider.base import CubeError
    from tests.support import Clock

DAY = 86_400
NEXT_DAY = (START // DAY + 1) * DAY
LONGEST_POST = 13.0


def gate(client: OneItemTable | DynamoDBClient, clock: Clock, **options: Any) -> Gate:
    """Return a gate that sleeps by moving its clock."""

    def sleep(seconds: float) -> None:
        clock.now += seconds

    options = {"qps": 10, "quota": 0, "longest_post": LONGEST_POST, **options}
    options = {"clock": clock, "monotonic": clock, **options}
    return Gate(client, TABLE, sleep=sleep, **options)  # type: ignore[arg-type]  # or as much of a client


def nothing() -> None:
    """Have a connection that is open."""


def take(gate: Gate, clock: Clock, patience: float = 30.0, *, is_bulk: bool = False) -> Slot:
    """Return the next slot when it has come, and let its query leave."""
    while True:
        slot = gate.take(latest=clock() + patience, is_bulk=is_bulk)
        assert slot
        if gate.wait(slot, nothing):
            gate.left(slot)
            return slot


def post(
    gate: Gate,
    clock: Clock,
    answer: CubeAnswer | CubeError | None = None,
    patience: float = 30.0,
    *,
    is_bulk: bool = False,
) -> float:
    """Make a query, which takes no time but what its answer says, and return when it left."""
    slot = take(gate, clock, patience, is_bulk=is_bulk)
    left_at = clock()
    answer = answer or accepted()
    clock.now += answer.latency
    gate.report(slot, answer)
    return left_at


def item_of(client: OneItemTable | DynamoDBClient) -> dict[str, str]:
    """Return the gate's item."""
    if isinstance(client, OneItemTable):
        item: Any = client.item
    else:
        item = client.get_item(TableName=TABLE, Key={"messageId": {"S": GATE_KEY}}).get("Item", {})
    return {name: str(next(iter(typed.values()))) for name, typed in item.items()}


def accepted(latency: float = 0.0) -> CubeAnswer:
    return CubeAnswer("0000", "success", latency)


def throttled(retry_after: float | None = None, latency: float = 0.0) -> CubeThrottled:
    return CubeThrottled("HTTP 429", status=429, retry_after=retry_after, latency=latency)


def unavailable(retry_after: float | None = None, latency: float = 0.0) -> CubeUnavailable:
    return CubeUnavailable("HTTP 503", status=503, retry_after=retry_after, latency=latency)


def rejected() -> CubeRejected:
    return CubeRejected("HTTP 400", status=400)


def unauthenticated() -> CubeAuthenticationError:
    return CubeAuthenticationError("HTTP 401", status=401)


def unknown() -> CubeOutcomeUnknown:
    return CubeOutcomeUnknown("no complete answer in time")


def broken(status: int = 502, retry_after: float | None = None) -> CubeOutcomeUnknown:
    return CubeOutcomeUnknown(f"HTTP {status}", status=status, retry_after=retry_after)
