"""An operator pauses all sending: workers stop within seconds, and only its end or the operator ends it."""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cube_sms.pacing import bulk_closed_until
from cube_sms.pacing.breaker import FAILURES
from cube_sms.pacing.errors import AccountClosedError, NotNowError, PausedError
from cube_sms.pacing.orders import end_pause, open_account, open_gate, order_pause
from cube_sms.pacing.pause import LEAST_WAIT_SECONDS, MOST_REASON, MOST_WAIT_SECONDS, PAUSED, Pause, check_reason
from cube_sms.pacing.pausing import UNSEEN_SECONDS
from cube_sms.pacing.runs import Run
from local.gate_model import OneItemTable
from tests.unit.gate_table import accepted, gate, item_of, nothing, post, take, throttled, unavailable
from tests.unit.records_table import TABLE

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.pacing.gate import Gate
    from tests.support import Clock

REASON = "Cube is being moved"

each_gate = pytest.mark.parametrize(
    ("qps", "quota"), [(10, 0), (0, 100), (10, 100), (0, 0)], ids=["rate", "quota", "both", "no limits"]
)


@pytest.fixture
def table() -> OneItemTable:
    return OneItemTable()


def order(table: OneItemTable, clock: Clock, seconds: float = inf) -> Pause:
    pause = Pause(clock(), clock() + seconds, REASON)
    order_pause(table, TABLE, pause)  # type: ignore[arg-type]  # as much of a client
    return pause


def end(table: OneItemTable, clock: Clock) -> Pause | None:
    return end_pause(table, TABLE, clock=clock)  # type: ignore[arg-type]


def send(worker: Gate, clock: Clock) -> None:
    """Send a message as workers do, with limits or without."""
    worker.reserve(1, latest=clock() + 30.0)
    slot = worker.take(latest=clock() + 30.0)
    while not worker.wait(slot, nothing):
        slot = worker.take(latest=clock() + 30.0)
    worker.left(slot)
    worker.report(slot, accepted())


def _count(rounds: list[None], most: int) -> None:
    rounds.append(None)
    assert len(rounds) <= most


