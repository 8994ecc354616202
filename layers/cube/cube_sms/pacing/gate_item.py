"""The gate's item in DynamoDB, as one worker last saw it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, get_args

from cube_sms.platform import DAY, KEY, ConditionalUpdate, RecordsUnavailableError, get_item

from .errors import GateReason
from .lanes import Lane
from .pause import PAUSED, Pause
from .runs import ACCOUNT, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

# A key of the table of records. The key of a record, "<account>#<requestId>", begins with the name of its account.
GATE_KEY = "#gate"

# Seconds for which a worker remembers a closed gate or a spent quota. Then it looks again, since an operator may have
# opened the gate or raised the quota.
REMEMBERED_SECONDS = 10.0

# The first guess of what a write of the item takes.
FIRST_WRITE_SECONDS = 0.2

# The share of the newest write, or query, in the average time of one.
NEWEST_SHARE = 0.2

# A worker has a lane for one invocation at most, and no clock is ahead by so much.
MOST_LANE_SECONDS = 3600.0

# The attribute that says until when a caller of the API waits for a lane, and which caller. Its form is that of a lane.
WANTED = "wanted"

# The attributes that a worker looks at between its reservations.
_LOOKED_FOR = (WANTED, PAUSED)

_LANE = "l"
_REASONS = frozenset(get_args(GateReason.__value__))


class GateItem:
    """The item. Each write has a condition, and shows the item whether the condition held or not.

    An attribute that an operator has written by hand may be unreadable. It counts as absent, and is removed.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    clock : Callable[[], float]
        Seconds since the epoch.
    ticks : Callable[[], float]
        Seconds on a clock that is never set.
    """

    def __init__(
        self, client: DynamoDBClient, table: str, *, clock: Callable[[], float], ticks: Callable[[], float]
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._ticks = ticks
        self._values: dict[str, str] = {}
        self._spoiled: dict[str, Any] = {}
        self._repaired: list[str] = []
        self._seen_at = -math.inf
        self._looked_at = -math.inf
        self._tried_at = -math.inf
        # Seconds that a write usually takes. The first one also opens the connection.
        self.write_time = FIRST_WRITE_SECONDS

    @property
    def age(self) -> float:
        """Seconds since this worker saw it."""
        return self._ticks() - self._seen_at

    @property
    def unseen_for(self) -> float:
        """Seconds since this worker saw it, or looked at a part of it."""
        return min(self.age, self._ticks() - self._looked_at)

    @property
    def untried_for(self) -> float:
        """Seconds since this worker saw it, or tried to look."""
        return min(self.unseen_for, self._ticks() - self._tried_at)

    def get(self, name: str) -> str | None:
        """Return an attribute, as DynamoDB gives it."""
        return self._values.get(name)

    def starting(self, prefix: str) -> dict[str, str]:
        """Return the attributes whose names have a prefix."""
        return {name: value for name, value in self._values.items() if name.startswith(prefix)}

    def number(self, name: str) -> float:
        """Return a number; 0 if there is none."""
        return float(self._values.get(name, 0))

    def take_repaired(self) -> tuple[str, ...]:
        """Return the unreadable attributes that were removed since the last call."""
        repaired, self._repaired = self._repaired, []
        return tuple(repaired)

    def look(self) -> dict[str, str] | None:
        """Read what others may have written between two reservations; None if DynamoDB is unavailable.

        Unreadable attributes are left out. What this worker knows of the item changes only with `learn`.
        """
        options: Any = {
            "ProjectionExpression": ", ".join(f"#{name}" for name in _LOOKED_FOR),
            "ExpressionAttributeNames": {f"#{name}": name for name in _LOOKED_FOR},
            "ConsistentRead": False,
        }
        self._tried_at = self._ticks()
        try:
            item = get_item(self._client, self._table, GATE_KEY, **options)
        except RecordsUnavailableError:
            return None
        now = self._clock()
        return {name: str(next(iter(typed.values()))) for name, typed in item.items() if _is_legible(name, typed, now)}

    def learn(self, found: Mapping[str, str] | None) -> None:
        """Note what a look has found, if no write has shown the item since."""
        if found is None:
            return
        self._looked_at = self._tried_at
        if self._seen_at <= self._looked_at:
            kept = {name: value for name, value in self._values.items() if name not in _LOOKED_FOR}
            self._values = {**kept, **found}

    def read(self) -> None:
        """See it without a write, for code that sends nothing.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        self._see(get_item(self._client, self._table, GATE_KEY))
        self._seen_at = self._ticks()

    def write(self, update: ConditionalUpdate) -> bool:
        """Write, and return whether the item is now as asked for.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        is_written = self._write(update)
        if self._spoiled:
            self._repair()
            # An unreadable attribute counts as absent in the condition too.
            is_written = is_written or self._write(update)
        return is_written

    def write_or_remember(self, update: ConditionalUpdate) -> bool:
        """Write for all workers, and return whether it held. If DynamoDB is unavailable, only this worker knows it."""
        try:
            return self.write(update)
        except RecordsUnavailableError:
            self._values = update.applied_to(self._values)
            self._seen_at = self._ticks()
            return True

    def _write(self, update: ConditionalUpdate) -> bool:
        started = self._ticks()
        item, is_written = update.write(self._client, self._table, GATE_KEY)
        self._see(item)
        self._seen_at = self._ticks()
        self.write_time += (self._seen_at - started - self.write_time) * NEWEST_SHARE
        return is_written

    def _repair(self) -> None:
        """Remove unreadable attributes, if they are still the same."""
        update = ConditionalUpdate()
        for name, typed in self._spoiled.items():
            update.require(update.same(name, typed))
        update.remove(*self._spoiled)
        names = sorted(self._spoiled)
        if self._write(update):
            self._repaired += names

    def _see(self, item: Mapping[str, Mapping[str, Any]]) -> None:
        now = self._clock()
        self._spoiled = {name: typed for name, typed in item.items() if not _is_legible(name, typed, now)}
        # These two are one count: if one is unreadable, both go.
        if self._spoiled.keys() & {"day", "used"}:
            self._spoiled |= {name: item[name] for name in ("day", "used") if name in item}
        self._values = {
            name: str(next(iter(typed.values()))) for name, typed in item.items() if name not in self._spoiled
        }


def _is_legible(name: str, typed: Mapping[str, Any], now: float) -> bool:
    """Return whether an attribute can be what a gate has written."""
    if name == KEY:
        return True
    ((kind, value),) = typed.items()
    match name:
        case "by":
            return kind == "S"
        case "closedFor":
            return kind == "S" and value in _REASONS
        case "wanted":
            return kind == "S" and _is_legible_lane(value, now)
        case "closedUntil":
            return kind == "N"
        case "strikes" | "used":
            return kind == "N" and float(value).is_integer() and float(value) >= 0
        case "day":
            return kind == "N" and float(value).is_integer() and 0 <= float(value) <= now / DAY + 1
        case "paused":
            return kind == "S" and _is_legible_as(Pause, value)
    if name.startswith(ACCOUNT):
        return kind == "S" and _is_legible_as(Run, value)
    return not _is_lane(name) or (kind == "S" and _is_legible_lane(value, now))


def lane_name(index: int) -> str:
    """Return the name of a lane's attribute."""
    return f"{_LANE}{index}"


def _is_lane(name: str) -> bool:
    return name.startswith(_LANE) and name[len(_LANE) :].isdecimal()


def _is_legible_as(kind: type[Pause | Run], text: str) -> bool:
    try:
        kind.parse(text)
    except ValueError:
        return False
    return True


def _is_legible_lane(text: str, now: float) -> bool:
    try:
        lane = Lane.parse(text)
    except ValueError:
        return False
    return bool(lane.owner) and 0 <= lane.free_at <= now + MOST_LANE_SECONDS
