"""A burst on the queue under the provider's limits, API calls while it drains, and the result in its request log."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import batched
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from local.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from local.stack import LocalStack

BATCH_SIZE = 10

_LIMITS = frozenset({"connections", "qps", "quota"})
_DEPTHS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A burst under the provider's limits, and the connections of ours: of the queue's invocations and of the API's."""

    name: str
    target: float
    latency: float
    qps: int = 10
    connections: int = 3
    messages: int = 600
    invocations: int = 2
    threads: int = 1
    api_invocations: int = 1
    api_every: float = 5.0
    # Beside ours runs the naive peer, which divides no connections between queue and API, or ours without limits.
    has_peer: bool = True
    is_peer: bool = False
    # The burst is a campaign's, and with each API call a single message is put onto the queue.
    is_campaign: bool = False
    # Whose messages they are, and how many Lambda gives to one invocation.
    account: str = "default"
    batch: int = BATCH_SIZE

    @property
    def title(self) -> str:
        """What the table calls it."""
        return f"{self.latency * 1000:g} ms, {self.qps} QPS{', a campaign' * self.is_campaign}"

    @property
    def simulator(self) -> dict[str, Any]:
        """Options of the provider's simulator: its limits without the day's quota."""
        return {"qps": self.qps, "connections": self.connections, "latency": self.latency, "quota": 0}

    @property
    def parameters(self) -> dict[str, str]:
        """Parameters of our template."""
        limits = {"CubeMaxQps": str(self.qps), "CubeDailyQuota": "0", "CubeMaxConnections": str(self.connections)}
        return {**limits, "QueueBatchSize": str(self.batch)}

    def optimum(self, api_rate: float = 0.0) -> float:
        """Return the highest rate that is allowed; API calls come on top of what the queue's connections can carry."""
        if self.is_peer:
            return min(self.qps, self.connections / self.latency)
        return min(self.qps, self.invocations * self.threads / self.latency + api_rate)


_SLOW = Case(name="50ms", latency=0.05, target=0.97)
_FAST = Case(
    name="100qps", target=0.95, latency=0.1, qps=100, connections=32, messages=1000, invocations=7, threads=4,
    api_invocations=4, api_every=1.0, has_peer=False,
)  # fmt: skip

CASES = (
    _SLOW,
    replace(_SLOW, name="campaign", target=0.95, messages=2000, is_campaign=True),
    replace(_SLOW, name="300ms", latency=0.3),
    replace(_SLOW, name="1s", latency=1.0, target=0.95),
    _FAST,
    replace(_FAST, name="200qps", qps=200, messages=2000),
)


