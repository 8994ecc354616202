"""One gate in the hands of several processes at the same moment, in real time."""

from __future__ import annotations

import contextlib
import time
import uuid
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import pytest
from botocore.config import Config

from cube_sms.pacing.accounts import REJECTIONS
from cube_sms.pacing.errors import AccountClosedError, GateClosedError, NotNowError
from cube_sms.pacing.gate import Gate
from cube_sms.pacing.gate_item import GATE_KEY
from cube_sms.pacing.lanes import WINDOW
from cube_sms.pacing.orders import order_pause
from cube_sms.pacing.pause import Pause
from cube_sms.pacing.pausing import UNSEEN_SECONDS
from cube_sms.platform.errors import RecordsUnavailableError
from cube_sms.provider.base import CubeAnswer, CubeRejected
from local.gate_model import busiest_window
from local.ministack import REGION, MiniStack
from tests.integration.days import DAY, avoid_midnight, until_tomorrow
from tests.processes import CONTEXT
from tests.support import create_messages_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.synchronize import Barrier

PROCESSES = 6
QPS = 50
SECONDS = 6.0
POST_TIME = 0.01

# With time for a look before it ends, and for sending after that.
PAUSED_SECONDS = 3.5
BUSY_SECONDS = 0.5


class Limits(NamedTuple):
    """What a gate allows."""

    qps: int
    quota: int = 0
    reserve_percent: int = 0


# Of a gate that counts the day alone no slot is lost, however slow the machine is.
DAY_ALONE = Limits(0, quota=100_000)
GATE = {"messageId": {"S": GATE_KEY}}

_barrier: Barrier | None = None


@pytest.fixture(scope="module")
def aws() -> Iterator[MiniStack]:
    with MiniStack() as aws:
        yield aws


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    arguments: Any = (CONTEXT.Barrier(PROCESSES),)
    with ProcessPoolExecutor(PROCESSES, mp_context=CONTEXT, initializer=_prepare, initargs=arguments) as pool:
        yield pool


@pytest.fixture
def table(aws: MiniStack) -> str:
    name = f"gate-{uuid.uuid4().hex[:8]}"
    create_messages_table(aws.client("dynamodb"), name)
    return name


def race(pool: ProcessPoolExecutor, aws: MiniStack, table: str, limits: Limits, batch: int) -> list[float]:
    """Let every process make queries, and return when each left."""
    runs = [pool.submit(_hammer, aws.url, table, limits, batch) for _ in range(PROCESSES)]
    return [left_at for run in runs for left_at in run.result(timeout=120)]


def test_no_second_holds_more_than_the_limit(pool: ProcessPoolExecutor, aws: MiniStack, table: str) -> None:
    times = race(pool, aws, table, Limits(QPS), batch=10)
    assert busiest_window(times) <= QPS
    # And the limit is used: this machine is slow, and all begin at once
    assert len(times) >= 0.5 * QPS * SECONDS / WINDOW


def test_single_lane_changes_hands(pool: ProcessPoolExecutor, aws: MiniStack, table: str) -> None:
    times = sorted(race(pool, aws, table, Limits(1), batch=2))
    assert len(times) >= 3
    assert min(later - earlier for earlier, later in pairwise(times)) >= 1.0


@pytest.mark.parametrize("qps", [0, 200])
def test_last_queries_of_the_day_are_had_once(pool: ProcessPoolExecutor, aws: MiniStack, table: str, qps: int) -> None:
    avoid_midnight()
    times = race(pool, aws, table, Limits(qps, quota=100), batch=7)
    item = aws.client("dynamodb").get_item(TableName=table, Key={"messageId": {"S": GATE_KEY}})["Item"]
    assert len(times) <= 100
    # What is missing was reserved by a process that had no time left for it
    assert len(times) >= 100 - 7 * PROCESSES
    assert int(item["used"]["N"]) <= 100


