"""A campaign of messages of one text that share queries, in simulated time: what two processors cannot show.

The gate, the grouping, the limits of an invocation and the pace of the campaign are the project's own code. What AWS
and the provider take for an answer is assumed, and so is how Lambda reads the queue. What a message takes of a
processor is measured on the local stack.
"""

from __future__ import annotations

import math
import random
import sys
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.bills import CUBE_SECONDS, PRICES
from benchmarks.report import ROOT, columns
from benchmarks.server import AWS_SECONDS

sys.path.append(str(ROOT / "layers" / "cube"))

from cube_sms.campaigns import Pace
from cube_sms.campaigns.runs import MAX_BATCH_ROWS
from cube_sms.delivery import group_turns, share_of
from cube_sms.delivery.sending import WRITES_AT_ONCE
from cube_sms.pacing import NotNowError
from cube_sms.queue.consumer import BATCH_SECONDS, LEAST_RESERVED, THREADS_PER_CONNECTION
from cube_sms.request import SendRequest
from local.gate_model import NOON, ModelWorker, World, busiest_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.gate_model import Pause

ROWS = 100_000
QPS = 10
MOST = 100
LEAST_SHARE = 0.9

# Invocations and connections of each at the default limits.
INVOCATIONS = 2

# Assumptions, in seconds: a handshake, a step of the state machine without its function, and a look at a batch. And the
# requests for ten messages that Lambda makes in a second for all invocations. Fifty are five pollers of ten requests.
CONNECT_SECONDS = 0.1
STEP_SECONDS = 0.1
LOOK_SECONDS = 1.0
MANY_POLLS, FEW_POLLS = 200.0, 50.0
AT_ONCE = 10

# What a message may take of a processor that has nothing else to do, or is faster.
CPUS = (0.001, 0.0015)

# How finely threads share a processor, and how long one waits before it looks again whether it may go on.
PARTS = 20
TICK = 0.005

# The window of the template, the memory that has a whole processor, and what an invocation has left at its start.
WINDOW_SECONDS = 1.0
PROCESSOR_MB = 1769
TIME_LEFT = 30.0

HEADER = (
    "MemorySize", "QueueBatchSize", "but", "seconds", "messages a second", "queries", "messages a query",
    "queries a second ÷ 10", "invocations", "requests to SQS", "writes to DynamoDB", "dollars",
)  # fmt: skip


_NOT_ON_THE_PAGE = {
    "messages a second", "queries", "messages a query", "invocations", "requests to SQS", "writes to DynamoDB",
}  # fmt: skip
PAGE_HEADER = tuple(name for name in HEADER if name not in _NOT_ON_THE_PAGE)


class _Deployed(NamedTuple):
    """What is deployed, and what is assumed of AWS."""

    memory: int
    batch: int
    pace: Pace
    polls: float = MANY_POLLS
    # Whether Lambda gathers the next batch of an invocation while it runs.
    gathers_ahead: bool = True


