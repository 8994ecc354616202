"""Conditional updates: what DynamoDB is asked to do, and what it makes of it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cube_sms.platform.updates import ConditionalUpdate
from tests.unit.records_table import TABLE

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_numbers = itertools.count()


class Item:
    """An item of its own for each test, written and read through DynamoDB's own expressions."""

    def __init__(self, dynamodb: DynamoDBClient, **attributes: str | float) -> None:
        self._dynamodb = dynamodb
        self._key: Any = {"messageId": {"S": f"#item-{next(_numbers)}"}}
        if attributes:
            typed = {
                name: {"S": value} if isinstance(value, str) else {"N": str(value)}
                for name, value in attributes.items()
            }
            dynamodb.put_item(TableName=TABLE, Item={**self._key, **typed})

    def write(self, update: ConditionalUpdate) -> bool:
        """Write it, and return whether the condition held."""
        try:
            self._dynamodb.update_item(TableName=TABLE, Key=self._key, **update.expressions())
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def typed(self) -> dict[str, Any]:
        """Return its attributes, in DynamoDB's types."""
        item: Any = self._dynamodb.get_item(TableName=TABLE, Key=self._key).get("Item", {})
        return {name: typed for name, typed in item.items() if name != "messageId"}

    def read(self) -> dict[str, str]:
        """Return its attributes, as the gate sees them."""
        return {name: next(iter(typed.values())) for name, typed in self.typed().items()}


def test_sets_strings_and_numbers(dynamodb: DynamoDBClient) -> None:
    item = Item(dynamodb)
    update = ConditionalUpdate()
    update.require(update.absent("lane0"))
    update.set("lane0", "1800000000.5 4f1a~")
    update.set("day", 20000)
    update.set("closedUntil", 1_800_000_000.1239)
    assert item.write(update)
    assert item.read() == {"lane0": "1800000000.5 4f1a~", "day": "20000", "closedUntil": "1800000000.124"}


@pytest.mark.parametrize("number", [0, 1, 10, 200, 0.5, 0.0004, 1_800_000_000, 1_800_000_000.1, 86_400_000.25])
def test_number_is_what_dynamodb_gives_back(dynamodb: DynamoDBClient, number: float) -> None:
    # Given a number that was written
    item = Item(dynamodb)
    update = ConditionalUpdate()
    update.require(update.absent("number"))
    update.set("number", number)
    item.write(update)
    # Then the update finds it in what DynamoDB returns
    assert update.is_in(item.typed())
    assert float(item.read()["number"]) == pytest.approx(number, abs=0.0005)


@pytest.mark.parametrize(("seen", "holds"), [("a", True), ("b", False), (None, False)])
def test_requires_what_was_seen(dynamodb: DynamoDBClient, seen: str | None, holds: bool) -> None:
    item = Item(dynamodb, lane0="a")
    update = ConditionalUpdate()
    update.require(update.equal("lane0", seen))
    update.set("lane0", "c")
    assert item.write(update) is holds
    assert item.read() == {"lane0": "c" if holds else "a"}


def test_requires_a_number_that_was_seen(dynamodb: DynamoDBClient) -> None:
    item = Item(dynamodb, closedUntil=1_800_000_000.25)
    update = ConditionalUpdate()
    update.require(update.equal("closedUntil", "1800000000.25", is_number=True))
    update.remove("closedUntil", "closedFor")
    assert item.write(update)
    assert item.read() == {}
    # And once it is gone
    assert not item.write(update)


@pytest.mark.parametrize(("used", "holds"), [(4, True), (5, False), (6, False)])
def test_requires_less(dynamodb: DynamoDBClient, used: int, holds: bool) -> None:
    item = Item(dynamodb, used=used)
    update = ConditionalUpdate()
    update.require(update.less("used", 5))
    update.add("used", 3)
    assert item.write(update) is holds
    assert item.read() == {"used": str(used + 3 * holds)}


def test_absent_number_is_not_less(dynamodb: DynamoDBClient) -> None:
    item = Item(dynamodb, day=1)
    update = ConditionalUpdate()
    update.require(update.less("used", 5))
    update.set("day", 2)
    assert not item.write(update)


