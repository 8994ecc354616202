"""Send by all inputs at the limit, with faults, and compare all results at the end: `make soak`."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.pacing.drain import depth
from benchmarks.processes import require_build
from benchmarks.report import ROOT, machine, publish, table
from benchmarks.soak.evidence import Evidence
from benchmarks.soak.growth import Growth
from benchmarks.soak.traffic import Traffic
from local.stack import LocalStack
from local.workflows import EventConsumer

SECONDS = 3600.0

# The provider's limits, and the deployment's. An hour is more than the quota of a day.
LIMITS: dict[str, Any] = {"qps": 10, "connections": 3, "latency": 0.05, "quota": 0}
PARAMETERS = {
    "CubeMaxQps": "10", "CubeMaxConnections": "3", "CubeDailyQuota": "0", "Campaigns": "true", "Receipts": "true",
    "Replies": "callback", "TakeRequestEvents": "true",
}  # fmt: skip

# How often the processes are measured, in a soak of any length.
_LOOKS = 60
# Seconds between two runs of the function that the schedule runs once a minute.
_FOLLOW_UP_SECONDS = 15.0
# The most seconds until all messages have ended, after the last one was sent.
_MOST_REST_SECONDS = 1800.0


def main() -> int:
    """Run the soak, print its results, and publish those of a whole one.

    Returns
    -------
    int
        The exit status: 1 if results differ, or a process grew.
    """
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long messages are sent")
    parser.add_argument("--output", type=Path, help="where the page goes: docs/ for a whole soak, else nowhere")
    asked = parser.parse_args()
    require_build()
    begun = time.monotonic()
    with LocalStack(PARAMETERS, **LIMITS) as stack:
        consumer, growth = EventConsumer(stack, {"source": ["cube-sms"]}), Growth()
        is_whole = asked.seconds >= SECONDS
        traffic = Traffic(stack, 300 if is_whole else 50, outages=is_whole)

        def look() -> None:
            growth.look()
            consumer.events()

        traffic.run(asked.seconds, look, asked.seconds / _LOOKS)
        print(f"sent {len(traffic.sent):,} messages in {time.monotonic() - begun:.0f} s", flush=True)
        _finish(stack, traffic, consumer)
        evidence = Evidence.of(stack, consumer.events())
        faults = [*traffic.faults, *evidence.faults(traffic.sent), *evidence.faults_of_replies(traffic.replies)]
        faults += [fault for each in traffic.campaigns for fault in evidence.faults_of_campaign(stack, each)]
        faults += growth.faults()
        refused = Counter(post["reason"] for post in stack.cube.requests() if not post["accepted"])
    page = [_ways(traffic, evidence), growth.table(), _ends(traffic, refused, asked.seconds, faults), machine()]
    print("\n\n".join(page))
    print("\n".join(faults[:50]), file=sys.stderr)
    publish({"soak": "\n\n".join(page)}, asked.output or (ROOT / "docs" if is_whole else None))
    return 1 if faults else 0


def _finish(stack: LocalStack, traffic: Traffic, consumer: EventConsumer) -> None:
    """Wait until all messages have ended, their receipts are known, and their events are published."""
    follower = f"{stack.outputs['FollowUpFunctionName']}:live"
    looked = 0.0

    def is_finished() -> bool:
        nonlocal looked
        if time.monotonic() > looked + _FOLLOW_UP_SECONDS:
            # What the schedule does once a minute.
            stack.aws.client("lambda").invoke(FunctionName=follower)
            looked = time.monotonic()
        if depth(stack) or not all(each.execution.ended() for each in traffic.campaigns):
            return False
        evidence = Evidence.of(stack, consumer.events())
        return not any("dueAt" in item for item in evidence.records.values()) and not [
            *evidence.faults(traffic.sent),
            *evidence.faults_of_replies(traffic.replies),
        ]

    deadline = time.monotonic() + _MOST_REST_SECONDS
    while not is_finished() and time.monotonic() < deadline:
        time.sleep(2.0)


def _ways(traffic: Traffic, evidence: Evidence) -> str:
    ways = dict.fromkeys(each.way for each in traffic.sent)
    found = {way: Counter(evidence.state(s) for s in traffic.sent if s.way == way) for way in ways}
    states = sorted({state for counts in found.values() for state in counts})
    rows = [
        (way, f"{sum(counts.values()):,}", *(f"{counts[state]:,}" for state in states)) for way, counts in found.items()
    ]
    return table(("input", "messages", *states), rows)


def _ends(traffic: Traffic, refused: Counter[str | None], seconds: float, faults: list[str]) -> str:
    limits = sum(refused[reason] for reason in ("qps", "connections", "quota"))
    return (
        f"{seconds:,.0f} s, {len(traffic.campaigns)} campaigns, {len(traffic.replies)} messages from devices. "
        f"The provider refused {limits} requests for its limits. Faults found: {len(faults)}."
    )


if __name__ == "__main__":
    sys.exit(main())