@dataclass
class _Campaign:
    """A campaign on its way: its rows in batches, and what has been done for them."""

    deployed: _Deployed
    world: World = field(default_factory=World)
    waiting: deque[tuple[int, SendRequest]] = field(default_factory=deque)
    # How many rows of each batch have not ended.
    left: Counter[int] = field(default_factory=Counter)
    # How many messages each query carried.
    groups: list[int] = field(default_factory=list)
    invocations: int = 0
    busy: float = 0.0
    looks: int = 0
    sqs: int = 0
    writes: int = 0
    reads: int = 0
    _next_poll: float = 0.0
    _begun: int = 0
    _chance: random.Random = field(default_factory=lambda: random.Random(1))

    @property
    def batches(self) -> int:
        return math.ceil(ROWS / MAX_BATCH_ROWS)

    @property
    def is_over(self) -> bool:
        return self._begun == self.batches and not self.left.total()

    @property
    def seconds(self) -> float:
        """From its start until its last query."""
        return self.world.sent[-1] - NOON

    @property
    def share(self) -> float:
        """The share of the queries that the limit allows."""
        return len(self.groups) / self.seconds / QPS

    @property
    def full(self) -> float:
        """How full its queries are."""
        return ROWS / len(self.groups) / MOST

    def row(self, but: str = "") -> tuple[str, ...]:
        """Return its line of the table."""
        writes = self.writes + self.world.table.writes
        bill = {
            "an invocation": self.invocations + self.looks,
            "a GB-second, arm64": (self.busy + self.looks * LOOK_SECONDS) * self.deployed.memory / 1024,
            "a request to a standard queue": self.sqs,
            "a write request unit, on demand": writes,
            "a read request unit, on demand": self.reads,
            "a state transition": 3 * self.looks,
            "a custom event": ROWS,
        }
        return (
            f"{self.deployed.memory:,} MB",
            f"{self.deployed.batch:,}",
            but,
            f"{self.seconds:,.0f}",
            f"{ROWS / self.seconds:,.0f}",
            f"{len(self.groups):,}",
            f"{self.full * MOST:.1f}",
            f"{self.share:.2f}",
            f"{self.invocations:,}",
            f"{self.sqs:,}",
            f"{writes:,}",
            f"{sum(count * PRICES[unit] for unit, count in bill.items()):.2f}",
        )

    def feed(self) -> Pause:
        """Put one batch after the other onto the queue: one of as many that do so at a time as are ahead."""
        while self._begun < self.batches:
            number, self._begun = self._begun, self._begun + 1
            rows = min(MAX_BATCH_ROWS, ROWS - number * MAX_BATCH_ROWS)
            self.left[number] = rows
            yield self._about(STEP_SECONDS)
            yield from self._put(number, rows)
            put_at = changed_at = self.world.now
            seen = rows
            while seen:
                idle = self.world.now - max(put_at, changed_at)
                yield self.deployed.pace.pause(seen, self.batches, idle) + self._about(STEP_SECONDS)
                self._note_look()
                changed_at = self.world.now if self.left[number] != seen else changed_at
                seen = self.left[number]
                yield self._about(LOOK_SECONDS)
            yield self._about(STEP_SECONDS)

    def _put(self, number: int, rows: int) -> Pause:
        self._note_look(writes=2)
        seconds = self._about(LOOK_SECONDS) * AT_ONCE / MAX_BATCH_ROWS
        for first in range(0, rows, AT_ONCE):
            yield seconds
            self.sqs += 1
            for row in range(first, min(first + AT_ONCE, rows)):
                device = f"89314404{number * MAX_BATCH_ROWS + row:012}"
                request = SendRequest(device_id=device, content="Report your position", priority="bulk")
                self.waiting.append((number, request))

    def _about(self, seconds: float) -> float:
        return seconds * self._chance.uniform(0.5, 1.5)

    def _note_look(self, writes: int = 1) -> None:
        self.looks += 1
        self.writes += writes
        # A record of each row, the run, and the look before.
        self.reads += MAX_BATCH_ROWS + 2

    def gather(self, batch: list[tuple[int, SendRequest]]) -> Pause:
        """Gather messages for an invocation, as Lambda does: so many, or those of a second."""
        until = math.inf
        while len(batch) < self.deployed.batch and self.world.now < until and not self.is_over:
            # A poller takes the next slot, and returns without messages if there are none.
            turn = max(self.world.now, self._next_poll)
            self._next_poll = turn + 1 / self.deployed.polls
            yield turn - self.world.now + AWS_SECONDS
            # A request that finds nothing waits for up to 20 s on AWS, and hardly counts.
            if self.waiting:
                self.sqs += 1
                until = min(until, self.world.now + WINDOW_SECONDS)
                count = min(AT_ONCE, len(self.waiting), self.deployed.batch - len(batch))
                batch += [self.waiting.popleft() for _ in range(count)]
            if self.deployed.batch <= AT_ONCE and batch:
                return


