"""Which messages share a query: a partition that keeps every order there is."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from cube_sms.delivery.groups import Share, group_turns, share_of
from tests.support import send_request


class Item(NamedTuple):
    """A message: its place in the batch, where it goes, what it says; and how many of its kind share a query."""

    place: int
    device: str
    text: str
    most: int

    @property
    def share(self) -> Share | None:
        return Share((self.text, self.most), self.device, self.most) if self.most > 1 else None


def items(place: int, drawn: tuple[str, str, int]) -> Item:
    return Item(place, *drawn)


DRAWN = st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["X", "Y"]), st.sampled_from([1, 2, 3, 100]))
BATCHES = st.lists(st.lists(DRAWN, min_size=1, max_size=4), max_size=30).map(
    lambda sequences: [
        [items(100 * number + place, drawn) for place, drawn in enumerate(sequence)]
        for number, sequence in enumerate(sequences)
    ]
)


@given(BATCHES)
def test_every_message_is_in_one_group_with_those_that_it_may_share_a_query_with(batch: list[list[Item]]) -> None:
    turns = group_turns(batch, lambda item: item.share)
    groups = [group for turn in turns for group in turn]
    # Then each is there once
    assert sorted(item for group in groups for item in group) == sorted(item for sequence in batch for item in sequence)
    for group in groups:
        # And no device is twice in a query, nor more of them than it takes
        devices = [item.device for item in group]
        assert len(set(devices)) == len(devices)
        assert len(group) <= min(item.most for item in group)
        # And all of them say the same
        assert len({item.share and item.share.key for item in group}) == 1
        assert len(group) == 1 or group[0].share


@given(BATCHES)
def test_messages_of_a_sequence_go_one_after_the_other(batch: list[list[Item]]) -> None:
    turns = group_turns(batch, lambda item: item.share)
    where = {
        item: (number, place) for number, turn in enumerate(turns) for place, group in enumerate(turn) for item in group
    }
    for sequence in batch:
        for before, after in pairwise(sequence):
            assert where[before][0] == where[after][0]
            assert where[before][1] < where[after][1]


@given(st.integers(1, 350), st.integers(2, 100))
def test_groups_are_as_full_as_they_can_be(number: int, most: int) -> None:
    batch = [[Item(place, str(place), "X", most)] for place in range(number)]
    turns = group_turns(batch, lambda item: item.share)
    sizes = [len(group) for turn in turns for group in turn]
    assert sizes == [most] * (number // most) + [number % most] * (number % most > 0)


def test_messages_share_a_query_if_all_but_the_device_is_alike() -> None:
    one = send_request("Wake up")
    another = send_request("Wake up", deviceId="8931440400093995221", requestId="order-2", taskToken="token")
    others = [
        send_request("Go to sleep"),
        send_request("Wake up", account="fleet"),
        send_request("00ff", messageType="Binary"),
        send_request("00ff"),
        send_request("Wake up", delivery="at-most-once"),
        send_request("Wake up", priority="bulk"),
        send_request(smsContentList=[{"smsTemplateContent": "Wake up"}]),
        send_request(smsContentList=[{"smsTemplateContent": "Go to sleep"}]),
    ]
    shares = [share_of(each, 100) for each in [one, another, *others]]
    keys = [share.key for share in shares if share]
    # Then those two share one, and each of the others goes with none of them
    assert keys[0] == keys[1]
    assert len(set(keys)) == 1 + len(others)
    assert [share.device for share in shares if share][:2] == [one.device_id, another.device_id]
    # And none does of an account whose queries take one message
    assert share_of(one, 1) is None