class TestHeeded:
    @each_gate
    @pytest.mark.parametrize("is_warm", [True, False], ids=["warm", "cold"])
    def test_nothing_is_sent_until_it_ends(
        self, table: OneItemTable, clock: Clock, qps: int, quota: int, is_warm: bool
    ) -> None:
        # Given a worker that has sent before, or has not
        worker = gate(table, clock, qps=qps, quota=quota)
        if is_warm:
            send(worker, clock)
            clock.now += UNSEEN_SECONDS
        # When an operator pauses for an hour
        order(table, clock, 3600.0)
        ends = clock() + 3600.0
        # Then it is refused, with the reason and the end, and its status shows it
        with pytest.raises(PausedError, match=rf"sending is paused until .*Z \({REASON}\)") as caught:
            send(worker, clock)
        assert caught.value.until == clock() + LEAST_WAIT_SECONDS
        assert (worker.status.closed_for, worker.status.pause) == ("paused", REASON)
        # And it sends as soon as it is over
        clock.now = ends - 0.001
        with pytest.raises(PausedError):
            send(worker, clock)
        clock.now = ends
        send(worker, clock)
        assert worker.status.closed_for is None

    @each_gate
    def test_one_without_an_end_lasts_until_somebody_ends_it(
        self, table: OneItemTable, clock: Clock, qps: int, quota: int
    ) -> None:
        worker = gate(table, clock, qps=qps, quota=quota)
        pause = order(table, clock)
        for _ in range(30):
            with pytest.raises(PausedError, match=rf"sending is paused \({REASON}\)"):
                send(worker, clock)
            clock.now += 86_400.0
        # When an operator ends it, workers know within seconds
        assert end(table, clock) == pause
        clock.now += UNSEEN_SECONDS
        send(worker, clock)
        assert end(table, clock) is None

    def test_what_was_reserved_before_is_held_back_within_seconds(self, table: OneItemTable, clock: Clock) -> None:
        # Given a worker with a slow lane, and slots for a minute
        worker = gate(table, clock, qps=1)
        worker.reserve(30, latest=clock() + 60.0)
        post(worker, clock)
        began = clock()
        order(table, clock)
        # When it goes on
        left: list[float] = []
        with suppress(PausedError):
            left.extend(post(worker, clock) for _ in range(30))
        # Then it has noticed while it waited for a slot
        assert clock() - began <= UNSEEN_SECONDS + 1.01
        assert max(left, default=began) - began <= UNSEEN_SECONDS

    def test_who_knows_of_it_neither_writes_nor_reads_all_the_time(self, table: OneItemTable, clock: Clock) -> None:
        worker = gate(table, clock)
        order(table, clock)
        before = table.writes
        # Given a worker that many callers ask for a minute
        for _ in range(600):
            with pytest.raises(PausedError):
                worker.reserve(1, latest=clock() + 5.0)
            clock.now += 0.1
        # Then it has learnt of it by one write, and looked now and then
        assert table.writes - before == 1
        assert table.reads <= 60 / UNSEEN_SECONDS

    def test_a_look_that_took_long_is_made_again(self, clock: Clock) -> None:
        # Given a worker that has a slot of the quota, which does not go by
        class SlowTable(OneItemTable):
            def get_item(self, **request: Any) -> dict[str, Any]:
                clock.now += max(0.0, 2.5 * UNSEEN_SECONDS * (1 - self.reads))
                return super().get_item(**request)

        table = SlowTable()
        worker = gate(table, clock, qps=0, quota=100)
        worker.reserve(1, latest=clock() + 30.0)
        slot = worker.take(latest=clock() + 30.0)
        # When it has not seen the item for long, and its first look takes longer than that
        clock.now += UNSEEN_SECONDS
        rounds: list[None] = []
        assert worker.wait(slot, lambda: _count(rounds, most=100))
        # Then it has looked once more, and has not gone round and round meanwhile
        assert table.reads == 2

    def test_who_cannot_look_finds_out_by_its_write(self, table: OneItemTable, clock: Clock) -> None:
        # Given a worker that knows of a pause, and may write the item and not read it
        worker = gate(table, clock)
        order(table, clock)
        with pytest.raises(PausedError):
            post(worker, clock)
        table.is_readable = False
        clock.now += UNSEEN_SECONDS
        with pytest.raises(PausedError):
            post(worker, clock)
        # When it has been ended
        del table.item[PAUSED]
        clock.now += UNSEEN_SECONDS
        # Then
        post(worker, clock)

    def test_sending_at_full_rate_costs_no_read_for_it(self, table: OneItemTable, clock: Clock) -> None:
        worker = gate(table, clock)
        for _ in range(20):
            worker.reserve(10, latest=clock() + 30.0)
            for _ in range(10):
                post(worker, clock, accepted(0.05))
        assert table.reads == 0

    def test_message_is_refused_before_it_is_claimed(self, table: OneItemTable, clock: Clock) -> None:
        worker = gate(table, clock)
        order(table, clock)
        with pytest.raises(PausedError):
            send(worker, clock)
        with pytest.raises(PausedError):
            worker.check("default")


class TestProbes:
    def test_success_of_a_probe_ends_no_pause(self, table: OneItemTable, clock: Clock) -> None:
        # Given a gate that is closed, and a query that probes
        worker = gate(table, clock)
        post(worker, clock, throttled(5.0))
        clock.now += 6.0
        probe = take(worker, clock)
        # When an operator pauses before its answer
        order(table, clock)
        worker.report(probe, accepted())
        # Then the gate is open for the provider's part, and all the same nothing is sent
        assert "closedUntil" not in item_of(table)
        with pytest.raises(PausedError):
            post(worker, clock)

    def test_gate_that_was_closed_meanwhile_is_closed_after_it(self, table: OneItemTable, clock: Clock) -> None:
        worker, other = gate(table, clock), gate(table, clock)
        worker.reserve(FAILURES, latest=clock() + 30.0)
        slots = [take(worker, clock) for _ in range(FAILURES)]
        order(table, clock)
        for slot in slots:
            worker.report(slot, unavailable(60.0))
        end(table, clock)
        with pytest.raises(NotNowError, match="Cube is unavailable"):
            post(other, clock)


