"""An update of an item of the table of records under a condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .items import update_item

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient


class ConditionalUpdate:
    """What is to be written to an item, and what has to be true of it.

    Strings stay strings, and times are kept with milliseconds.

    Examples
    --------
    >>> update = ConditionalUpdate()
    >>> update.require(update.absent("lane0"))
    >>> update.set("lane0", "1769212800.500 4f1a")
    >>> update.expressions()["UpdateExpression"]
    'SET #lane0 = :lane0'
    >>> update.expressions()["ConditionExpression"]
    'attribute_not_exists(#lane0)'
    """

    def __init__(self) -> None:
        self._assignments: list[str] = []
        self._removed: list[str] = []
        self._conditions: list[str] = []
        self._names: dict[str, str] = {}
        self._values: dict[str, Mapping[str, Any]] = {}
        self._set: dict[str, Mapping[str, str]] = {}

    def set(self, name: str, value: str | float) -> None:
        """Set an attribute."""
        text = value if isinstance(value, str) else _number(value)
        is_number = not isinstance(value, str)
        self._assignments.append(f"{self._name(name)} = {self._value(name, text, is_number=is_number)}")
        self._set[name] = {"N" if is_number else "S": text}

    def add(self, name: str, number: int) -> None:
        """Add to a number that there is."""
        self._assignments.append(
            f"{self._name(name)} = {self._name(name)} + {self._value(f'{name}Added', str(number))}"
        )

    def remove(self, *names: str) -> None:
        """Remove attributes."""
        self._removed += names

    def require(self, *alternatives: str) -> None:
        """Write only where one of some conditions holds."""
        self._conditions.append(alternatives[0] if len(alternatives) == 1 else f"({' OR '.join(alternatives)})")

    def absent(self, name: str) -> str:
        """Return the condition that there is no such attribute."""
        return f"attribute_not_exists({self._name(name)})"

    def equal(self, name: str, seen: str | None, *, is_number: bool = False) -> str:
        """Return the condition that an attribute is as it was seen, or is not there where it was not."""
        if seen is None:
            return self.absent(name)
        return f"{self._name(name)} = {self._value(f'{name}Seen', seen, is_number=is_number)}"

    def same(self, name: str, typed: Mapping[str, Any]) -> str:
        """Return the condition that an attribute is as it was seen, in DynamoDB's types."""
        seen = f":{_word(name)}Seen"
        self._values[seen] = typed
        return f"{self._name(name)} = {seen}"

    def differ(self, name: str, text: str) -> str:
        """Return the condition that an attribute is another text."""
        return f"{self._name(name)} <> {self._value(f'{name}Not', text, is_number=False)}"

    def less(self, name: str, limit: float) -> str:
        """Return the condition that a number is below a limit."""
        return f"{self._name(name)} < {self._value(f'{name}Limit', _number(limit))}"

    def expressions(self) -> dict[str, Any]:
        """Return the arguments for ``update_item``."""
        parts = [f"SET {', '.join(self._assignments)}"] if self._assignments else []
        if self._removed:
            parts.append(f"REMOVE {', '.join(map(self._name, self._removed))}")
        arguments: dict[str, Any] = {
            "UpdateExpression": " ".join(parts),
            "ConditionExpression": " AND ".join(self._conditions),
            "ExpressionAttributeNames": self._names,
        }
        if self._values:
            arguments["ExpressionAttributeValues"] = self._values
        return arguments

    def write(self, client: DynamoDBClient, table: str, key: str) -> tuple[dict[str, Any], bool]:
        """Write it.

        Parameters
        ----------
        client : DynamoDBClient
            boto3's client.
        table : str
            Name of the table.
        key : str
            The item's key.

        Returns
        -------
        item : dict
            The item as it is now, in DynamoDB's types; empty where there is none.
        is_written : bool
            Whether it is as asked for.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        item, is_written = update_item(client, table, key, **self.expressions())
        # A write whose answer was lost is repeated by boto3, and then meets its own trace.
        return item, is_written or self.is_in(item)

    def is_in(self, item: Mapping[str, Mapping[str, Any]]) -> bool:
        """Return whether an item, in DynamoDB's types, holds all that was to be set."""
        return bool(self._set) and all(item.get(name) == typed for name, typed in self._set.items())

    def applied_to(self, item: Mapping[str, str]) -> dict[str, str]:
        """Return what an item would become, with texts in place of DynamoDB's types."""
        texts = {name: text for name, typed in self._set.items() for text in typed.values()}
        return {name: text for name, text in {**item, **texts}.items() if name not in self._removed}

    def _name(self, name: str) -> str:
        self._names[f"#{_word(name)}"] = name
        return f"#{_word(name)}"

    def _value(self, name: str, text: str, *, is_number: bool = True) -> str:
        self._values[f":{_word(name)}"] = {"N" if is_number else "S": text}
        return f":{_word(name)}"


def _word(name: str) -> str:
    # DynamoDB's placeholders for names and values have only A-Z, a-z, 0-9 and underscores.
    return name.replace("-", "_")


def _number(value: float) -> str:
    # As DynamoDB gives it back: without zeros at the end.
    return f"{value:.3f}".rstrip("0").rstrip(".")
