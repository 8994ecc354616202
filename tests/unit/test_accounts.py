"""The gate closes for one account that gets one and the same unknown code for everything, and for no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cube_sms.pacing.accounts import CLOSED_SECONDS, FORGOTTEN_SECONDS, MOST_CLOSED_SECONDS, REJECTIONS
from cube_sms.pacing.breaker import PROBE_MARGIN, PROBING_SECONDS
from cube_sms.pacing.errors import AccountClosedError
from cube_sms.pacing.gate_item import REMEMBERED_SECONDS
from cube_sms.provider.base import CubeRejected
from local.gate_model import OneItemTable
from tests.support import Clock
from tests.unit.gate_table import (
    LONGEST_POST,
    accepted,
    gate,
    item_of,
    nothing,
    throttled,
    unauthenticated,
    unavailable,
    unknown,
)

if TYPE_CHECKING:
    from cube_sms.pacing.gate import Gate, Slot
    from cube_sms.provider.base import CubeAnswer, CubeError


@pytest.fixture
def table() -> OneItemTable:
    return OneItemTable()


def rejected(code: str | None = "9403") -> CubeRejected:
    return CubeRejected("HTTP 200, without success", status=200, code=code)


def begin(worker: Gate, clock: Clock, account: str = "fleet") -> Slot:
    """Let a query of an account leave."""
    worker.check(account)
    slot = worker.take(latest=clock() + 60.0, account=account)
    while not worker.wait(slot, nothing):
        slot = worker.take(latest=clock() + 60.0)
    assert slot
    worker.left(slot)
    return slot


def post(worker: Gate, clock: Clock, answer: CubeAnswer | CubeError, account: str = "fleet") -> None:
    """Make a query of an account."""
    worker.report(begin(worker, clock, account), answer, account=account)


def run_of(table: OneItemTable, account: str = "fleet") -> list[str]:
    """Return what the item has of an account: state, count, since, at, mark and code."""
    return item_of(table).get(f"account-{account}", "").split(" ")


def closed(table: OneItemTable, clock: Clock, *workers: Gate) -> Gate:
    """Have workers close an account, in turns, and return the last of them."""
    workers = workers or (gate(table, clock),)
    for number in range(REJECTIONS):
        post(workers[number % len(workers)], clock, rejected())
    assert run_of(table)[:2] == ["closed", str(REJECTIONS)]
    return workers[(REJECTIONS - 1) % len(workers)]


def assert_closed(worker: Gate, clock: Clock, seconds: float) -> None:
    """Assert that the account is closed for a worker, for so many seconds from now."""
    with pytest.raises(AccountClosedError) as caught:
        begin(worker, clock)
    assert caught.value.until - clock() == pytest.approx(seconds, abs=0.002)


class TestClosing:
    @pytest.mark.parametrize("workers", [1, 3])
    def test_so_many_rejections_in_a_row_by_all_workers_together(
        self, table: OneItemTable, clock: Clock, workers: int
    ) -> None:
        # Given workers that take turns
        many = [gate(table, clock) for _ in range(workers)]
        for number in range(REJECTIONS - 1):
            post(many[number % workers], clock, rejected())
        assert run_of(table)[0] == "counting"
        # When there is one more
        post(many[0], clock, rejected())
        # Then it is closed for everybody who looks, for this account alone
        until = clock() + CLOSED_SECONDS
        for worker in (many[0], gate(table, clock)):
            assert_closed(worker, clock, until - clock())
            post(worker, clock, accepted(), "default")
            assert worker.status.closed_accounts == (("fleet", "9403"),)
            assert worker.status.closed_for is None

    @pytest.mark.parametrize("code", [None, "9403", "a code\nwith words"])
    def test_for_any_code(self, table: OneItemTable, clock: Clock, code: str | None) -> None:
        worker = gate(table, clock)
        for _ in range(REJECTIONS):
            post(worker, clock, rejected(code))
        assert worker.status.closed_accounts == (("fleet", code or "-"),)
        assert_closed(gate(table, clock), clock, CLOSED_SECONDS)

    @pytest.mark.parametrize("other", [rejected("9404"), rejected(None)])
    def test_another_code_in_between_counts_from_the_start(
        self, table: OneItemTable, clock: Clock, other: CubeError
    ) -> None:
        worker = gate(table, clock)
        for answer in [*[rejected()] * (REJECTIONS - 1), other, *[rejected()] * (REJECTIONS - 1)]:
            post(worker, clock, answer)
        assert run_of(table)[:2] == ["counting", str(REJECTIONS - 1)]

    @pytest.mark.parametrize("between", [throttled(0.0), unavailable(), unauthenticated(), unknown()])
    def test_what_says_nothing_of_the_account_neither_counts_nor_ends_a_run(
        self, table: OneItemTable, clock: Clock, between: CubeError
    ) -> None:
        worker = gate(table, clock)
        for _ in range(REJECTIONS - 1):
            post(worker, clock, rejected())
        post(worker, clock, between)
        assert run_of(table)[:2] == ["counting", str(REJECTIONS - 1)]
        clock.now += 60.0
        post(worker, clock, rejected())
        assert run_of(table)[0] == "closed"

    def test_accounts_are_counted_apart(self, table: OneItemTable, clock: Clock) -> None:
        worker = gate(table, clock)
        for _ in range(REJECTIONS - 1):
            for account in ("fleet", "fleet-2", "default"):
                post(worker, clock, rejected(), account)
        post(worker, clock, rejected(), "fleet-2")
        assert worker.status.closed_accounts == (("fleet-2", "9403"),)
        post(worker, clock, accepted(), "fleet")

    def test_answers_that_come_after_it_change_nothing(self, table: OneItemTable, clock: Clock) -> None:
        # Given queries that were under way when the account was closed
        slow = gate(table, clock, connections=3)
        slots = [begin(slow, clock) for _ in range(3)]
        closed(table, clock)
        before = run_of(table)
        # When they are rejected too, or fail
        for slot, answer in zip(slots, [rejected(), rejected("9404"), unavailable()], strict=True):
            slow.report(slot, answer, account="fleet")
        # Then
        assert run_of(table) == before

    def test_without_limits_there_is_no_gate(self, table: OneItemTable, clock: Clock) -> None:
        worker = gate(table, clock, qps=0)
        for _ in range(2 * REJECTIONS):
            worker.report(worker.take(latest=clock() + 1.0, account="fleet"), rejected(), account="fleet")
        assert table.writes == 0
        assert worker.status.closed_accounts == ()


class TestSuccess:
    def test_in_between_counts_from_the_start_whoever_has_it(self, table: OneItemTable, clock: Clock) -> None:
        # Given a worker that is rejected, and another one that saw it with its own reservation
        one, other = gate(table, clock), gate(table, clock)
        for _ in range(REJECTIONS - 1):
            post(one, clock, rejected())
        # When that one has a message accepted
        post(other, clock, accepted())
        # Then the run is over
        assert run_of(table) == [""]
        post(one, clock, rejected())
        assert run_of(table)[:2] == ["counting", "1"]

    def test_of_a_worker_that_knew_of_no_run_counts_when_it_learns_of_it(
        self, table: OneItemTable, clock: Clock
    ) -> None:
        # Given a worker that sends what it had reserved before
        other = gate(table, clock)
        other.reserve(2, latest=clock() + 60.0)
        one = gate(table, clock)
        post(one, clock, rejected())
        clock.now += 0.1
        post(other, clock, accepted())
        assert run_of(table)[0] == "counting"
        # When the account is closed meanwhile
        for _ in range(REJECTIONS - 1):
            post(one, clock, rejected())
        assert run_of(table)[0] == "closed"
        # Then its next reservation opens it
        post(other, clock, accepted(), "default")
        other.reserve(5, latest=clock() + 60.0)
        assert run_of(table) == [""]

    def test_before_a_run_is_none_in_between(self, table: OneItemTable, clock: Clock) -> None:
        worker = gate(table, clock)
        post(worker, clock, accepted())
        clock.now += 0.1
        closed(table, clock, worker)
        worker.reserve(5, latest=clock() + 60.0)
        assert run_of(table)[0] == "closed"

    def test_before_a_probe_says_nothing_against_it(self, table: OneItemTable, clock: Clock) -> None:
        # Given a worker that had a message accepted while another one closed the account, and that has not looked since
        other = gate(table, clock)
        other.reserve(2, latest=clock() + 60.0)
        one = gate(table, clock)
        post(one, clock, rejected())
        clock.now += 0.1
        post(other, clock, accepted())
        for _ in range(REJECTIONS - 1):
            post(one, clock, rejected())
        # When a probe was rejected
        clock.now += CLOSED_SECONDS
        post(one, clock, rejected())
        # Then
        other.reserve(5, latest=clock() + 60.0)
        assert run_of(table)[:2] == ["closed", str(REJECTIONS + 1)]

    def test_costs_nothing_where_nothing_is_rejected(self, table: OneItemTable, clock: Clock) -> None:
        worker = gate(table, clock)
        for _ in range(50):
            worker.reserve(10, latest=clock() + 60.0)
            for _ in range(10):
                post(worker, clock, accepted())
            clock.now += 1.0
        assert table.writes == 50


class TestProbe:
    def test_is_one(self, table: OneItemTable, clock: Clock) -> None:
        # Given an account that was closed
        workers = [closed(table, clock), gate(table, clock, connections=3), gate(table, clock)]
        clock.now += CLOSED_SECONDS
        # When one worker sends a message of it
        begin(workers[1], clock)
        # Then none sends another one, itself included, but those of other accounts
        for worker in workers:
            assert_closed(worker, clock, PROBING_SECONDS)
            post(worker, clock, accepted(), "default")
        assert float(run_of(table)[3]) - clock() == pytest.approx(LONGEST_POST + PROBE_MARGIN, abs=0.1)

    def test_that_is_accepted_opens_the_account(self, table: OneItemTable, clock: Clock) -> None:
        worker, other = closed(table, clock), gate(table, clock)
        clock.now += CLOSED_SECONDS
        post(worker, clock, accepted())
        assert run_of(table) == [""]
        post(other, clock, accepted())
        assert worker.status.closed_accounts == ()

    def test_that_is_rejected_for_another_reason_opens_the_account(self, table: OneItemTable, clock: Clock) -> None:
        worker = closed(table, clock)
        clock.now += CLOSED_SECONDS
        post(worker, clock, rejected("9404"))
        assert run_of(table)[:2] == ["counting", "1"]
        post(gate(table, clock), clock, accepted())

    def test_that_is_rejected_closes_for_longer_up_to_the_most(self, table: OneItemTable, clock: Clock) -> None:
        closed(table, clock)
        waits = []
        for _ in range(20):
            waits.append(float(run_of(table)[3]) - clock())
            clock.now += waits[-1]
            # A different worker probes each time
            post(gate(table, clock), clock, rejected())
        assert waits == pytest.approx([min(MOST_CLOSED_SECONDS, CLOSED_SECONDS * 2**n) for n in range(20)], abs=0.002)

    @pytest.mark.parametrize("answer", [throttled(0.0), unavailable(), unauthenticated(), unknown(), None])
    def test_that_says_nothing_is_taken_over(self, table: OneItemTable, clock: Clock, answer: CubeError | None) -> None:
        # Given a probe that comes to nothing, or whose worker dies
        worker = closed(table, clock)
        clock.now += CLOSED_SECONDS
        slot = begin(worker, clock)
        if answer:
            worker.report(slot, answer, account="fleet")
        # When its time is over
        clock.now += LONGEST_POST + PROBE_MARGIN
        # Then another one probes
        post(gate(table, clock), clock, accepted())
        assert run_of(table) == [""]

    def test_slot_of_a_message_that_is_refused_is_for_others(self, table: OneItemTable, clock: Clock) -> None:
        closed(table, clock)
        worker = gate(table, clock, qps=1, quota=100)
        used = None
        for _ in range(5):
            with pytest.raises(AccountClosedError):
                worker.take(latest=clock() + 60.0, account="fleet")
            used = used or item_of(table)["used"]
        assert item_of(table)["used"] == used
        post(worker, clock, accepted(), "default")


class TestRemembered:
    def test_account_that_was_opened_by_hand_is_noticed(self, table: OneItemTable, clock: Clock) -> None:
        worker = closed(table, clock)
        del table.item["account-fleet"]
        assert_closed(worker, clock, CLOSED_SECONDS)
        assert worker.is_closed_for("fleet")
        clock.now += REMEMBERED_SECONDS
        assert not worker.is_closed_for("fleet")
        post(worker, clock, accepted())

    def test_closed_account_costs_a_write_now_and_then(self, table: OneItemTable, clock: Clock) -> None:
        worker = closed(table, clock)
        before = table.writes
        for _ in range(60):
            clock.now += 1.0
            with pytest.raises(AccountClosedError):
                begin(worker, clock)
        assert table.writes - before <= 6

    @pytest.mark.parametrize("rejections", [1, REJECTIONS])
    def test_run_that_nothing_is_added_to_is_forgotten(
        self, table: OneItemTable, clock: Clock, rejections: int
    ) -> None:
        worker = gate(table, clock)
        for _ in range(rejections):
            post(worker, clock, rejected())
        for seconds, is_forgotten in ((FORGOTTEN_SECONDS - 1.0, False), (2.0 + CLOSED_SECONDS, True)):
            clock.now += seconds
            # The first one may not know of it yet
            for _ in range(2):
                worker.reserve(1, latest=clock() + 60.0)
            assert (run_of(table) == [""]) is is_forgotten

    @pytest.mark.parametrize(
        "spoiled",
        [
            {"N": "20"},
            {"S": "closed"},
            {"S": "shut 20 1 4e9 x 9403"},
            {"S": "closed x 1 4e9 x 9403"},
            {"S": "closed 20 1 inf x 9403"},
            {"S": "closed 0 1 4e9 x 9403"},
        ],
    )
    def test_what_somebody_has_spoiled_is_removed(self, table: OneItemTable, clock: Clock, spoiled: Any) -> None:
        table.item["account-fleet"] = spoiled
        worker = gate(table, clock)
        post(worker, clock, accepted())
        assert worker.status.repaired == ("account-fleet",)
        assert run_of(table) == [""]


class TestDynamoDBAway:
    def test_closing_is_remembered_by_the_worker_alone(self, clock: Clock) -> None:
        is_away = False
        table = OneItemTable(is_away=lambda: is_away)
        worker = gate(table, clock)
        for _ in range(REJECTIONS - 1):
            post(worker, clock, rejected())
        slot, is_away = begin(worker, clock), True
        worker.report(slot, rejected(), account="fleet")
        is_away = False
        assert_closed(worker, clock, CLOSED_SECONDS)
        assert run_of(table)[0] == "counting"
        clock.now += REMEMBERED_SECONDS
        post(worker, clock, rejected())
        assert run_of(table)[0] == "closed"


ANSWERS = st.sampled_from(["9403", "9404", "accepted", "unknown"])


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["fleet", "default"]), ANSWERS, st.integers(1, 25)), max_size=12
    ),
    is_repeated=st.booleans(),
)
def test_it_is_closed_after_so_many_in_a_row_and_never_else(
    steps: list[tuple[int, str, str, int]], is_repeated: bool
) -> None:
    """Workers that look before each query, against a list of what each account's queries came to."""
    clock, table = Clock(), OneItemTable(is_repeated=lambda: is_repeated)
    answers: dict[str, CubeAnswer | CubeError] = {
        "accepted": accepted(),
        "unknown": unknown(),
        "9403": rejected(),
        "9404": rejected("9404"),
    }
    in_a_row: dict[str, tuple[str, int]] = {}
    for number, account, name, times in steps:
        # A worker of a new environment each time has seen nothing, as one that comes back has.
        worker = gate(table, clock, qps=1000, connections=number + 1)
        for _ in range(times):
            clock.now += 1.0
            worker.reserve(1, latest=clock() + 60.0)
            is_closed = in_a_row.get(account, ("", 0))[1] >= REJECTIONS
            if is_closed:
                with pytest.raises(AccountClosedError):
                    begin(worker, clock, account)
                continue
            post(worker, clock, answers[name], account)
            if name == "accepted":
                in_a_row.pop(account, None)
            elif name != "unknown":
                code, count = in_a_row.get(account, (name, 0))
                in_a_row[account] = (name, count + 1 if code == name else 1)
        expected = {each for each, (_, count) in in_a_row.items() if count >= REJECTIONS}
        assert {each for each, _ in worker.status.closed_accounts} == expected
