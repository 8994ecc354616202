"""How far a campaign is: an item for its run, and one for each of its batches, in the table of records.

Each look at a batch sets what it found, so that a repeated look changes nothing. The sum of all batches says how far
the campaign is.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from cube_sms.platform import DAY, KEY, get_item, get_items, key_of, update_item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

CAMPAIGN_KEY = "#campaign#"
"""The beginning of the keys of campaigns. A record's key begins with the name of its account."""

# Longer than an execution of Step Functions can last.
KEPT_SECONDS = 400 * DAY


class Run(msgspec.Struct, frozen=True, rename="camel"):
    """A run of a campaign: its newest one.

    Parameters
    ----------
    execution : str
        ARN of the execution of the state machine.
    bucket, key : str
        Its file.
    started_at : float
        When it began, in seconds since the epoch.
    rows, requests, queries, batches : int
        As `Prepared` has them; 0 until the file has been read.
    stopped_at, ended_at : float
        When an operator stopped it, and when its result was written; 0 if that has not happened.
    """

    execution: str
    bucket: str
    key: str
    started_at: float
    rows: int = 0
    requests: int = 0
    queries: int = 0
    batches: int = 0
    stopped_at: float = 0.0
    ended_at: float = 0.0


class Look(msgspec.Struct, frozen=True, rename="camel"):
    """What the newest look at a batch found.

    Parameters
    ----------
    execution : str
        The run that looked.
    begun_at, put_at : float
        When that run began to put the batch's rows onto the queue, and had put all of them; 0 if it has not.
    looked_at, changed_at : float
        When it looked, and when a row of it was found to have ended last.
    put, waiting : int
        How many rows that run has put onto the queue, and how many have not ended.
    is_ended : int
        1 if nothing more happens to the batch in this run.
    states : str
        How many rows are in which state, as JSON. Rows that are still to be put onto the queue are not among them.
    """

    execution: str
    begun_at: float = 0.0
    put_at: float = 0.0
    looked_at: float = 0.0
    changed_at: float = 0.0
    put: int = 0
    waiting: int = 0
    is_ended: int = 0
    states: str = "{}"


class CampaignItem(NamedTuple):
    """The keys of a campaign's items.

    Parameters
    ----------
    name : str
        The campaign's name.
    """

    name: str

    @property
    def run(self) -> str:
        """The key of its run's item."""
        return f"{CAMPAIGN_KEY}{self.name}"

    def batch(self, number: int) -> str:
        """Return the key of a batch's item. A campaign's name has no ``#``."""
        return f"{CAMPAIGN_KEY}{self.name}#{number}"


class CampaignItems:
    """The items of campaigns.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    clock : Callable[[], float]
        Seconds since the epoch.
    sleep : Callable[[float], None]
        Waits for seconds.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._sleep = sleep

    def run(self, name: str) -> Run | None:
        """Return the newest run of a campaign, as DynamoDB has it at this moment; None if there is none.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        return self._get(CampaignItem(name).run, Run)

    def begin(self, name: str, run: Run, former: Run | None) -> bool:
        """Replace a former run by one that begins, and return whether that held: another may have begun meanwhile."""
        values = {**_attributes(run), ":former": {"S": former.execution if former else ""}}
        names = {field: f":{field}" for field in _fields(run)}
        item, is_written = update_item(
            self._client,
            self._table,
            CampaignItem(name).run,
            UpdateExpression=_assigned(names),
            ConditionExpression=f"attribute_not_exists({KEY}) OR #execution = :former OR #execution = :execution",
            ExpressionAttributeNames=_names(names),
            ExpressionAttributeValues={**values, ":ttl": self._ttl},
        )
        return is_written or item["execution"]["S"] == run.execution

    def note(self, name: str, execution: str, **values: float) -> Run | None:
        """Set members of a run, and return it; None if the newest run is another one."""
        names = {
            name: f":{field}"
            for field, name in zip(Run.__struct_fields__, Run.__struct_encode_fields__, strict=True)
            if field in values
        }
        item, is_written = update_item(
            self._client,
            self._table,
            CampaignItem(name).run,
            UpdateExpression=_assigned(names),
            ConditionExpression="#execution = :execution",
            ExpressionAttributeNames={**_names(names), "#execution": "execution"},
            ExpressionAttributeValues={
                **{f":{field}": {"N": f"{value:.3f}"} for field, value in values.items()},
                ":execution": {"S": execution},
                ":ttl": self._ttl,
            },
        )
        return _read(item, Run) if is_written else None

    def look(self, name: str, batch: int) -> Look | None:
        """Return what the newest look at a batch found."""
        return self._get(CampaignItem(name).batch(batch), Look)

    def looks(self, name: str, batches: int) -> Iterator[tuple[int, Look]]:
        """Return what the newest looks at all batches found, with the batches' numbers, in no order."""
        item = CampaignItem(name)
        numbers = {item.batch(number): number for number in range(batches)}
        for found in get_items(self._client, self._table, numbers, is_consistent=False, sleep=self._sleep):
            yield numbers[key_of(found)], _read(found, Look)

    def put_look(self, name: str, batch: int, look: Look) -> None:
        """Write what a look at a batch found."""
        names = {field: f":{field}" for field in _fields(look)}
        update_item(
            self._client,
            self._table,
            CampaignItem(name).batch(batch),
            UpdateExpression=_assigned(names),
            ExpressionAttributeNames=_names(names),
            ExpressionAttributeValues={**_attributes(look), ":ttl": self._ttl},
        )

    @property
    def _ttl(self) -> dict[str, str]:
        return {"N": str(int(self._clock() + KEPT_SECONDS))}

    def _get[T](self, key: str, kind: type[T]) -> T | None:
        item = get_item(self._client, self._table, key)
        return _read(item, kind) if item else None


def _read[T](item: Mapping[str, Any], kind: type[T]) -> T:
    # DynamoDB gives numbers as texts.
    return msgspec.convert({name: next(iter(typed.values())) for name, typed in item.items()}, kind, strict=False)


def _fields(struct: msgspec.Struct | type[msgspec.Struct]) -> tuple[str, ...]:
    return struct.__struct_encode_fields__


def _attributes(struct: msgspec.Struct) -> dict[str, Any]:
    return {
        f":{name}": {"S": value} if isinstance(value, str) else {"N": str(value)}
        for name, value in msgspec.to_builtins(struct).items()
    }


def _assigned(names: Mapping[str, str]) -> str:
    return "SET " + ", ".join(f"#{name} = {value}" for name, value in {**names, "ttl": ":ttl"}.items())


def _names(names: Mapping[str, str]) -> dict[str, str]:
    return {f"#{name}": name for name in (*names, "ttl")}
