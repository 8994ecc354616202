"""The gateway's worker with a table, a queue and a clock in memory, in front of the provider's simulator.

A simulated AWS takes a hundred times as long for the two writes of each message. The other tests of this folder
are for what this table and this queue lack.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

from cube_sms.delivery.records import RecordStore, read_record
from cube_sms.delivery.sending import Sender
from cube_sms.pacing.gate import Gate
from cube_sms.platform.settings import Settings
from cube_sms.provider.credentials import CredentialStore
from cube_sms.provider.dialects import make_provider
from cube_sms.queue.consumer import QueueConsumer
from local import items
from local.gate_model import ConditionalCheckFailedException
from tests.integration.deployment import TABLE
from tests.integration.fleet import ACCOUNT
from tests.support import ACCESS_CODE, SECRET, Clock
from tests.v4_account import ENTRY

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from cube_sms.delivery.records import Record
    from cube_sms.queue.messages import Consumed
    from local.cube_simulator import CubeSimulator

SEND_QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/cube-sms-send"
DEAD_LETTERS, REJECTED = f"{SEND_QUEUE}-dead", f"{SEND_QUEUE}-rejected"
VISIBILITY_TIMEOUT = 361.0
LEASE = 36.0


class Table:
    """As much of DynamoDB as the records and the gate ask for. Safe to share between threads."""

    class exceptions:  # noqa: N801 - as botocore's clients have them
        """The errors."""

        ConditionalCheckFailedException = ConditionalCheckFailedException

    def __init__(self) -> None:
        self.items: dict[str, items.Item] = {}
        self.writes: Counter[str] = Counter()
        # Called before each write of a record, with its message's id.
        self.before: Callable[[str], None] = lambda _key: None
        self._lock = threading.Lock()

    def update_item(self, **call: Any) -> dict[str, Any]:
        """Apply an update if its condition holds."""
        key = call["Key"]["messageId"]["S"]
        if not key.startswith("#"):
            self.before(key)
        with self._lock:
            self.writes[key] += 1
            item = self.items.get(key, {})
            condition = call.get("ConditionExpression")
            if condition and not _holds(condition)(item, call):
                raise ConditionalCheckFailedException(dict(item))
            item = {**item, "messageId": {"S": key}}
            items.apply(item, call)
            self.items[key] = item
            return {"Attributes": dict(item)}

    def get_item(self, **call: Any) -> dict[str, Any]:
        """Return an item, if there is one."""
        with self._lock:
            item = self.items.get(call["Key"]["messageId"]["S"])
        return {"Item": dict(item)} if item else {}


@cache
def _holds(condition: str) -> Callable[[items.Item, Any], bool]:
    """Return a function that checks if an item meets a condition of DynamoDB, which is translated to Python."""
    text = re.sub(r"attribute_not_exists\(([#\w]+)\)", r'(name("\1") not in item)', condition)
    text = re.sub(r"attribute_exists\(([#\w]+)\)", r'(name("\1") in item)', text)
    text = re.sub(r"([#\w]+) IN \(([^)]*)\)", r'(got("\1") in values("\2"))', text)
    text = re.sub(r"([#\w]+) = (:\w+)", r'(got("\1") == values("\2")[0])', text)
    text = re.sub(r"([#\w]+) <> (:\w+)", r'(got("\1") != values("\2")[0])', text)
    text = re.sub(r"([#\w]+) < (:\w+)", r'less(got("\1"), values("\2")[0])', text)
    code = compile(text.replace(" AND ", " and ").replace(" OR ", " or "), "condition", "eval")

    def holds(item: items.Item, call: Any) -> bool:
        names, given = call.get("ExpressionAttributeNames", {}), call.get("ExpressionAttributeValues", {})
        scope = {
            "item": item,
            "name": lambda name: names.get(name, name),
            "got": lambda name: item.get(names.get(name, name)),
            "values": lambda listed: [given[each.strip()] for each in listed.split(",")],
            "less": lambda one, other: bool(one) and float(one["N"]) < float(other["N"]),
        }
        return bool(eval(code, scope))

    return holds


class Queue:
    """The queues, in the time of a clock. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.bodies: dict[str, str] = {}
        self.visible_at: dict[str, float] = {}
        self.receives: Counter[str] = Counter()
        self.letters: dict[str, list[str]] = {DEAD_LETTERS: [], REJECTED: []}

    def put(self, bodies: Iterable[str]) -> None:
        """Put messages onto the send queue."""
        for body in bodies:
            message_id = str(uuid.uuid4())
            self.bodies[message_id], self.visible_at[message_id] = body, self._clock()

    def receive(self, most: int) -> list[dict[str, Any]]:
        """Receive messages as Lambda does, and return their records."""
        found = [each for each, at in self.visible_at.items() if at <= self._clock()][:most]
        self.receives.update(found)
        self.visible_at.update(dict.fromkeys(found, self._clock() + VISIBILITY_TIMEOUT))
        return [
            {
                "messageId": each,
                "receiptHandle": each,
                "body": self.bodies[each],
                "attributes": {"ApproximateReceiveCount": str(self.receives[each])},
                "messageAttributes": {},
            }
            for each in found
        ]

    def delete(self, message_ids: Iterable[str]) -> None:
        """Delete messages, as Lambda does when the function has returned."""
        for each in message_ids:
            del self.bodies[each], self.visible_at[each]

    def change_message_visibility(self, **call: Any) -> None:
        self.visible_at[call["ReceiptHandle"]] = self._clock() + call["VisibilityTimeout"]

    def change_message_visibility_batch(self, **call: Any) -> None:
        for entry in call["Entries"]:
            self.change_message_visibility(**entry)

    def send_message(self, **call: Any) -> None:
        self.letters[call["QueueUrl"]].append(call["MessageBody"])


