"""How late outcome events are on the local stack, and what a million of them cost on AWS.

`python -m benchmarks.events` prints the tables of docs/events.md, from the build, in about two minutes.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from datetime import datetime
from itertools import batched
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from uuid import uuid4

from benchmarks import prices
from benchmarks.cost import CPU_SHARE, MILLION, gb_seconds
from benchmarks.report import machine, table
from local.stack import LocalStack, wait_until
from local.workflows import EventConsumer
from tests.streams import TableStream, lambda_event, passes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

STEADY_MESSAGES = 200
STEADY_PER_SECOND = 10
BURST_MESSAGES = 2000
BATCH_SIZES = (1, 10, 100)

REPEATS = 30

# Messages of one call of SQS.
SQS_BATCH = 10


class Invocation(NamedTuple):
    """What the log says of an invocation of the publisher.

    Parameters
    ----------
    milliseconds : float
        How long it took.
    lags : list of float
        For each event, the milliseconds from the final write until EventBridge had it.
    printed : int
        Bytes of its log.
    """

    milliseconds: float
    lags: list[float]
    printed: int


class Consumer(EventConsumer):
    """Notes when each outcome event is received, as long as this context."""

    def __init__(self, stack: LocalStack) -> None:
        super().__init__(stack, {"source": ["cube-sms"]})
        self.lags: list[float] = []
        """Milliseconds from the final write until the event was received."""
        self.ids: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            messages = self._sqs.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=SQS_BATCH, WaitTimeSeconds=1
            ).get("Messages", [])
            now = time.time()
            for message in messages:
                detail = json.loads(message["Body"])["detail"]
                self.ids[detail["eventId"]] += 1
                self.lags.append((now - datetime.fromisoformat(detail["updatedAt"]).timestamp()) * 1000)
            if messages:
                self._sqs.delete_message_batch(
                    QueueUrl=self._url,
                    Entries=[
                        {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)
                    ],
                )


class Load(NamedTuple):
    """What came of a number of messages.

    Parameters
    ----------
    seconds : float
        From the first message on the queue until the last event was received.
    lags : list of float
        Milliseconds from the final write until the event was received.
    invocations : list of Invocation
        The publisher's.
    repeated : int
        Events delivered more than once.
    """

    seconds: float
    lags: list[float]
    invocations: list[Invocation]
    repeated: int


def steady(stack: LocalStack, count: int, per_second: float) -> Load:
    """Send messages one after the other, and wait for the event of each."""
    with Consumer(stack) as consumer:
        earlier, start = len(invocations(stack)), time.time()
        for n in range(count):
            time.sleep(max(0.0, start + n / per_second - time.time()))
            stack.enqueue(message())
        return _finish(stack, consumer, count, start, earlier)


def burst(stack: LocalStack, count: int) -> Load:
    """Send messages that all lie on the queue before the first one is taken, and wait for the event of each."""
    with Consumer(stack) as consumer:
        with stack.queue_paused():
            for batch in batched(range(count), SQS_BATCH, strict=False):
                entries: Any = [{"Id": str(n), "MessageBody": message()} for n in batch]
                stack.sqs.send_message_batch(QueueUrl=stack.outputs["SendQueueUrl"], Entries=entries)
            earlier, start = len(invocations(stack)), time.time()
        return _finish(stack, consumer, count, start, earlier)


def message() -> str:
    """Return the request of a message to a device of its own."""
    return json.dumps({"deviceId": f"8931{uuid4().int % 10**16:016d}", "content": "Wake up"})


def _finish(stack: LocalStack, consumer: Consumer, count: int, start: float, earlier: int) -> Load:
    wait_until("every event", lambda: len(consumer.ids) >= count, timeout=300)
    seconds = time.time() - start
    repeated = sum(times - 1 for times in consumer.ids.values())
    return Load(seconds, consumer.lags, invocations(stack)[earlier:], repeated)


def invocations(stack: LocalStack) -> list[Invocation]:
    """Return what the log says of the publisher's invocations so far."""
    found: list[Invocation] = []
    lags: list[float] = []
    printed = 0
    logs = stack.aws.client("logs").get_paginator("filter_log_events")
    for page in logs.paginate(logGroupName=stack.outputs["PublishOutcomesLogGroup"]):
        for event in page["events"]:
            line = event["message"]
            printed += len(line.encode())
            if line.startswith("{"):
                lags += json.loads(line).get("EventLag", [])
            elif ended := re.match(r"REPORT .*\tDuration: ([\d.]+) ms", line):
                found.append(Invocation(float(ended[1]), lags, printed))
                lags, printed = [], 0
    return found


