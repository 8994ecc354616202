"""Whose receipt it is: never more messages are delivered than the provider says, whatever is asked for when."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cube_sms.delivery import Record, State, content_hash
from cube_sms.followup.matching import TOLERANCE, final_receipts, match_receipts, window
from cube_sms.platform import rfc3339
from cube_sms.provider import Receipt
from tests.support import DEVICE, START

ACCOUNT = "fleet"
TEXTS = ("open", "close")
each_run = settings(max_examples=300)

# Few moments and texts, so that many are alike.
moments = st.sampled_from([0.0, 1.0, 2.0, 300.0, TOLERANCE + 100.0, 3 * TOLERANCE])
ends = st.sampled_from([True, False, None])
told = st.builds(Receipt, moments.map(lambda moment: START + moment), st.just("Text"), st.sampled_from(TEXTS), ends)


def record(number: int, text: str = "open", begun: float = 0.0, took: float = 1.0, kind: Any = "Text") -> Record:
    return Record(
        message_id=f"{ACCOUNT}#order-{number}",
        state=State.SENT,
        attempts=1,
        request_hash="",
        device_id=DEVICE,
        created_at=rfc3339(START),
        updated_at=rfc3339(START + begun + took),
        begun_at=rfc3339(START + begun),
        owner="",
        content_hash=content_hash(kind, text),
    )


def receipt(text: str = "open", at: float = 0.0, is_delivered: bool | None = True) -> Receipt:
    return Receipt(START + at, "Text", text, is_delivered)


def matched(records: list[Record], *receipts: Receipt, used: set[str] | None = None) -> dict[str, Receipt]:
    matches = match_receipts(records, final_receipts(ACCOUNT, DEVICE, receipts), used or set())
    return {match.record.message_id.partition("#")[2]: match.final.receipt for match in matches}


@each_run
@given(
    st.lists(st.tuples(st.sampled_from(TEXTS), moments), max_size=6),
    st.lists(told, max_size=6),
    st.lists(st.tuples(st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)), st.randoms()), min_size=1, max_size=5),
)
def test_no_more_messages_end_than_the_provider_says(
    sent: list[tuple[str, float]], receipts: list[Receipt], runs: list[tuple[set[int], set[int], Any]]
) -> None:
    # Given messages, and receipts in any number: of ours, of others, of none
    left = {number: record(number, text, moment) for number, (text, moment) in enumerate(sent)}
    used: set[str] = set()
    ended: list[tuple[Record, Receipt]] = []
    # When some of them are due in each of several runs, and each run is told of some more receipts in any order
    known: set[int] = set()
    for due, news, random in runs:
        known |= news
        listed = [each for number, each in enumerate(receipts) if number in known]
        random.shuffle(listed)
        matches = match_receipts(
            [left[number] for number in due if number in left], final_receipts(ACCOUNT, DEVICE, listed), used
        )
        # Then no receipt is used twice, nor has a message two
        keys = [match.final.key for match in matches]
        assert len(set(keys)) == len(keys)
        assert used.isdisjoint(keys)
        used |= set(keys)
        for match in matches:
            del left[int(match.record.message_id.rpartition("-")[2])]
            ended.append((match.record, match.final.receipt))
    # And of each text there are no more of either end than the provider says
    said = Counter((content_hash(each.message_type, each.text), each.is_delivered) for each in receipts)
    assert not Counter((str(each.content_hash), its.is_delivered) for each, its in ended) - said
    # And each fits its message in time
    assert all(window(each)[0] <= its.sent_at <= window(each)[1] for each, its in ended)


@each_run
@given(st.lists(told, max_size=8), st.randoms())
def test_order_of_the_list_does_not_matter(receipts: list[Receipt], random: Any) -> None:
    shuffled = list(receipts)
    random.shuffle(shuffled)
    names = [{each.key for each in final_receipts(ACCOUNT, DEVICE, some)} for some in (receipts, shuffled)]
    assert names[0] == names[1]
    # Those that are final have a name each
    assert len(names[0]) == sum(each.is_delivered is not None for each in receipts)


def test_oldest_message_has_the_oldest_receipt() -> None:
    found = matched([record(2, begun=60), record(1)], receipt(at=61, is_delivered=False), receipt(at=1))
    assert {name: each.is_delivered for name, each in found.items()} == {"order-1": True, "order-2": False}


def test_receipt_that_has_been_used_is_not_taken_again() -> None:
    # Given two messages that are alike, the second of which has taken the one receipt in an earlier run
    (final,) = final_receipts(ACCOUNT, DEVICE, [receipt()])
    assert matched([record(1)], receipt(), used={final.key}) == {}
    # And when there is one more, it is the first one's
    assert matched([record(1)], receipt(), receipt(), used={final.key}).keys() == {"order-1"}


def test_what_is_not_over_or_of_another_content_is_no_receipt_of_it() -> None:
    others = [receipt(is_delivered=None), receipt("close"), Receipt(START, "Binary", "open", True)]
    assert matched([record(1)], *others) == {}


def test_digits_are_the_same_in_either_case() -> None:
    assert matched([record(1, "0aff", kind="Binary")], Receipt(START, "Binary", "0AFF", True)).keys() == {"order-1"}
    assert matched([record(1, "open")], receipt("OPEN")) == {}


def test_time_has_to_fit_with_a_tolerance_on_both_sides() -> None:
    for at, fits in ((-TOLERANCE - 1, False), (-TOLERANCE, True), (TOLERANCE + 1, True), (TOLERANCE + 2, False)):
        assert bool(matched([record(1)], receipt(at=at))) is fits, at
