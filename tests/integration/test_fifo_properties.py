"""The order of a device's messages, whatever happens to each attempt, and however many workers there are."""

from __future__ import annotations

import json
import random
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cube_sms.delivery.records import RecordStore
from cube_sms.delivery.sending import Sender
from cube_sms.pacing.gate import Gate
from cube_sms.platform.settings import Settings
from cube_sms.provider.credentials import CredentialStore
from cube_sms.provider.dialects import make_provider
from cube_sms.queue.consumer import QueueConsumer
from tests.integration.deployment import LEASE, MAX_ATTEMPTS, SECRET_ID, TABLE
from tests.integration.fifo_queue import DEAD_LETTER_QUEUE, SEND_QUEUE, FifoQueues
from tests.support import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cube_sms.queue.messages import Consumed
    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment

DEVICES = ["89314404000939952270", "89314404000939952271", "89314404000939952272"]

# If there is a limit, the shorter ones leave time for a part of a batch at a time.
FUNCTION_TIMEOUTS = [12.0, 15.0, 60.0]

# What Cube does with the requests that come, one after the other; after these it accepts.
FAULTS = st.lists(
    st.sampled_from(
        [
            "delay:0",
            "delay:0",
            "delay:0",
            "status:503",
            "status:429",
            "reset",
            "lost",
            "status-after:500",
            "status-after:502",
            "status-after:503",
            "rejected",
            "garbage",
        ]
    ),
    min_size=5,
    max_size=25,
)


class Sent(NamedTuple):
    """A message that is put onto the queue.

    Parameters
    ----------
    device : str
        The device that it is for.
    fields : dict
        What else its request has.
    is_identified : bool
        Whether its request has an id.
    """

    device: str
    fields: dict[str, str]
    is_identified: bool


MESSAGES = st.lists(
    st.builds(
        Sent,
        # One has most of them.
        st.sampled_from([*DEVICES, DEVICES[0], DEVICES[0]]),
        st.sampled_from([{}, {}, {}, {"delivery": "at-most-once"}, {"expiresAt": "2020-01-01T00:00:00Z"}, {"x": "y"}]),
        st.booleans(),
    ),
    min_size=5,
    max_size=14,
)


class Running(NamedTuple):
    """An invocation under way."""

    until: float
    receipts: dict[str, str]
    results: Iterator[Consumed]
    acknowledged: set[str]


class Lambda:
    """Workers that take batches from the queue, and run at the same time as the chance of a test has it."""

    def __init__(self, cube_url: str, clock: Clock, queues: FifoQueues, chance: random.Random, qps: int) -> None:
        self._clock, self._queues, self._chance = clock, queues, chance
        self._timeout = chance.choice(FUNCTION_TIMEOUTS)
        configured = Settings(
            cube_base_url=cube_url,
            cube_connect_timeout=1.0,
            cube_read_timeout=2.0,
            cube_secret_id=SECRET_ID,
            messages_table=TABLE,
            send_queue_url=SEND_QUEUE,
            dead_letter_queue_url=DEAD_LETTER_QUEUE,
            rejected_queue_url=DEAD_LETTER_QUEUE,
            queue_send_concurrency=chance.choice([1, 2]),
        )
        self._provider = make_provider(configured, 1)
        dynamodb = boto3.client("dynamodb")
        credentials = CredentialStore(boto3.client("secretsmanager"), SECRET_ID)
        records = RecordStore(dynamodb, TABLE, lease=LEASE, retention=86400.0, clock=clock)

        def consumer() -> QueueConsumer:
            gate = Gate(
                dynamodb, TABLE, qps=qps, quota=0, longest_post=3.0, clock=clock, monotonic=clock, sleep=self._sleep
            )
            sender = Sender(
                self._provider, credentials, records, gate, max_attempts=MAX_ATTEMPTS, clock=clock, sleep=self._sleep
            )
            return QueueConsumer(sender, queues, configured, clock=clock)  # type: ignore[arg-type]  # as much as it calls

        self._workers = [consumer() for _ in range(2)]
        self._running: dict[int, Running] = {}

    def run(self) -> None:
        """Go on until the queue is empty."""
        while self._queues.messages or self._running:
            worker = self._chance.randrange(len(self._workers))
            if worker in self._running:
                self._go_on(worker)
            elif records := self._queues.receive(self._chance.choice([1, 5, 10, 10])):
                self._invoke(worker, records)
            elif not self._running:
                self._clock.now = max(self._clock.now, self._queues.next_visible_at())
        self._provider.close()

    def _invoke(self, worker: int, records: list[dict[str, Any]]) -> None:
        until = self._clock() + self._timeout
        results = self._workers[worker].consume(records, lambda: until - self._clock())
        receipts = {record["messageId"]: record["receiptHandle"] for record in records}
        self._running[worker] = Running(until, receipts, iter(results), set())

    def _go_on(self, worker: int) -> None:
        running = self._running[worker]
        if self._clock() >= running.until or self._chance.random() < 0.05:
            # Its time is over, or it crashes: Lambda deletes nothing, and nothing more is done.
            del self._running[worker]
            return
        consumed = next(running.results, None)
        if not consumed:
            self._queues.delete(running.acknowledged)
            del self._running[worker]
        elif consumed.acknowledged:
            running.acknowledged.add(running.receipts[consumed.record_id])
        self._clock.now += self._chance.choice([0.0, 0.5, 5.0])

    def _sleep(self, seconds: float) -> None:
        self._clock.now += seconds


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(messages=MESSAGES, faults=FAULTS, seed=st.integers(0, 2**32), by_rule=st.booleans(), qps=st.sampled_from([0, 1]))
def test_messages_of_a_device_are_accepted_in_the_order_they_were_sent(
    cube: CubeSimulator,
    gateway: Deployment,
    messages: list[Sent],
    faults: list[str],
    seed: int,
    by_rule: bool,
    qps: int,
) -> None:
    # Given messages, numbered by their contents, in groups of their devices or all in the one of a rule
    del gateway
    cube.reset()
    clock = Clock()
    queues = FifoQueues(clock)
    for number, message in enumerate(messages):
        body = {"deviceId": message.device, "content": str(number), **message.fields}
        if message.is_identified:
            body["requestId"] = str(uuid.uuid4())
        queues.send_message(
            QueueUrl=SEND_QUEUE,
            MessageBody=json.dumps(body),
            MessageGroupId="events" if by_rule else message.device,
            MessageDeduplicationId=str(number),
        )
    cube.configure(next_faults=faults)

    # When workers consume them, some at the same time, some of which crash
    Lambda(f"{cube.url}/cube/v4", clock, queues, random.Random(seed), qps).run()

    # Then of each device, those accepted were accepted in this order, each before the next
    accepted: dict[str, list[int]] = {device: [] for device in DEVICES}
    for post in cube.requests():
        if post["accepted"]:
            accepted[post["deviceId"]].append(int(post["contents"][0]))
    assert accepted == {device: sorted(numbers) for device, numbers in accepted.items()}
    # And none is lost: it was accepted, or Cube refused it, or it is a dead letter, or it may not be sent (again)
    letters = {int(json.loads(letter)["content"]) for letter in queues.letters}
    posted = {int(post["contents"][0]) for post in cube.requests()}
    for number, message in enumerate(messages):
        assert (
            number in letters | posted
            or "expiresAt" in message.fields
            or message.fields == {"delivery": "at-most-once"}
        )
