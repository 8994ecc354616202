"""The API's places for connections: how many are taken at a time, and when an abandoned one is free again."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError

from cube_sms.pacing.errors import ConnectionsTakenError
from cube_sms.pacing.leases import LEASES_KEY, MARGIN, PATIENCE, PAUSE, ConnectionLeases
from cube_sms.platform.errors import RecordsUnavailableError
from tests.unit.records_table import TABLE, answer_lost

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.support import Clock

INVOCATION = 29.0

type Make = Callable[..., ConnectionLeases]


@pytest.fixture
def make(dynamodb: DynamoDBClient, clock: Clock) -> Make:
    """Makes workers that share places, all of them free, and wait by moving their clock."""
    dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": LEASES_KEY}})

    def sleep(seconds: float) -> None:
        clock.now += seconds

    return lambda count=1: ConnectionLeases(dynamodb, TABLE, count, clock=clock, sleep=sleep)


def spoil(dynamodb: DynamoDBClient, value: Any) -> None:
    dynamodb.put_item(TableName=TABLE, Item={"messageId": {"S": LEASES_KEY}, "place0": value})


@pytest.mark.parametrize("count", [1, 2, 3])
def test_as_many_hold_a_place_as_there_are(make: Make, clock: Clock, count: int) -> None:
    with ExitStack() as held:
        # Given as many workers in hand of a place as there are places
        for _ in range(count):
            held.enter_context(make(count).hold(until=clock() + INVOCATION))

        # When one more asks for one, then it is turned away when it has waited for a moment
        asked_at = clock()
        with pytest.raises(ConnectionsTakenError) as turned_away, make(count).hold(until=clock() + INVOCATION):
            pytest.fail("one too many")
        assert 0 < clock() - asked_at <= PATIENCE + 2 * PAUSE
        assert turned_away.value.until > clock()

    # And has it as soon as one is given back
    with make(count).hold(until=clock() + INVOCATION):
        pass


def test_worker_has_its_place_again_and_again(make: Make, clock: Clock) -> None:
    leases = make()
    for _ in range(3):
        with leases.hold(until=clock() + INVOCATION):
            clock.now += 1


def test_place_is_given_back_whatever_happens(make: Make, clock: Clock) -> None:
    # Given an invocation that fails
    with pytest.raises(KeyError), make().hold(until=clock() + INVOCATION):
        raise KeyError

    # Then others have its place at once
    asked_at = clock()
    with make().hold(until=clock() + INVOCATION):
        assert clock() == asked_at


def test_place_of_a_worker_that_died_is_free_when_its_invocation_must_have_ended(make: Make, clock: Clock) -> None:
    # Given a worker that never gives its place back
    died_at = clock()
    dead = make().hold(until=died_at + INVOCATION)
    dead.__enter__()

    # When others ask until one has it
    while True:
        try:
            with make().hold(until=clock() + INVOCATION):
                break
        except ConnectionsTakenError:
            continue

    # Then that is not before the dead one was cut off, by any clock, and soon afterwards
    assert INVOCATION + MARGIN <= clock() - died_at <= INVOCATION + MARGIN + 2 * PAUSE


def test_late_worker_does_not_give_back_the_place_of_another(make: Make, clock: Clock) -> None:
    # Given a worker that overran its time, and another one that has its place meanwhile
    late = make().hold(until=clock() + INVOCATION)
    late.__enter__()
    clock.now += INVOCATION + MARGIN + 1
    with make().hold(until=clock() + INVOCATION):
        # When the late one ends, then the place is still the other's
        late.__exit__(None, None, None)
        with pytest.raises(ConnectionsTakenError), make().hold(until=clock() + INVOCATION):
            pytest.fail("one too many")


def test_place_is_had_though_the_answer_was_lost(dynamodb: DynamoDBClient, make: Make, clock: Clock) -> None:
    # When boto3 repeats the write, which then meets what it wrote the first time
    with answer_lost(dynamodb) as statuses, make().hold(until=clock() + INVOCATION):
        assert statuses == [200, 400]

        # Then the place is the worker's alone
        with pytest.raises(ConnectionsTakenError), make().hold(until=clock() + INVOCATION):
            pytest.fail("one too many")


@pytest.mark.parametrize(
    "spoiled",
    [
        {"S": ""},
        {"S": "tomorrow"},
        {"S": "nan x"},
        {"S": "inf x"},
        {"S": "99999999999999 x"},
        {"N": "7"},
        {"BOOL": True},
        {"NULL": True},
        {"L": []},
        {"M": {"S": {"S": "x"}}},
    ],
    ids=str,
)
def test_place_that_was_spoiled_by_hand_is_taken(
    dynamodb: DynamoDBClient, make: Make, clock: Clock, spoiled: dict[str, Any]
) -> None:
    # Given an item in which somebody has written what is no lease, and a worker that has seen a good one
    warm = make()
    with warm.hold(until=clock() + INVOCATION):
        pass
    spoil(dynamodb, spoiled)

    # Then it does not keep anybody from sending
    for leases in (warm, make()):
        with leases.hold(until=clock() + INVOCATION):
            pass


def test_without_a_limit_nothing_is_written(dynamodb: DynamoDBClient, make: Make, clock: Clock) -> None:
    with make(0).hold(until=clock() + INVOCATION):
        assert "Item" not in dynamodb.get_item(TableName=TABLE, Key={"messageId": {"S": LEASES_KEY}})


class FailingClient:
    """DynamoDB, of which some writes fail."""

    def __init__(self, client: DynamoDBClient, *fails: bool) -> None:
        self._client = client
        self._fails = list(fails)
        self.exceptions = client.exceptions

    def update_item(self, **arguments: Any) -> Any:
        if self._fails.pop(0):
            raise EndpointConnectionError(endpoint_url="http://away")
        return self._client.update_item(**arguments)


def test_nothing_is_sent_without_a_place_while_dynamodb_is_away(
    dynamodb: DynamoDBClient, make: Make, clock: Clock
) -> None:
    client: Any = FailingClient(dynamodb, True)
    with (
        pytest.raises(RecordsUnavailableError),
        ConnectionLeases(client, TABLE, 1, clock=clock).hold(until=clock() + 1),
    ):
        pytest.fail("sent")


def test_what_was_sent_is_told_though_the_place_cannot_be_given_back(
    dynamodb: DynamoDBClient, make: Make, clock: Clock
) -> None:
    # Given that DynamoDB is unavailable when a place is given back
    client: Any = FailingClient(dynamodb, False, True)
    with ConnectionLeases(client, TABLE, 1, clock=clock).hold(until=clock() + INVOCATION):
        pass

    # Then it is free when the lease is over
    clock.now += INVOCATION + MARGIN
    with make().hold(until=clock() + INVOCATION):
        pass
