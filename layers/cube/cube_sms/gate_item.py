"""The gate's item in DynamoDB, as one worker last saw it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .aws import update_item
from .errors import RecordsUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

    from .updates import ConditionalUpdate

# In the table of records, whose keys are "<account>#<requestId>": no account is without a name.
GATE_KEY = "#gate"

# Seconds after which a worker that remembers it as closed, or the quota as spent, looks again: somebody may have opened
# it by hand, or raised the quota.
REMEMBERED_SECONDS = 10.0

FIRST_WRITE_SECONDS = 0.2

# The share of the newest write in what one is expected to take.
NEWEST_SHARE = 0.2


class GateItem:
    """The item: written under a condition, and seen with every write, whether the condition held or not.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(self, client: DynamoDBClient, table: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._values: dict[str, str] = {}
        self._seen_at = 0.0
        # Seconds that a write usually takes; the first one connects.
        self.write_time = FIRST_WRITE_SECONDS

    @property
    def age(self) -> float:
        """Seconds since it was seen."""
        return self._clock() - self._seen_at

    def get(self, name: str) -> str | None:
        """Return an attribute, as DynamoDB gives it."""
        return self._values.get(name)

    def number(self, name: str) -> float:
        """Return a number; 0 where there is none."""
        return float(self._values.get(name, 0))

    def write(self, update: ConditionalUpdate) -> bool:
        """Write, and return whether the item is now as asked for.

        Raises
        ------
        RecordsUnavailableError
            Where DynamoDB is away.
        """
        started = self._clock()
        item, is_written = update_item(self._client, self._table, GATE_KEY, **update.expressions())
        self._values = {name: next(iter(typed.values())) for name, typed in item.items()}
        self._seen_at = self._clock()
        self.write_time += (self._seen_at - started - self.write_time) * NEWEST_SHARE
        # A write whose answer was lost is repeated by boto3, and then meets its own trace.
        return is_written or update.is_in(self._values)

    def write_or_remember(self, update: ConditionalUpdate) -> None:
        """Write what others should know. Where DynamoDB is away, this worker at least knows it."""
        try:
            self.write(update)
        except RecordsUnavailableError:
            self._values = update.applied_to(self._values)
            self._seen_at = self._clock()
