"""What a message costs as the batch, the table and the number of accounts grow."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.functions import OURS
from benchmarks.processes import Worker
from benchmarks.report import Row, Section, Spread, compare
from benchmarks.server import Server, secret_id
from local.ministack import MiniStack

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLE = "Growth"
TABLE = "growth"

# A message of the largest, in times of one of the smallest.
MOST_GROWTH = 1.1
# The same where each message of a batch belongs to another account, which has its own metrics.
MOST_ACCOUNT_GROWTH = 1.5

_BATCHES = (1, 10, 100)
_ACCOUNTS = (1, 10, 100)
_RECORDS = (100, 1000, 10_000)
_ACCOUNTS_BATCH = 100
_RECORDS_BATCH = 10
_ROUNDS = 5

# About so many messages of a load have their turn, or a batch where that is more.
_TURN = 50

_METHOD = f"""
What one message costs ours, as three things grow:

- **the batch**: {", ".join(map(str, _BATCHES))} messages, one account ("Warm" has a thousand, "Instructions" the same
  in instructions);
- **the accounts** that the messages of a batch of {_ACCOUNTS_BATCH} belong to: {", ".join(map(str, _ACCOUNTS))}. Each
  account has its own metrics, emitted once an invocation, so a batch costs so much for each message and so much for
  each account;
- **the records** in the table: {", ".join(f"{count:,}" for count in _RECORDS)} at first, in MiniStack's DynamoDB. What
  is measured adds {_TURN * (_ROUNDS + 1)} to each, so the smallest ends with {_RECORDS[0] + _TURN * (_ROUNDS + 1)}.
  Every write is by key, and DynamoDB takes the same for it whatever the table's size; this shows that our own process
  does not care either. Batches of {_RECORDS_BATCH}.

![What a message costs as things grow](benchmarks-growth.png)
"""


def measure(*, quick: bool = False) -> Section:
    """Return what a message costs as things grow."""
    rounds = 2 if quick else _ROUNDS
    with Server() as server:
        batches = _cpu(server, {size: _Load(size) for size in _BATCHES}, rounds)
        accounts = _cpu(server, {count: _Load(_ACCOUNTS_BATCH, count) for count in _ACCOUNTS}, rounds)
        with ExitStack() as stack:
            tables = {count: stack.enter_context(MiniStack()) for count in _RECORDS}
            for count, aws in tables.items():
                _fill(aws, count)
            records = _cpu(server, {count: _Load(_RECORDS_BATCH, aws=aws) for count, aws in tables.items()}, rounds)
    rows = [
        _row(f"a message in a batch of {_BATCHES[-1]} / of {_BATCHES[0]}, CPU", batches),
        _row(f"a message of {_ACCOUNTS[-1]} accounts / of {_ACCOUNTS[0]}, CPU", accounts, MOST_ACCOUNT_GROWTH),
        _row(f"a message in a table of {_RECORDS[-1]:,} records at first / of {_RECORDS[0]}, CPU", records),
    ]
    panels = {
        "messages in a batch": _points(batches),
        "accounts in a batch of 100": _points(accounts),
        "records in the table at first": _points(records),
    }
    return Section(TITLE, _METHOD, rows, series=panels)


class _Load(NamedTuple):
    """Batches of so many messages of so many accounts, with another DynamoDB where one is given."""

    size: int
    accounts: int = 1
    aws: MiniStack | None = None

    def worker(self, server: Server) -> Worker:
        variables = {"CUBE_SECRET_ID": secret_id(self.accounts)}
        if self.aws:
            variables |= {"AWS_ENDPOINT_URL_DYNAMODB": self.aws.url, "MESSAGES_TABLE": TABLE}
        return Worker(OURS, server, variables=variables)

    def microseconds(self, worker: Worker) -> float:
        """Return the CPU of a message in one turn."""
        batches = max(1, _TURN // self.size)
        seconds = worker.do("handle", self.size, batches, self.accounts)["cpu"]
        return float(seconds / self.size / batches * 1e6)


def _cpu(server: Server, loads: Mapping[int, _Load], rounds: int) -> dict[int, list[float]]:
    """Return the microseconds of a message under each load; their workers have their turns."""
    with ExitStack() as stack:
        workers = {key: stack.enter_context(load.worker(server)) for key, load in loads.items()}
        samples: dict[int, list[float]] = {key: [] for key in loads}
        for number in range(rounds + 1):
            for key, load in loads.items():
                microseconds = load.microseconds(workers[key])
                # The first round finds nothing warm.
                if number:
                    samples[key].append(microseconds)
    return samples


def _fill(aws: MiniStack, count: int) -> None:
    """Make a table with so many records."""
    dynamodb: Any = aws.client("dynamodb")
    dynamodb.create_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": "messageId", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "messageId", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for numbers in batched(range(count), 25, strict=True):
        items = [{"messageId": {"S": f"default#before-{number}"}} for number in numbers]
        dynamodb.batch_write_item(RequestItems={TABLE: [{"PutRequest": {"Item": item}} for item in items]})


def _row(what: str, found: dict[int, list[float]], limit: float = MOST_GROWTH) -> Row:
    return compare(what, "us", found[max(found)], found[min(found)], most=limit)


def _points(found: dict[int, list[float]]) -> dict[str, list[float]]:
    return {"x": [float(key) for key in found], "us": [Spread.of(values).median for values in found.values()]}