class _Secrets:
    def get_secret_value(self, **_: Any) -> dict[str, str]:
        entries = {"default": {"access_code": ACCESS_CODE, "secret": SECRET}, ACCOUNT: ENTRY}
        return {"SecretString": json.dumps(entries)}


class SlowTime(Clock):
    """A clock by which each query to the provider takes a while."""

    def __init__(self, cube: CubeSimulator, seconds: float) -> None:
        super().__init__()
        self._cube, self._seconds = cube, seconds

    def __call__(self) -> float:
        return self.now + (self._seconds * self._cube.stats()["received"] if self._seconds else 0.0)


class World:
    """One worker, and all that it works with.

    Parameters
    ----------
    cube : CubeSimulator
        The provider.
    qps : int
        Queries a second; 0 for no gate.
    query_seconds : float
        What each query takes.
    max_attempts : int
        POSTs before a message is given up.
    """

    def __init__(self, cube: CubeSimulator, *, qps: int = 0, query_seconds: float = 0.0, max_attempts: int = 8) -> None:
        self.cube = cube
        self.clock = SlowTime(cube, query_seconds)
        self.table, self.queue = Table(), Queue(self.clock)
        self.time_left = 60.0
        settings = Settings(
            cube_base_url=f"{cube.url}/cube/v4",
            cube_v4_base_url=f"{cube.url}/cube/v4",
            cube_secret_id="secret",
            messages_table=TABLE,
            send_queue_url=SEND_QUEUE,
            dead_letter_queue_url=DEAD_LETTERS,
            rejected_queue_url=REJECTED,
            queue_send_concurrency=2,
        )
        self.provider = make_provider(settings, 2)
        table: Any = self.table
        self.store = RecordStore(table, TABLE, lease=LEASE, retention=86400.0, clock=self.clock)
        secrets: Any = _Secrets()
        own_time: Any = {"clock": self.clock, "monotonic": self.clock, "sleep": self._sleep}
        self.sender = Sender(
            self.provider,
            CredentialStore(secrets, "secret"),
            self.store,
            Gate(table, TABLE, qps=qps, quota=0, longest_post=13.0, connections=2, **own_time),
            max_attempts=max_attempts,
            connections=2,
            **own_time,
        )
        queue: Any = self.queue
        self._consumer = QueueConsumer(self.sender, queue, settings, clock=self.clock)

    def _sleep(self, seconds: float) -> None:
        self.clock.now += seconds

    def invoke(self, most: int = 1000) -> list[Consumed]:
        """Take a batch as one invocation does."""
        records = self.queue.receive(most)
        until = self.clock() + self.time_left
        consumed = list(self._consumer.consume(records, lambda: until - self.clock()))
        assert sorted(each.record_id for each in consumed) == sorted(record["messageId"] for record in records)
        self.queue.delete([each.record_id for each in consumed if each.acknowledged])
        return consumed

    def run(self, chance: random.Random | None = None) -> None:
        """Take batches until the queue is empty."""
        for _ in range(1000):
            if not self.queue.bodies:
                return
            self.clock.now += max(0.0, min(self.queue.visible_at.values()) - self.clock())
            self.invoke(chance.choice([1, 10, 100, 1000]) if chance else 1000)
        raise AssertionError(f"{len(self.queue.bodies)} messages are left")

    def record(self, request_id: str, account: str = ACCOUNT) -> Record:
        """Return the record of a message."""
        return read_record(self.table.items[f"{account}#{request_id}"])

    def queries(self) -> list[int]:
        """Return how many messages each query carried, in their order."""
        return list(Counter(post["n"] for post in self.cube.requests()).values())

    def accepted(self) -> Counter[str]:
        """Return how often each device's message was accepted."""
        return Counter(post["deviceId"] for post in self.cube.requests() if post["accepted"])