class TestOrders:
    def test_newer_order_stands(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        for seconds in (600.0, 60.0, inf):
            pause = Pause(clock(), clock() + seconds, REASON)
            order_pause(dynamodb, TABLE, pause)
            assert item_of(dynamodb)[PAUSED] == str(pause)
        assert end_pause(dynamodb, TABLE, clock=clock) == pause
        assert PAUSED not in item_of(dynamodb)

    def test_one_that_is_over_is_removed_and_was_none(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        order_pause(dynamodb, TABLE, Pause(clock() - 10.0, clock() - 5.0, REASON))
        assert end_pause(dynamodb, TABLE, clock=clock) is None
        assert PAUSED not in item_of(dynamodb)

    def test_one_that_cannot_be_read_is_removed_and_was_none(self, table: OneItemTable, clock: Clock) -> None:
        table.item[PAUSED] = {"S": "for lunch"}
        assert end(table, clock) is None
        assert PAUSED not in table.item

    def test_gate_is_opened_and_says_why_it_was_closed(self, table: OneItemTable, clock: Clock) -> None:
        worker, other = gate(table, clock), gate(table, clock)
        post(worker, clock, throttled(3600.0))
        assert open_gate(table, TABLE, clock=clock) == "throttled"  # type: ignore[arg-type]
        post(other, clock)
        assert open_gate(table, TABLE, clock=clock) is None  # type: ignore[arg-type]

    def test_account_is_opened(self, table: OneItemTable, clock: Clock) -> None:
        table.item["account-fleet"] = {"S": str(Run("closed", 20, clock(), clock() + 300.0, "9403"))}
        worker = gate(table, clock)
        post(worker, clock)
        with pytest.raises(AccountClosedError):
            worker.check("fleet")
        assert open_account(table, TABLE, "fleet")  # type: ignore[arg-type]
        post(worker, clock)
        worker.check("fleet")
        assert not open_account(table, TABLE, "fleet")  # type: ignore[arg-type]

    def test_worker_removes_one_that_is_over(self, table: OneItemTable, clock: Clock) -> None:
        worker = gate(table, clock)
        order(table, clock, 5.0)
        clock.now += 5.0
        post(worker, clock)
        assert PAUSED not in table.item

    def test_campaign_waits(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        order_pause(dynamodb, TABLE, Pause(clock() - 4000.0, inf, REASON))
        assert bulk_closed_until(dynamodb, TABLE, quota=0, reserve=0, clock=clock) == clock() + 1000.0
        end_pause(dynamodb, TABLE, clock=clock)
        assert bulk_closed_until(dynamodb, TABLE, quota=0, reserve=0, clock=clock) == 0


class TestPause:
    @given(st.integers(0, 10**10), st.one_of(st.none(), st.integers(0, 10**8)), st.text(max_size=MOST_REASON))
    def test_is_read_as_it_was_written(self, since: float, seconds: float | None, text: str) -> None:
        try:
            reason = check_reason(text)
        except ValueError:
            return
        pause = Pause(float(since), inf if seconds is None else float(since + seconds), reason)
        assert Pause.parse(str(pause)) == pause

    @pytest.mark.parametrize("text", ["", " ", " a", "a ", "a\nb", "a\x1b[2J", "x" * (MOST_REASON + 1)])
    def test_reason_that_cannot_be_shown_is_none(self, text: str) -> None:
        with pytest.raises(ValueError, match="must"):
            check_reason(text)

    def test_message_is_received_less_often_than_sqs_has_enough_of_it(self) -> None:
        # Given a pause for as long as a message may be on the queue
        pause, now, receives = Pause(0.0, inf, REASON), 0.0, 0
        while now < 14 * 86_400:
            wait = pause.worth_a_try_at(now) - now
            assert LEAST_WAIT_SECONDS <= round(wait, 6) <= MOST_WAIT_SECONDS
            now, receives = now + wait, receives + 1
        assert receives < 800
