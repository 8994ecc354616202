"""One run at a time, and how much of the day's quota it may ask with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.followup.shift import AHEAD, SHIFT_KEY, Shift
from cube_sms.platform import DAY
from tests.unit.records_table import TABLE

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.support import Clock

SHARE = 240
MIDNIGHT = 20_834 * DAY


@pytest.fixture(autouse=True)
def _no_item(dynamodb: DynamoDBClient, clock: Clock) -> None:
    clock.now = MIDNIGHT
    dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": SHIFT_KEY}})


def asked(shift: Shift, most: int = 1000) -> int:
    """Return how many queries may be made now."""
    return next(number for number in range(most) if not shift.count())


def test_one_run_works_at_a_time(dynamodb: DynamoDBClient, clock: Clock) -> None:
    # Given a run that is under way
    one, other = (Shift(dynamodb, TABLE, SHARE, clock=clock) for _ in range(2))
    assert one.begin(clock.now + 60)
    # Then another one does not begin, until the first one has ended
    assert not other.begin(clock.now + 60)
    one.end()
    assert other.begin(clock.now + 60)
    # Or its time is over, and its end does not end the one after it
    clock.now += 61
    assert one.begin(clock.now + 60)
    other.end()
    assert not other.begin(clock.now + 60)


def test_share_is_spread_over_the_day(dynamodb: DynamoDBClient, clock: Clock) -> None:
    shift = Shift(dynamodb, TABLE, SHARE, clock=clock)
    shift.begin(clock.now + 60)
    # When the day begins, there is an hour's part
    assert asked(shift) == SHARE * AHEAD / DAY
    assert asked(shift) == 0
    # And by noon as much as there is until then, whichever worker has asked before
    clock.now += DAY / 2
    assert asked(Shift(dynamodb, TABLE, SHARE, clock=clock)) == SHARE / 2
    # And never more than the share on a day
    clock.now += DAY / 2 - 1
    assert asked(shift) == SHARE / 2 - SHARE * AHEAD / DAY
    clock.now += 1
    assert asked(shift) == SHARE * AHEAD / DAY


def test_no_limit_is_none(dynamodb: DynamoDBClient, clock: Clock) -> None:
    shift = Shift(dynamodb, TABLE, 0, clock=clock)
    assert [shift.count() for _ in range(100)] == [True] * 100


@pytest.mark.parametrize("spoiled", [{"day": {"S": "today"}}, {"asked": {"S": "many"}}, {"until": {"S": "never"}}])
def test_item_that_somebody_has_changed_by_hand_does_not_stop_it(
    dynamodb: DynamoDBClient, clock: Clock, spoiled: dict[str, Any]
) -> None:
    dynamodb.put_item(TableName=TABLE, Item={"messageId": {"S": SHIFT_KEY}, **spoiled})
    shift = Shift(dynamodb, TABLE, SHARE, clock=clock)
    assert shift.begin(clock.now + 60)
    assert shift.count()
