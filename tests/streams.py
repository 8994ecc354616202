"""The stream of the table of records, as Lambda reads it."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from tests.cloudformation import written

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

type Change = dict[str, Any]


class TableStream:
    """A table's stream.

    Parameters
    ----------
    streams
        boto3's client of DynamoDB Streams.
    arn : str
        The stream's ARN.
    """

    def __init__(self, streams: Any, arn: str) -> None:
        self._streams = streams
        self.arn = arn
        (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        self.shard_id: str = shard["ShardId"]

    def read(self, after: str | None = None, limit: int = 1000) -> list[Change]:
        """Return the records after a sequence number, or from the first one on, in the form of Lambda's event."""
        start = {"ShardIteratorType": "TRIM_HORIZON"}
        if after:
            start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": after}
        return self.follow(self._iterator(**start), limit)[0]

    def end(self) -> str:
        """Return the iterator of what will be written from now on."""
        return self._iterator(ShardIteratorType="LATEST")

    def follow(self, iterator: str, limit: int = 1000) -> tuple[list[Change], str]:
        """Return the records at an iterator, and the next iterator."""
        answer = self._streams.get_records(ShardIterator=iterator, Limit=limit)
        changes = copy.deepcopy(answer["Records"])
        for change in changes:
            change["eventSourceARN"] = self.arn
            created: datetime = change["dynamodb"]["ApproximateCreationDateTime"]
            change["dynamodb"]["ApproximateCreationDateTime"] = created.timestamp()
        return changes, answer["NextShardIterator"]

    def _iterator(self, **start: str) -> str:
        answer = self._streams.get_shard_iterator(StreamArn=self.arn, ShardId=self.shard_id, **start)
        return str(answer["ShardIterator"])


def sequence_number(change: Change) -> str:
    """Return the sequence number of a record."""
    return str(change["dynamodb"]["SequenceNumber"])


def lambda_event(changes: Iterable[Change]) -> dict[str, Any]:
    """Return the event that Lambda invokes a function with."""
    return json.loads(json.dumps({"Records": list(changes)}))  # type: ignore[no-any-return]


def passes(filters: Iterable[Mapping[str, Any]], change: Change) -> bool:
    """Return whether Lambda passes a record on to a function whose mapping has these filters."""
    return any(_matches(json.loads(each["Pattern"]), change) for each in filters)


def _matches(pattern: Mapping[str, Any], value: Any) -> bool:
    return isinstance(value, dict) and all(
        _matches(wanted, value.get(name))
        if isinstance(wanted, dict)
        else any(_is(each, value.get(name)) for each in wanted)
        for name, wanted in pattern.items()
    )


def _is(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, dict):
        ((operator, operand),) = wanted.items()
        if operator != "prefix":
            raise NotImplementedError(operator)
        return isinstance(value, str) and value.startswith(operand)
    return bool(wanted == value)


def template_filters() -> list[dict[str, Any]]:
    """Return the filters of the mapping that publishes outcomes, as the template has them."""
    template = written("template.yaml")
    mapping = template["Resources"]["PublishOutcomesFunction"]["Properties"]["Events"]["Outcomes"]
    filters: list[dict[str, Any]] = mapping["Properties"]["FilterCriteria"]["Filters"]
    return filters