def test_absent_number_is_less_where_it_may_be_absent(dynamodb: DynamoDBClient) -> None:
    item = Item(dynamodb)
    update = ConditionalUpdate()
    update.require(update.absent("day"), update.less("day", 20000))
    update.set("day", 20000)
    assert item.write(update)
    assert not item.write(update)


@pytest.mark.parametrize(("found", "holds"), [(10.0, True), (20.0, False), (30.0, True)])
def test_number_may_be_as_it_was_seen(dynamodb: DynamoDBClient, found: float, holds: bool) -> None:
    item = Item(dynamodb, closedUntil=found)
    update = ConditionalUpdate()
    update.require(update.less("closedUntil", 15.0), update.equal("closedUntil", "30", is_number=True))
    update.set("closedUntil", 15.0)
    assert item.write(update) is holds


def test_either_of_one_condition_is_not_either_of_all(dynamodb: DynamoDBClient) -> None:
    # Given an item that meets one condition, and of the other one neither side
    item = Item(dynamodb, day=9, lane0="a")
    update = ConditionalUpdate()
    update.require(update.equal("lane0", "a"))
    update.require(update.absent("day"), update.less("day", 9), update.equal("day", "12", is_number=True))
    update.set("day", 10)
    assert not item.write(update)
    # Nor where it meets the first side of the second one alone
    item = Item(dynamodb, lane0="b")
    assert not item.write(update)


def test_takes_away(dynamodb: DynamoDBClient) -> None:
    item = Item(dynamodb, used=7)
    update = ConditionalUpdate()
    update.require(update.less("used", 100))
    update.add("used", -3)
    assert item.write(update)
    assert item.read() == {"used": "4"}


def test_everything_at_once(dynamodb: DynamoDBClient) -> None:
    # Given
    item = Item(dynamodb, day=20000, used=7, lane0="a", closedUntil=5)
    update = ConditionalUpdate()
    # When
    update.require(update.equal("lane0", "a"))
    update.require(update.equal("lane1", None))
    update.require(update.equal("day", "20000", is_number=True))
    update.require(update.less("used", 98))
    update.require(update.equal("closedUntil", "5", is_number=True))
    update.set("lane0", "b")
    update.set("lane1", "c")
    update.add("used", 3)
    update.set("closedUntil", 20.0)
    update.set("closedFor", "probing")
    update.remove("strikes")
    # Then
    assert item.write(update)
    assert item.read() == {
        "day": "20000",
        "used": "10",
        "lane0": "b",
        "lane1": "c",
        "closedUntil": "20",
        "closedFor": "probing",
    }
    assert not item.write(update)


def test_what_was_only_added_or_removed_leaves_no_trace() -> None:
    update = ConditionalUpdate()
    update.add("used", 3)
    update.remove("closedUntil")
    assert not update.is_in({"used": {"N": "3"}})
    assert not update.is_in({})


def test_trace_is_all_that_was_set() -> None:
    update = ConditionalUpdate()
    update.set("lane0", "b")
    update.set("day", 3)
    item = {"lane0": {"S": "b"}, "day": {"N": "3"}}
    assert update.is_in({**item, "used": {"N": "1"}})
    assert not update.is_in({**item, "day": {"N": "4"}})
    assert not update.is_in({**item, "day": {"S": "3"}})
    assert not update.is_in({"lane0": {"S": "b"}})


def test_what_an_item_would_become() -> None:
    update = ConditionalUpdate()
    update.set("closedUntil", 5.0)
    update.remove("strikes")
    item = {"lane0": "a", "strikes": "2", "closedUntil": "3"}
    assert update.applied_to(item) == {"lane0": "a", "closedUntil": "5"}
    assert item == {"lane0": "a", "strikes": "2", "closedUntil": "3"}


@given(st.floats(0, 4e9, allow_nan=False))
def test_text_of_a_number_keeps_its_milliseconds(number: float) -> None:
    update = ConditionalUpdate()
    update.set("number", number)
    (value,) = update.expressions()["ExpressionAttributeValues"].values()
    text = value["N"]
    assert float(text) == pytest.approx(number, abs=0.000501)
    # As DynamoDB normalises it
    assert text == "0" or not text.startswith("00")
    assert "." not in text or not text.endswith(("0", "."))