class Run(NamedTuple):
    """What a run has left: the devices of the burst, the API calls, and the request log, in seconds from the start."""

    case: Case
    devices: Sequence[str]
    # The device of each, the milliseconds until it was answered, and the status.
    calls: Sequence[tuple[str, float, int]]
    # Of the devices of single messages on the queue, when each was put there.
    singles: Sequence[tuple[str, float]]
    # Which device's message was accepted when; when a request was refused, and for which limit.
    accepted: Sequence[tuple[str, float]]
    refused: Sequence[tuple[str, float]]
    # When the queue was empty, or the run was cut off; the messages on it, and the devices of its dead letters.
    end: float
    left: int
    dead: Sequence[str]

    @property
    def first(self) -> dict[str, float]:
        """When each message was accepted for the first time: it counts once."""
        return dict(reversed(self.accepted))

    @property
    def burst(self) -> list[float]:
        """When messages of the burst were accepted."""
        first = self.first
        return sorted(first[device] for device in self.devices if device in first)

    @property
    def seconds(self) -> float:
        """Until the last message of the burst was accepted, or the run was cut off."""
        return self.burst[-1] if self.burst and not self.left else self.end

    @property
    def backlog(self) -> tuple[float, float]:
        """The rate while there was more than what the invocations hold, and how much was allowed."""
        count = max(len(self.devices) - self.case.invocations * self.case.batch, len(self.devices) // 2)
        end = self.burst[count - 1] if len(self.burst) >= count else self.seconds
        return self._rate(min(self.first.values(), default=0.0), end)

    def beside(self) -> str:
        """Return how long others than a campaign have waited, and what it keeps of the rate that they leave."""
        first, (rate, _) = self.first, self.backlog
        waits = [first[device] - at for device, at in self.singles if device in first]
        single = (len(self.singles) + len(self.calls)) / self.end
        return (
            f"Beside the campaign {len(waits)} single messages on the queue were posted after {median(waits):.2f} s in "
            f"the median ({max(waits):.2f} s at most). Its own {rate - single:.2f} messages a second are "
            f"{(rate - single) / (self.case.qps - single):.3f} of what the limit left."
        )

    def row(self, who: str) -> tuple[str, ...]:
        """Return its line of the table, and where it is ours a verdict."""
        rate, optimum = self.backlog
        whole, whole_optimum = self._rate(0.0, self.seconds)
        kinds = Counter(reason for reason, _ in self.refused)
        named = ", ".join(f"{count:,} {reason}" for reason, count in sorted(kinds.items()))
        # If the run was cut off, only the dead letters are certain to be off the queue.
        lost = len({*(self.dead if self.left else self.devices)} - self.first.keys())
        doubled = len(self.accepted) - len(self.first)
        latencies = [milliseconds for _, milliseconds, _ in self.calls] or [0.0]
        is_met = rate / optimum >= self.case.target and not (self.refused or self.left or lost or doubled)
        is_ours = who == "cube-sms"
        return (
            f"{self.case.title}, {len(self.devices):,} messages" if is_ours else "",
            who,
            f"{optimum:.2f}",
            f"{rate:.2f}",
            f"{rate / optimum:.3f}",
            f">= {self.case.target:g} {'ok' if is_met else 'MISSED'}" if is_ours else "",
            f"{whole / whole_optimum:.3f}",
            f"cut off at {self.seconds:.0f} s, {self.left:,} left" if self.left else f"{self.seconds:.0f} s",
            f"{len(self.refused):,}" + (f" ({named})" if named else ""),
            f"{lost:,}",
            f"{doubled:,}",
            f"{median(latencies):,.0f} / {max(latencies):,.0f} ms",
            f"{sum(status != 200 for _, _, status in self.calls)} of {len(self.calls)}",
        )

    def _rate(self, begin: float, end: float) -> tuple[float, float]:
        # The one that opens the window belongs to the time before it.
        inside = {device for device, at in self.first.items() if begin < at <= end}
        by_api = sum(device in inside for device, _, _ in self.calls)
        seconds = max(end - begin, 1e-9)
        return len(inside) / seconds, self.case.optimum(by_api / seconds)


def drain(stack: LocalStack, case: Case, limit: float, *, opened: Callable[[], None] = lambda: None) -> Run:
    """Drain the burst of a case, and cut it off after so many seconds. `opened` is called when it begins."""
    devices = [f"8931{number:016d}" for number in range(case.messages)]
    calls: list[tuple[str, float, int]] = []
    singles: list[tuple[str, float]] = []
    _warm_up(stack, case)
    # The burst is there before the first message is taken: what drains it does not compete with what brings it.
    with stack.queue_paused():
        _enqueue(stack, case, devices)
    start = time.time()
    opened()
    with ThreadPoolExecutor(1) as pool, ExitStack() as ending:
        stopped = threading.Event()
        ending.callback(stopped.set)
        calling = pool.submit(_call, stack, case, calls, singles, stopped)
        while (left := depth(stack)) and time.time() < start + limit:
            time.sleep(0.5)
        end = time.time()
    calling.result()
    posts = stack.cube.requests()
    accepted = [(post["deviceId"], post["at"] - start) for post in posts if post["accepted"]]
    refused = [(post["reason"], post["at"] - start) for post in posts if post["reason"] in _LIMITS]
    dead = [json.loads(letter["body"])["deviceId"] for letter in stack.dead_letters()]
    singles = [(device, at - start) for device, at in singles]
    return Run(case, devices, calls, singles, accepted, refused, end - start, left, dead)


def _warm_up(stack: LocalStack, case: Case) -> None:
    """Start every worker, under no limit of the provider's, and forget it."""
    limits = {"qps": 0, "connections": 0}
    restored = {name: value for name, value in stack.cube.configure().items() if name in limits}
    stack.cube.configure(**limits)
    with stack.queue_paused():
        _enqueue(stack, case, [f"8930{number:016d}" for number in range(case.invocations * case.batch)])
    stack.call_api("POST", "/messages", _body("89309999999999999999"))
    wait_until("the workers to be warm", lambda: not depth(stack))
    # What was sent in the last second would still count.
    time.sleep(1.1)
    stack.cube.configure(**restored)
    stack.cube.reset()


def _call(stack: LocalStack, case: Case, calls: list[Any], singles: list[Any], stopped: threading.Event) -> None:
    while case.api_every and not stopped.is_set():
        device = f"8932{len(calls):016d}"
        begin = time.monotonic()
        answer = stack.call_api("POST", "/messages", _body(device))
        seconds = time.monotonic() - begin
        calls.append((device, seconds * 1000, answer.status))
        stopped.wait(case.api_every / 2 - seconds)
        if case.is_campaign:
            singles.append((f"8933{len(calls):016d}", time.time()))
            stack.enqueue(_body(singles[-1][0]))
        stopped.wait(case.api_every / 2)


def _enqueue(stack: LocalStack, case: Case, devices: Iterable[str]) -> None:
    group: Any = {"MessageGroupId": "campaign"} if case.is_campaign else {}
    fields = {"account": case.account, **({"priority": "bulk"} if case.is_campaign else {})}
    # As many as SQS takes at once.
    for batch in batched(devices, 10, strict=False):
        entries: Any = [{"Id": device, "MessageBody": _body(device, **fields), **group} for device in batch]
        stack.sqs.send_message_batch(QueueUrl=stack.outputs["SendQueueUrl"], Entries=entries)


def _body(device: str, **fields: str) -> str:
    return json.dumps({"deviceId": device, "content": "Report your position", **fields})


def depth(stack: LocalStack) -> int:
    """Return how many messages are on the send queue, in whatever way."""
    sqs: Any = stack.sqs
    depths = sqs.get_queue_attributes(QueueUrl=stack.outputs["SendQueueUrl"], AttributeNames=list(_DEPTHS))
    return sum(int(depths["Attributes"][name]) for name in _DEPTHS)