@pytest.mark.parametrize("qps", [0, 200])
def test_bulk_messages_leave_the_reserve_of_each_day(
    pool: ProcessPoolExecutor, aws: MiniStack, table: str, qps: int
) -> None:
    # Given processes whose clocks show that midnight is near, and that have messages of both kinds
    quota, reserved, batch = 100, 30, 7
    ahead = until_tomorrow() - SECONDS / 2
    limits = Limits(qps, quota, reserve_percent=30)
    runs = [pool.submit(_send_both_kinds, aws.url, table, limits, batch, ahead) for _ in range(PROCESSES)]
    left = [query for run in runs for query in run.result(timeout=120)]
    # Then both days have had their queries
    days = sorted({day for day, _ in left})
    assert days[0] + 1 == days[-1]
    for day in days:
        bulk = left.count((day, True))
        others = left.count((day, False))
        # And on neither day have more been made than its quota, and bulk ones than are not reserved
        assert bulk + others <= quota
        assert bulk <= quota - reserved
        # (what is missing was reserved by a process that had no time left for it, or whose day ended)
        assert bulk + others >= quota - 2 * batch * PROCESSES
        assert others > 0


def test_account_is_closed_after_so_many_rejections_of_all_together(
    pool: ProcessPoolExecutor, aws: MiniStack, table: str
) -> None:
    avoid_midnight()
    # Given processes whose queries are rejected until they are told that the account is closed
    runs = [pool.submit(_be_rejected, aws.url, table) for _ in range(PROCESSES)]
    rejected = [run.result(timeout=120) for run in runs]
    # Then each rejection was counted once, and each process had one under way at most when the account was closed
    item = aws.client("dynamodb").get_item(TableName=table, Key=GATE)["Item"]
    state, length, *_ = item["account-fleet"]["S"].split(" ")
    assert (state, int(length)) == ("closed", REJECTIONS)
    assert REJECTIONS <= sum(rejected) < REJECTIONS + PROCESSES


def test_probe_of_an_account_is_had_by_one(pool: ProcessPoolExecutor, aws: MiniStack, table: str) -> None:
    avoid_midnight()
    for _ in range(10):
        # Given an account whose time is over
        is_over = {"S": f"closed 20 {time.time() - 400:.3f} {time.time() - 100:.3f} mark 9403"}
        aws.client("dynamodb").update_item(
            TableName=table,
            Key=GATE,
            UpdateExpression="SET #account = :is_over",
            ExpressionAttributeNames={"#account": "account-fleet"},
            ExpressionAttributeValues={":is_over": is_over},
        )
        # When several processes send a message of it at the same moment
        runs = [pool.submit(_probe, aws.url, table) for _ in range(PROCESSES)]
        # Then
        assert sum(run.result(timeout=120) for run in runs) == 1


@pytest.mark.parametrize("limits", [Limits(QPS), DAY_ALONE, Limits(0)], ids=["rate", "quota", "no limits"])
def test_nothing_leaves_while_paused(pool: ProcessPoolExecutor, aws: MiniStack, table: str, limits: Limits) -> None:
    avoid_midnight()
    # Given processes that send, of which one orders a pause of some seconds
    orders = pool.submit(_order_pause, aws.url, table, limits, PAUSED_SECONDS)
    runs = [pool.submit(_hammer, aws.url, table, limits, 10) for _ in range(PROCESSES - 1)]
    left = [at for run in runs for at in run.result(timeout=120)]
    ordered_at, written_at, ends_at = orders.result(timeout=120)
    # Then all know within seconds, whatever they had reserved, until it ends
    assert any(at < ordered_at for at in left)
    # (what a look takes on a busy machine is no fault of theirs)
    assert [at - ordered_at for at in left if written_at + UNSEEN_SECONDS + BUSY_SECONDS < at < ends_at] == []
    assert any(at >= ends_at for at in left)


