"""The REST API while every connection that it may open is taken."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import boto3
import pytest

from cube_sms.pacing.leases import LEASES_KEY, ConnectionLeases
from cube_sms.platform.telemetry import ALL_ACCOUNTS
from tests.integration.deployment import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment
    from tests.support import Printed

MESSAGE = {"deviceId": "89314404000939952217", "content": "Test message", "requestId": "order-1"}


@pytest.fixture(autouse=True)
def _one_connection(gateway: Deployment) -> None:
    gateway.configure(API_CONNECTIONS="1")


def test_call_is_turned_away_while_every_connection_is_taken(
    cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
) -> None:
    # Given another worker that has the only connection
    other = ConnectionLeases(boto3.client("dynamodb"), TABLE, 1)
    with other.hold(until=time.time() + 29.0):
        # When a message is posted
        reply = gateway.post(MESSAGE)

        # Then the caller gets a time to wait, nothing was sent or recorded, and what the alarm watches counts it
        assert (reply.status, reply.headers["Retry-After"]) == (429, "1")
        assert reply.json["detail"].startswith("not sent: every connection to Cube is taken; ")
        assert cube.requests() == []
        assert gateway.get("order-1").status == 404
        assert printed().values("ApiCallsTurnedAway", ALL_ACCOUNTS) == [1]
        # And a message that is to be queued needs no connection
        assert gateway.post(MESSAGE | {"requestId": "order-2"}, prefer="respond-async").status == 202

    # And the same call is sent afterwards, with nothing left behind
    assert gateway.post(MESSAGE).status == 200
    item = gateway.dynamodb.get_item(TableName=TABLE, Key={"messageId": {"S": LEASES_KEY}})["Item"]
    assert item.keys() == {"messageId"}


def test_connection_is_given_back_after_a_failure_too(cube: CubeSimulator, gateway: Deployment) -> None:
    # Given calls that fail in every way
    cube.configure(next_faults=["status:500", "reset", "status:429"])
    statuses = [gateway.post(MESSAGE | {"requestId": f"order-{n}"}).status for n in range(3)]
    assert 200 not in statuses
    assert gateway.post(MESSAGE | {"account": "nobody"}).status == 400

    # Then the next call finds the connection free
    assert gateway.post(MESSAGE | {"requestId": "order-9"}).status == 200


def test_place_costs_two_writes_and_no_read(gateway: Deployment) -> None:
    gateway.post(MESSAGE)
    gateway.aws_calls.clear()
    assert gateway.post(MESSAGE | {"requestId": "order-2"}).status == 200
    # The place, the claim, the outcome, the place; on a slow machine a look for a pause is due beside them
    assert [each for each in gateway.aws_calls.operations if each != "GetItem"] == ["UpdateItem"] * 4
    assert gateway.aws_calls.operations.count("GetItem") <= 1


def test_nothing_is_sent_while_dynamodb_cannot_tell(cube: CubeSimulator, gateway: Deployment) -> None:
    gateway.aws_calls.fail("UpdateItem", times=1)
    reply = gateway.post(MESSAGE)
    assert reply.status == 503
    assert "Retry-After" in reply.headers
    assert cube.requests() == []
