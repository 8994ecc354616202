"""An operator has paused all sending: messages wait without an attempt, and callers get the reason."""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.pacing import Pause, end_pause, order_pause
from cube_sms.pacing.pause import LEAST_WAIT_SECONDS
from tests.integration.deployment import TABLE
from tests.support import DEVICE, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment
    from tests.support import Printed

MESSAGE = {"deviceId": DEVICE, "content": "Wake up"}
REASON = "Cube is being moved"

each_gate = pytest.mark.parametrize("qps", ["0", "100"], ids=["no limits", "limited"])


def pause(gateway: Deployment, *, ago: float = 0.0, seconds: float = inf) -> None:
    now = time.time()
    order_pause(gateway.dynamodb, TABLE, Pause(now - ago, now + seconds, REASON))


def messages(number: int) -> dict[str, Any]:
    return queue_event(*[MESSAGE] * number)


@each_gate
def test_messages_are_put_back_without_an_attempt(
    cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed], qps: str
) -> None:
    # Given
    gateway.configure(CUBE_MAX_QPS=qps)
    pause(gateway)
    event = gateway.deliver(messages(3))
    # When
    failures = gateway.consume(event)
    # Then they come again soon, since the pause is young, and have no record
    ids = [record["messageId"] for record in event["Records"]]
    assert (failures, cube.stats()["received"]) == (ids, 0)
    assert all(LEAST_WAIT_SECONDS - 2 <= seconds <= LEAST_WAIT_SECONDS + 1 for seconds in gateway.hidden()[-3:])
    assert all(gateway.store().get(f"default#{each}") is None for each in ids)
    # And the log and the metrics say why
    output = printed()
    (line,) = [line for line in output.logs if line["message"] == "gate closed"]
    assert (line["reason"], line["pause"]) == ("paused", REASON)
    assert output.values("GateClosed", "all") == [1]
    # And when an operator ends it, another worker sends them
    end_pause(gateway.dynamodb, TABLE)
    gateway.cool_down()
    assert gateway.consume(event) == []
    assert cube.stats()["accepted"] == 3


@each_gate
def test_record_says_that_a_message_waits_if_that_is_for_long(gateway: Deployment, qps: str) -> None:
    gateway.configure(CUBE_MAX_QPS=qps)
    pause(gateway, ago=1200.0)
    event = gateway.deliver(messages(1))
    gateway.consume(event)
    reply = gateway.get(event["Records"][0]["messageId"])
    assert (reply.json["state"], reply.json["attempts"]) == ("QUEUED", 0)
    assert "expectedAt" in reply.json


@each_gate
def test_callers_are_told_the_reason_and_when_to_try_again(cube: CubeSimulator, gateway: Deployment, qps: str) -> None:
    gateway.configure(CUBE_MAX_QPS=qps)
    pause(gateway, seconds=20.0)
    # When somebody calls, twice
    for _ in range(2):
        reply = gateway.post(MESSAGE)
        # Then
        assert (reply.status, reply.headers["Content-Type"]) == (503, "application/problem+json")
        assert reply.json["title"] == "Sending is paused"
        assert f"({REASON})" in reply.json["detail"]
        assert reply.json["state"] == "RETRYING"
        assert 15 <= int(reply.headers["Retry-After"]) <= 20
    assert cube.stats()["received"] == 0


@each_gate
def test_what_is_to_be_queued_is_queued(gateway: Deployment, qps: str) -> None:
    gateway.configure(CUBE_MAX_QPS=qps)
    pause(gateway)
    assert gateway.post(MESSAGE, Prefer="respond-async").status == 202