def durations(stack: LocalStack, size: int) -> list[Invocation]:
    """Invoke the publisher with batches of a size, one after the other, and return what the log says of them."""
    functions: Any = stack.aws.client("lambda")
    name = stack.outputs["PublishOutcomesFunctionName"]
    (mapping,) = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    stream = TableStream(stack.aws.client("dynamodbstreams"), mapping["EventSourceArn"])
    changes = [change for change in stream.read() if passes(mapping["FilterCriteria"]["Filters"], change)][:size]
    earlier = len(invocations(stack))
    for _ in range(REPEATS):
        answer = functions.invoke(FunctionName=name, Qualifier="live", Payload=json.dumps(lambda_event(changes)))
        assert json.loads(answer["Payload"].read()) == {"batchItemFailures": []}
    return invocations(stack)[earlier:]


def percentiles(values: Sequence[float]) -> tuple[str, str, str]:
    """Return median, 95th percentile and maximum of milliseconds."""
    return f"{median(values):,.0f} ms", f"{quantiles(values, n=20)[-1]:,.0f} ms", f"{max(values):,.0f} ms"


def lag_rows(name: str, load: Load) -> list[tuple[str, ...]]:
    """Return what there is to tell of a load's delays."""
    published = [lag for invocation in load.invocations for lag in invocation.lags]
    waited = [max(0.0, max(each.lags) - each.milliseconds) for each in load.invocations if each.lags]
    return [
        (name, "final write → received", *percentiles(load.lags)),
        ("", "final write → EventBridge has it", *percentiles(published)),
        ("", "of it, before the publisher is invoked", *percentiles(waited)),
    ]


def cost_row(size: int, measured: Sequence[Invocation]) -> tuple[str, ...]:
    """Return what a million events cost that are published in batches of a size."""
    milliseconds = median(each.milliseconds for each in measured)
    printed = median(each.printed for each in measured)
    count = MILLION / size
    # Here it had a whole processor.
    seconds = count * milliseconds / 1000 / CPU_SHARE
    events = MILLION * prices.BUS_EVENT.dollars
    publisher = count * prices.LAMBDA_REQUEST.dollars + gb_seconds(seconds)
    logs = count * printed / 1e9 * prices.LOG_GB.dollars
    # EventBridge puts each message by itself; who consumes receives and deletes as many at a time as SQS allows.
    consumer = MILLION * (1 + 2 / min(size, SQS_BATCH)) * prices.SQS_REQUEST.dollars
    return (
        f"{size}",
        f"{milliseconds:,.0f} ms",
        f"{printed:,.0f} B",
        *(f"${dollars:.2f}" for dollars in (events, publisher, logs, consumer, events + publisher + logs + consumer)),
    )


def main() -> None:
    """Measure, and print the tables."""
    with LocalStack(is_limited=False) as stack:
        steady(stack, 20, STEADY_PER_SECOND)
        slow = steady(stack, STEADY_MESSAGES, STEADY_PER_SECOND)
        fast = burst(stack, BURST_MESSAGES)
        measured = {size: durations(stack, size) for size in BATCH_SIZES}
    rows = lag_rows(f"{STEADY_MESSAGES} messages, {STEADY_PER_SECOND} a second", slow)
    rows += lag_rows(f"{BURST_MESSAGES:,} messages at once, limits off", fast)
    print(table(("load", "", "median", "p95", "max"), rows))
    sizes = [len(each.lags) for each in fast.invocations if each.lags]
    print(
        f"\nThe burst took {fast.seconds:.0f} s, {BURST_MESSAGES / fast.seconds:.0f} messages a second, and"
        f" {len(sizes)} invocations of the publisher, with {median(sizes):.0f} events in the median and {max(sizes)} at"
        f" most. Delivered more than once: {fast.repeated + slow.repeated}.\n"
    )
    costs = ("batch", "an invocation", "its log", "EventBridge", "publisher", "logs", "SQS consumer", "together")
    print(table(costs, [cost_row(size, each) for size, each in measured.items()]))
    print(f"\nMachine: {machine()}.")


if __name__ == "__main__":
    main()
