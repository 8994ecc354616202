"""How late outcome events are on the local stack."""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.pacing.drain import BATCH_SIZE, CASES, Case, drain
from benchmarks.report import Section, table
from local.stack import LocalStack, wait_until
from local.workflows import EventConsumer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class _Load(NamedTuple):
    """The results of some messages: in ms how late events were received, and what the publisher's log says of each."""

    seconds: float
    lags: list[float]
    invocations: list[tuple[float, list[float]]]
    repeated: int


def measure(quick: bool) -> Section:
    """Drain messages that the gate lets go evenly, and messages all at once, and return how late their events are."""
    evenly, at_once = (50, 200) if quick else (200, 2000)
    case = replace(CASES[0], messages=evenly, api_every=0)
    paced = _load(case, LocalStack(case.parameters, **case.simulator))
    burst = _load(replace(case, messages=at_once, invocations=4), LocalStack(is_limited=False))
    rows = _rows(f"{evenly} messages, {case.qps} a second", paced)
    rows += _rows(f"{at_once:,} messages at once, limits off", burst)
    sizes = [len(lags) for _, lags in burst.invocations]
    sentence = (
        f"The burst took {burst.seconds:.0f} s, {at_once / burst.seconds:.0f} messages a second. An invocation of the "
        f"publisher had {median(sizes):.0f} events in the median, {max(sizes)} at most. Repeated events: "
        f"{paced.repeated + burst.repeated}."
    )
    block = f"{table(('load', 'ms from the final write until', 'median', 'p95', 'max'), rows)}\n\n{sentence}"
    print(block)
    return Section(blocks={"event-lags": block})


def _load(case: Case, started: LocalStack) -> _Load:
    with started as stack, _consuming(stack) as received:
        run = drain(stack, case, limit=300)
        # Each worker has been started with a batch, and the API's with a message.
        warming = case.invocations * BATCH_SIZE + 1
        wait_until("every event", lambda: len(dict(received)) >= warming + case.messages)
        lags = [lag for _, lag in received[warming:]]
        return _Load(run.seconds, lags, _invocations(stack, warming), len(received) - len(dict(received)))


@contextmanager
def _consuming(stack: LocalStack) -> Iterator[list[tuple[str, float]]]:
    """Note the id and the milliseconds from the final write of each outcome event as it is received."""
    received: list[tuple[str, float]] = []
    stopping = threading.Event()
    consumer = EventConsumer(stack, {"source": ["cube-sms"]})

    def consume() -> None:
        while not stopping.is_set():
            for detail in (event["detail"] for event in consumer.receive(patience=1)):
                lag = time.time() - datetime.fromisoformat(detail["updatedAt"]).timestamp()
                received.append((detail["eventId"], lag * 1000))

    thread = threading.Thread(target=consume)
    thread.start()
    try:
        yield received
    finally:
        stopping.set()
        thread.join()


def _invocations(stack: LocalStack, skipped: int) -> list[tuple[float, list[float]]]:
    """Return how long each invocation took, and how late EventBridge had its events; the first ones are skipped."""
    found: list[tuple[float, list[float]]] = []
    lags: list[float] = []
    logs: Any = stack.aws.client("logs").get_paginator("filter_log_events")
    for page in logs.paginate(logGroupName=stack.outputs["PublishOutcomesLogGroup"]):
        for line in (event["message"] for event in page["events"]):
            if line.startswith("{"):
                lags += json.loads(line).get("EventLag", [])
            elif (ended := re.match(r"REPORT .*\tDuration: ([\d.]+) ms", line)) and lags:
                if skipped <= 0:
                    found.append((float(ended[1]), lags))
                skipped -= len(lags)
                lags = []
    return found


def _rows(name: str, load: _Load) -> list[tuple[str, ...]]:
    published = [lag for _, lags in load.invocations for lag in lags]
    waited = [max(0.0, max(lags) - milliseconds) for milliseconds, lags in load.invocations]
    return [
        (name, "received", *_percentiles(load.lags)),
        ("", "EventBridge has it", *_percentiles(published)),
        ("", "the publisher is invoked", *_percentiles(waited)),
    ]


def _percentiles(values: Sequence[float]) -> tuple[str, ...]:
    """Return median, 95th percentile and maximum."""
    return tuple(f"{each:,.0f}" for each in (median(values), quantiles(values, n=20)[-1], max(values)))