class _Worker(ModelWorker):
    """An invocation after the other, each of which has a share of a processor, and sends groups over one connection.

    Parameters
    ----------
    campaign : _Campaign
        What it sends.
    cpu : float
        Seconds that a message takes of a processor.
    """

    def __init__(self, campaign: _Campaign, cpu: float) -> None:
        super().__init__(campaign.world, QPS, post_time=lambda: CUBE_SECONDS, write_time=lambda: AWS_SECONDS)
        self._campaign = campaign
        # Half of it goes into the claim and half into the outcome and its line of the log.
        self._half = cpu / min(1.0, campaign.deployed.memory / PROCESSOR_MB) / 2
        self._is_busy_until = 0.0
        self._gathered: list[tuple[int, SendRequest]] = []
        self._is_invoked = False
        self._line, self._connection = _Turn(), _Turn()

    def gather(self) -> Pause:
        """Gather batches until the campaign is over, one at a time."""
        while not self._campaign.is_over:
            if self._gathered or (self._is_invoked and not self._campaign.deployed.gathers_ahead):
                yield TICK
                continue
            batch: list[tuple[int, SendRequest]] = []
            yield from self._campaign.gather(batch)
            self._gathered = batch

    def serve(self) -> Pause:
        """Send what has been gathered until the campaign is over."""
        campaign = self._campaign
        while not campaign.is_over:
            if not self._gathered:
                yield TICK
                continue
            batch, self._gathered = self._gathered, []
            began, self._is_invoked = self.world.now, True
            yield from self._invoke(batch)
            self._is_invoked = False
            campaign.invocations += 1
            campaign.busy += self.world.now - began
            campaign.sqs += math.ceil(len(batch) / AT_ONCE)

    def _invoke(self, batch: Sequence[tuple[int, SendRequest]]) -> Pause:
        numbers = {request.device_id: number for number, request in batch}
        turns = group_turns([[request] for _, request in batch], lambda request: share_of(request, MOST))
        groups = [group for turn in turns for group in turn]
        opening = [CONNECT_SECONDS]
        self.opening = lambda: opening.pop() if opening else 0.0
        is_over_at = self.clock() + BATCH_SECONDS
        while groups and self.clock() < is_over_at:
            latest = self.clock() + TIME_LEFT
            try:
                granted = self.gate.reserve(min(len(groups), max(LEAST_RESERVED, QPS)), latest=latest, is_bulk=True)
            except NotNowError:
                break
            yield from self._written()
            begun, groups = groups[:granted], groups[granted:]
            at_once = math.ceil(THREADS_PER_CONNECTION)
            yield from self._together((self._send(group, numbers, latest) for group in begun), at_once)
        self._campaign.waiting.extendleft((numbers[each.device_id], each) for group in groups for each in group)

    def _send(self, group: Sequence[SendRequest], numbers: dict[str, int], latest: float) -> Pause:
        """Claim messages, post them with one query, and write their outcomes: as `Sender.send_together` does."""
        yield from self._line.take()
        yield from self._write(len(group))
        yield from self._connection.take()
        self._line.give_back()
        slot = yield from self._take(latest, is_bulk=True)
        while not (yield from self._wait(slot)):
            slot = yield from self._take(latest, is_bulk=True)
        yield from self._leave(slot)
        self._connection.give_back()
        yield from self._write(len(group))
        self._campaign.left.subtract(numbers[each.device_id] for each in group)
        self._campaign.groups.append(len(group))

    def _write(self, messages: int) -> Pause:
        """Write a record each, side by side: what keeps it is the processor, or DynamoDB."""
        self._campaign.writes += messages
        began = self.world.now
        for _ in range(PARTS):
            # Threads have the processor in turns.
            self._is_busy_until = max(self.world.now, self._is_busy_until) + messages * self._half / PARTS
            yield self._is_busy_until - self.world.now
        yield max(AWS_SECONDS, began + math.ceil(messages / WRITES_AT_ONCE) * AWS_SECONDS - self.world.now)


class _Turn:
    """What one thread has at a time."""

    def __init__(self) -> None:
        self._is_taken = False

    def take(self) -> Pause:
        while self._is_taken:
            yield TICK
        self._is_taken = True

    def give_back(self) -> None:
        self._is_taken = False


def measure(cpu: float, *, quick: bool) -> tuple[str, list[tuple[str, ...]]]:
    """Return the block of a campaign and all of its table, if a message takes so many seconds of a processor."""
    best = _Deployed(PROCESSOR_MB, 1000, Pace.of(QPS, ROWS, ROWS // MOST))
    of_batches = [
        best._replace(batch=size, pace=Pace.of(QPS, ROWS, ROWS // min(MOST, size))) for size in (10, 100, 300)
    ]
    of_memory = [best._replace(memory=memory) for memory in (512, 1024)]
    others = {
        "Lambda gathers no batch ahead": best._replace(gathers_ahead=False),
        f"Lambda receives {FEW_POLLS * AT_ONCE:g} messages a second": best._replace(polls=FEW_POLLS),
        "each row counts as a query": best._replace(pace=Pace.of(QPS, ROWS, ROWS)),
    }
    reached = _run(best, cpu)
    alike = (
        [] if quick else [*(_run(each, cpu) for each in of_batches), reached, *(_run(each, cpu) for each in of_memory)]
    )
    rows = [each.row() for each in alike or [reached]]
    if not quick:
        rows += [_run(best, seconds).row(f"{seconds * 1000:g} ms of CPU a message") for seconds in CPUS]
    rows += [_run(deployed, cpu).row(but) for but, deployed in ({} if quick else others).items()]
    is_met = reached.share >= LEAST_SHARE and reached.full >= LEAST_SHARE
    block = (
        f"{columns(HEADER, rows, PAGE_HEADER)}\n\n"
        f"Target: at least {LEAST_SHARE} of {QPS} queries a second, which are at least {LEAST_SHARE:.0%} full. With "
        f"{PROCESSOR_MB:,} MB and batches of {best.batch:,} they are {reached.share:.2f} and {reached.full:.0%} "
        f"({'ok' if is_met else 'MISSED'}), if a message takes {cpu * 1000:.2f} ms of a processor."
    )
    return block, rows


def _run(deployed: _Deployed, cpu: float) -> _Campaign:
    campaign = _Campaign(deployed)
    world = campaign.world
    for _ in range(deployed.pace.batches_ahead):
        world.start(campaign.feed())
    for _ in range(INVOCATIONS):
        worker = _Worker(campaign, cpu)
        world.start(worker.gather())
        world.start(worker.serve())
    world.run()
    assert sum(campaign.groups) == ROWS
    assert busiest_window(world.sent) <= QPS
    return campaign