def _prepare(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _gate(url: str, table: str, limits: Limits, clock: Callable[[], float] = time.time) -> Gate:
    """Return a gate, when all processes are there, so that none of them takes the task of another one."""
    client = boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"mode": "standard", "total_max_attempts": 3}),
    )
    assert _barrier
    _barrier.wait(60)
    return Gate(client, table, **limits._asdict(), longest_post=1.0, clock=clock)


def _be_rejected(url: str, table: str) -> int:
    """Make queries that are rejected, looking before each, until the account is closed; return how many."""
    gate, count = _gate(url, table, DAY_ALONE), 0
    while True:
        gate.reserve(1, latest=time.time() + SECONDS)
        try:
            slot = gate.take(latest=time.time() + SECONDS, account="fleet")
        except AccountClosedError:
            return count
        assert gate.wait(slot, lambda: None)
        gate.left(slot)
        count += 1
        gate.report(slot, CubeRejected("HTTP 200, without success", status=200, code="9403"), account="fleet")


def _probe(url: str, table: str) -> bool:
    """Return whether this process may make a query of the account."""
    gate = _gate(url, table, DAY_ALONE)
    # The first write brings the item.
    gate.reserve(1, latest=time.time() + SECONDS)
    try:
        gate.take(latest=time.time() + SECONDS, account="fleet")
    except AccountClosedError:
        return False
    return True


def _hammer(url: str, table: str, limits: Limits, batch: int) -> list[float]:
    gate = _gate(url, table, limits)
    left: list[float] = []
    deadline = time.time() + SECONDS
    while time.time() < deadline:
        try:
            granted = gate.reserve(batch, latest=deadline)
            left += (_query(gate, deadline) for _ in range(granted))
        except NotNowError as closed:
            if isinstance(closed, GateClosedError) and closed.reason == "quota":
                break
            time.sleep(min(max(0.0, closed.until - time.time()), max(0.0, deadline - time.time())))
        except RecordsUnavailableError:
            time.sleep(0.05)
    return left


def _order_pause(url: str, table: str, limits: Limits, seconds: float) -> tuple[float, float, float]:
    """Make queries for a second, and pause for some seconds; return when that was ordered, and written, and ends."""
    gate = _gate(url, table, limits)
    deadline = time.time() + 1.0
    while time.time() < deadline:
        with contextlib.suppress(NotNowError, RecordsUnavailableError):
            gate.reserve(1, latest=deadline)
            _query(gate, deadline)
    client = boto3.client(
        "dynamodb", endpoint_url=url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
    )
    ordered_at = time.time()
    pause = Pause(ordered_at, ordered_at + seconds, "a drill")
    order_pause(client, table, pause)
    return ordered_at, time.time(), pause.until


def _send_both_kinds(url: str, table: str, limits: Limits, batch: int, ahead: float) -> list[tuple[float, bool]]:
    """Make bulk queries and others by turns, by a clock that is so many seconds ahead; return their days and kinds."""

    def clock() -> float:
        return time.time() + ahead

    gate = _gate(url, table, limits, clock)
    left: list[tuple[float, bool]] = []
    deadline = clock() + SECONDS
    kinds = cycle((True, True, False))
    while clock() < deadline:
        is_bulk = next(kinds)
        try:
            granted = gate.reserve(batch if is_bulk else 2, latest=deadline, is_bulk=is_bulk)
            left.extend(((_query(gate, deadline, is_bulk=is_bulk) + ahead) // DAY, is_bulk) for _ in range(granted))
        except (NotNowError, RecordsUnavailableError):
            time.sleep(0.05)
    return left


def _query(gate: Gate, deadline: float, *, is_bulk: bool = False) -> float:
    slot = gate.take(latest=deadline, is_bulk=is_bulk)
    while not gate.wait(slot, lambda: None):
        slot = gate.take(latest=deadline, is_bulk=is_bulk)
    gate.left(slot)
    left_at = time.time()
    time.sleep(POST_TIME)
    with contextlib.suppress(RecordsUnavailableError):
        gate.report(slot, CubeAnswer("0000", "success", time.time() - left_at))
    return left_at
