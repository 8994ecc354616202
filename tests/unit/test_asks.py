"""Whose reply it is: what is known of a device, whatever comes in whichever order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cube_sms.delivery.asks.ask import CLOCK_TOLERANCE, DeviceReply
from cube_sms.delivery.asks.meeting import Meeting, Verdict
from tests.support import START

if TYPE_CHECKING:
    from collections.abc import Callable

TOKENS = frozenset({"token"})
WAIT = 600.0


def reply(name: str, at: float) -> DeviceReply:
    return DeviceReply(event_id=name, received_at=at, message_type="Text", content=f"content of {name}")


def sent(meeting: Meeting, request_id: str, begun_at: float, *, tokens: frozenset[str] = TOKENS) -> Meeting:
    """Post a request and record a second later that it was sent."""
    begun = meeting.expect(request_id, begun_at, may_be_sent=False)
    return begun.sent(request_id, begun_at + 1, WAIT, tokens)


def answers(meeting: Meeting) -> dict[str, str]:
    """Return which reply belongs to which request."""
    return {each.answers: each.event_id for each in meeting.replies if each.answers}


class TestReply:
    def test_answers_the_request_that_waits(self) -> None:
        meeting = sent(Meeting(), "one", START).hear(reply("a", START + 5))
        (verdict,) = meeting.verdicts
        assert verdict.reply
        assert (verdict.ask.request_id, verdict.ask.tokens, verdict.reply.event_id) == ("one", ("token",), "a")

    def test_that_comes_before_it_is_known_that_the_message_was_sent_waits_for_that(self) -> None:
        # Given a request that was posted, and a reply
        heard = Meeting().expect("one", START, may_be_sent=False).hear(reply("a", START + 0.5)).pruned(START + 1)
        assert heard.verdicts == []
        # When it is recorded that it was sent
        known = heard.sent("one", START + 1, WAIT, TOKENS)
        # Then the reply is the one to it
        assert answers(known) == {"one": "a"}

    def test_is_nobodys_if_the_message_was_not_sent(self) -> None:
        heard = Meeting().expect("one", START, may_be_sent=False).hear(reply("a", START + 1))
        assert heard.withdraw("one").pruned(START + 2) == Meeting()

    def test_is_not_kept_if_nobody_waits(self) -> None:
        assert Meeting().hear(reply("a", START)).pruned(START) == Meeting()

    @pytest.mark.parametrize(
        ("at", "is_one"),
        [
            (START - CLOCK_TOLERANCE - 1, False),
            (START - CLOCK_TOLERANCE, True),
            (START + 1 + WAIT, True),
            (START + 2 + WAIT, False),
        ],
    )
    def test_counts_from_the_post_to_the_end_of_the_time(self, at: float, is_one: bool) -> None:
        assert bool(sent(Meeting(), "one", START).hear(reply("a", at)).verdicts) is is_one

    def test_goes_to_the_request_that_was_sent_first(self) -> None:
        two = sent(sent(Meeting(), "first", START), "second", START + 60)
        once = two.hear(reply("a", START + 90))
        assert answers(once) == {"first": "a"}
        assert answers(once.hear(reply("b", START + 91))) == {"first": "a", "second": "b"}

    def test_that_comes_again_is_no_other_requests(self) -> None:
        # Given a reply that was passed to its task
        two = sent(sent(Meeting(), "first", START), "second", START + 60).hear(reply("a", START + 90))
        told = two.told(two.verdicts[0]).pruned(START + 91)
        # When the provider reports it again, even after the time of its request
        for now in (START + 100, START + 30 + WAIT):
            again = told.pruned(now).hear(reply("a", START + 90)).pruned(now)
            # Then the second request still waits
            assert [ask.request_id for ask in again.open_asks] == ["second"]
            assert again.verdicts == []

    def test_is_not_that_to_the_next_question(self) -> None:
        # Given a request whose time ends with its reply
        meeting = sent(Meeting(), "first", START).hear(reply("a", START + 1 + WAIT))
        told = meeting.told(meeting.verdicts[0]).pruned(START + 2 + WAIT)
        # When the next one begins seconds later, and the provider reports that reply again
        asked = sent(told, "second", START + 5 + WAIT).pruned(START + 6 + WAIT)
        again = asked.hear(reply("a", START + 1 + WAIT)).pruned(START + 300 + WAIT).hear(reply("a", START + 1 + WAIT))
        # Then it is no reply to it
        assert again.verdicts == []

    def test_to_a_try_that_did_not_send_it_is_none(self) -> None:
        # Given a request whose first POST was refused, and what the device said meanwhile
        heard = Meeting().expect("one", START, may_be_sent=False).hear(reply("a", START + 10))
        # When it is posted again much later
        refused = heard.expect("one", START + 3600, may_be_sent=False).sent("one", START + 3601, WAIT, TOKENS)
        assert refused.verdicts == []
        # And if the first POST may have sent it, then it is one
        unknown = heard.expect("one", START + 3600, may_be_sent=True).sent("one", START + 3601, WAIT, TOKENS)
        assert answers(unknown) == {"one": "a"}


class TestTask:
    def test_that_asks_later_is_told_the_same(self) -> None:
        meeting = sent(Meeting(), "one", START).hear(reply("a", START + 5))
        told = meeting.told(meeting.verdicts[0]).pruned(START + 6)
        assert told.verdicts == []
        (late,) = told.sent("one", START + 1, WAIT, frozenset({"late"})).verdicts
        assert late.reply
        assert (late.ask.tokens, late.reply.event_id) == (("late",), "a")

    def test_is_told_of_the_end_once(self) -> None:
        # Given a request whose time is over, and whose task is about to get that outcome
        over = sent(Meeting(), "one", START).expire(START + 1 + WAIT)
        (verdict,) = over.verdicts
        assert verdict.reply is None
        # When a reply comes that was in time, then it is too late
        assert over.hear(reply("a", START + 5)).verdicts == [verdict]
        # And when the task has its outcome, nothing is left
        assert over.told(verdict).pruned(START + 2 + WAIT) == Meeting()

    def test_of_a_message_that_the_stream_tells_of_again_takes_no_other_reply(self) -> None:
        # Given a request that was answered, and another one
        two = sent(sent(Meeting(), "first", START), "second", START + 60).hear(reply("a", START + 90))
        told = two.told(two.verdicts[0]).pruned(START + 91)
        # When the stream reports again that the first was sent, and the device says more
        again = told.sent("first", START + 1, WAIT, TOKENS).hear(reply("b", START + 95))
        # Then that is for the second
        assert answers(again) == {"first": "a", "second": "b"}


def test_polls_grow_further_apart_and_begin_anew_with_a_request() -> None:
    meeting, pauses = sent(Meeting(), "one", START), []
    for _ in range(10):
        at = meeting.next_poll
        pauses.append(at - meeting.polled_at)
        meeting = meeting.polled(at)
    assert pauses == [60, 60, 120, 300, 600, 900, 1800, 3600, 3600, 3600]
    assert sent(meeting, "two", START + 9000).next_poll == START + 9001 + 60


@given(st.permutations(["a", "b", "c"]), st.integers(1, 3))
def test_order_in_which_replies_are_told_of_together_does_not_matter(names: list[str], count: int) -> None:
    times = {"a": START + 200, "b": START + 201, "c": START + 202}
    meeting = Meeting()
    for number in range(count):
        meeting = sent(meeting, f"request-{number}", START + number)
    assert answers(meeting.hear(*(reply(name, times[name]) for name in names))) == dict(
        zip((f"request-{number}" for number in range(count)), "abc", strict=False)
    )


class Waiting(RuleBasedStateMachine):
    """Everything that can happen to a device, in any order and again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.meeting = Meeting()
        self.heard: dict[str, DeviceReply] = {}
        self.begun: dict[str, float] = {}
        self.ended: dict[str, float | None] = {}
        """When each was sent; None if it was not."""
        self.told: dict[str, set[str | None]] = {}
        """What the tasks of each were told: the reply, or None."""
        self.given: dict[str, set[str]] = {}
        """The requests that each reply was an answer to."""

    def change(self, step: Callable[[Meeting], Meeting]) -> None:
        changed = step(self.meeting).pruned(self.now)
        # As the table has it.
        self.meeting = msgspec.json.decode(msgspec.json.encode(changed), type=Meeting)

    @rule(seconds=st.sampled_from([0.1, 5.0, 100.0, 700.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(number=st.integers(0, 3), may_be_sent=st.booleans())
    def post(self, number: int, may_be_sent: bool) -> None:
        request_id = f"request-{number}"
        if request_id not in self.ended:
            self.begun.setdefault(request_id, self.now)
            self.change(lambda known: known.expect(request_id, self.now, may_be_sent=may_be_sent))

    @rule(number=st.integers(0, 3))
    def tell_that_it_was_sent(self, number: int) -> None:
        request_id = f"request-{number}"
        if request_id in self.begun and self.ended.setdefault(request_id, self.now) is not None:
            at = self.ended[request_id] or 0.0
            self.change(lambda known: known.sent(request_id, at, WAIT, frozenset({f"token-{number}"})))

    @rule(number=st.integers(0, 3))
    def tell_that_it_was_not_sent(self, number: int) -> None:
        request_id = f"request-{number}"
        if request_id in self.begun and self.ended.setdefault(request_id, None) is None:
            self.change(lambda known: known.withdraw(request_id))

    @rule(age=st.sampled_from([0.0, 1.0, 50.0, 650.0]))
    def hear(self, age: float) -> None:
        new = reply(f"reply-{len(self.heard)}", self.now - age)
        self.heard[new.event_id] = new
        self.change(lambda known: known.hear(new))

    @rule(data=st.data())
    def hear_again(self, data: st.DataObject) -> None:
        if self.heard:
            known_reply = self.heard[data.draw(st.sampled_from(sorted(self.heard)))]
            self.change(lambda known: known.hear(known_reply))

    @rule()
    def expire(self) -> None:
        self.change(lambda known: known.expire(self.now))

    @rule(is_noted=st.booleans())
    def tell(self, is_noted: bool) -> None:
        for verdict in self.meeting.verdicts:
            self.note(verdict)
            if is_noted:
                self.change(lambda known, verdict=verdict: known.told(verdict))  # type: ignore[misc]

    def note(self, verdict: Verdict) -> None:
        request_id, answer = verdict.ask.request_id, verdict.reply
        self.told.setdefault(request_id, set()).add(answer.event_id if answer else None)
        if answer:
            self.given.setdefault(answer.event_id, set()).add(request_id)
            assert answer.received_at >= self.begun[request_id] - CLOCK_TOLERANCE
            assert answer.received_at <= (self.ended[request_id] or 0.0) + WAIT

    @invariant()
    def one_reply_is_one_requests(self) -> None:
        assert all(len(requests) == 1 for requests in self.given.values())

    @invariant()
    def nobody_is_told_whose_message_was_not_sent(self) -> None:
        assert all(self.ended[request_id] is not None for request_id in self.told)

    @invariant()
    def none_that_waits_is_forgotten(self) -> None:
        # Each request that was sent and has no outcome yet is there, with an end of its time that a function looks at.
        left = {ask.request_id for ask in self.meeting.asks if ask.tokens}
        waiting = {request_id for request_id, at in self.ended.items() if at is not None}
        assert waiting - set(self.told) <= left


TestWaiting = Waiting.TestCase
