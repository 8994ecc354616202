"""What `cube-sms` shows of a campaign and of a message from one look to the next, without a stack."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from cube_sms.delivery import State
from cube_sms_cli.following import Timeline, follow
from cube_sms_cli.output import Output
from cube_sms_cli.watching import LINE_SECONDS, ended, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Clock:
    """A clock that goes on while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def an_output(*, is_terminal: bool) -> tuple[Output, io.StringIO]:
    out, text = Output(), io.StringIO()
    out.progress_console = Console(file=text, force_terminal=is_terminal, width=120, highlight=False)
    return out, text


def a_campaign(status: str, *, has_receipts: bool = False, **states: int) -> dict[str, Any]:
    return {
        "campaign": "spring",
        "status": status,
        "rows": 100,
        "states": states,
        "hasReceipts": has_receipts,
        "perSecond": 5.0,
        "expectedEnd": "2027-01-15T08:01:41.000Z",
    }


def one_after_the_other[T](each: Sequence[T]) -> Callable[[], T]:
    left = iter(each)
    return lambda: next(left)


# ── A campaign ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_lines_tell_of_changes_and_not_of_each_look(clock: Clock) -> None:
    # Given a campaign of which ten rows end between two looks, and then none for a while
    looks = [a_campaign("RUNNING", SENT=sent, QUEUED=100 - sent) for sent in (*range(10, 101, 10), *[100] * 30)]
    out, text = an_output(is_terminal=False)

    # When it is watched on an output that cannot be redrawn
    end = a_campaign("ENDED", SENT=100)
    told = watch(out, looks[0], one_after_the_other([*looks[1:], end]), "", sleep=clock.sleep, clock=clock)

    # Then it shows a line every ten seconds while something changes
    lines = text.getvalue().splitlines()
    assert told == end
    assert [line.split()[1] for line in lines] == ["10", "60", "100"]
    assert lines[0] == (
        "spring: 10 of 100 rows have ended, 5 a second, expected end 2027-01-15 08:01:41Z, in 1 min 41 s "
        "(90 QUEUED, 10 SENT)"
    )
    assert clock.now - 1_800_000_000.0 > 3 * LINE_SECONDS


def test_a_terminal_shows_a_bar_with_what_ctrl_c_does(clock: Clock) -> None:
    out, text = an_output(is_terminal=True)
    looks = [a_campaign("RUNNING", SENT=40, NOT_TRIED=60), a_campaign("STOPPING", SENT=40, CANCELLED=60)]
    show = one_after_the_other([looks[1], a_campaign("STOPPED", SENT=40, CANCELLED=60)])

    assert watch(out, looks[0], show, "Ctrl-C leaves it.", sleep=clock.sleep, clock=clock)["status"] == "STOPPED"

    for shown in ("spring", "40/100", "60 NOT_TRIED, 40 SENT", "Ctrl-C leaves it.", "stopping", "100/100"):
        assert shown in text.getvalue()


def test_a_terminal_shows_a_second_bar_for_what_was_delivered(clock: Clock) -> None:
    out, text = an_output(is_terminal=True)
    states = {"NOT_TRIED": 40, "SENT": 20, "DELIVERED": 35, "UNDELIVERED": 5}
    show = one_after_the_other([a_campaign("ENDED", has_receipts=True)])

    watch(out, a_campaign("RUNNING", has_receipts=True, **states), show, "", sleep=clock.sleep, clock=clock)

    for shown in ("60/100", "delivered", "35/60", "5 UNDELIVERED"):
        assert shown in text.getvalue()


def test_nothing_is_said_of_deliveries_if_nobody_asks_for_receipts(clock: Clock) -> None:
    out, text = an_output(is_terminal=True)
    watch(out, a_campaign("RUNNING", SENT=40), one_after_the_other([a_campaign("ENDED")]), "", sleep=clock.sleep)
    assert "delivered" not in text.getvalue()


def test_lines_tell_of_deliveries(clock: Clock) -> None:
    out, text = an_output(is_terminal=False)
    looks = [a_campaign(status, has_receipts=True, SENT=1, DELIVERED=2) for status in ("RUNNING", "ENDED")]
    watch(out, looks[0], one_after_the_other(looks[1:]), "", sleep=clock.sleep, clock=clock)
    assert "3 of 100 rows have ended, 2 of 3 delivered, 0 undelivered, 5 a second" in text.getvalue()


def test_a_campaign_that_never_ends_is_told_so(clock: Clock) -> None:
    out, text = an_output(is_terminal=False)
    look = a_campaign("RUNNING", NOT_TRIED=100) | {"expectedEnd": None}

    watch(out, look, one_after_the_other([a_campaign("ENDED")]), "", sleep=clock.sleep, clock=clock)

    assert "no end to be expected: the reserve is the whole quota" in text.getvalue()


@pytest.mark.parametrize("state", State)
def test_rows_have_ended_whose_messages_have(state: State) -> None:
    assert ended({state: 3, "UNREADABLE": 1}) == (4 if state.is_final else 1)


# ── A message ───────────────────────────────────────────────────────────────────────────────────────────────────────


def a_record(state: str, second: int, **members: Any) -> dict[str, Any]:
    times = {"createdAt": "2027-01-15T08:00:00.000Z", "updatedAt": f"2027-01-15T08:00:{second:02}.500Z"}
    return {"state": state, "attempts": 1, "code": None, "reason": None, **times, **members}


def test_each_change_of_a_message_is_told_once(clock: Clock) -> None:
    # Given a message that has no record at first, and then one that changes now and then
    queued = a_record("QUEUED", 1, expectedAt="2027-01-16T00:00:00.000Z")
    retrying = a_record("RETRYING", 4, reason="HTTP 503")
    sent = a_record("SENT", 9, code="0000", attempts=2)
    timeline, told = Timeline(), list[str]()
    looks = one_after_the_other([None, None, queued, queued, retrying, retrying, sent])

    # When it is followed
    follow(timeline, looks, told.append, seconds=60, sleep=clock.sleep, clock=clock)

    # Then it shows each change, with how long it took
    assert timeline.has_ended
    assert [(each["state"], each["afterSeconds"]) for each in timeline.entries] == [
        ("QUEUED", 1.5),
        ("RETRYING", 3.0),
        ("SENT", 5.0),
    ]
    assert told == [
        "2027-01-15T08:00:01.500Z QUEUED, until 2027-01-16T00:00:00.000Z",
        "2027-01-15T08:00:04.500Z RETRYING, HTTP 503",
        "2027-01-15T08:00:09.500Z SENT",
    ]


@pytest.mark.parametrize("record", [None, a_record("RETRYING", 1)], ids=["without a record", "retrying"])
def test_a_message_is_followed_for_no_longer_than_is_said(clock: Clock, record: dict[str, Any] | None) -> None:
    timeline, begun = Timeline(), clock.now

    follow(timeline, lambda: record, lambda _: None, seconds=10, sleep=clock.sleep, clock=clock)

    assert (timeline.has_ended, timeline.record) == (False, record)
    assert 10 <= clock.now - begun < 11
