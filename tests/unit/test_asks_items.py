"""The items of devices that somebody waits for: written by several at once, found when due, spoiled by hand."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING

import pytest

from cube_sms.delivery.asks.ask import DeviceReply
from cube_sms.delivery.asks.meeting import MOST_ASKS, MOST_CHARACTERS, Meeting
from cube_sms.delivery.asks.store import WAITING_KEY, Asks, Device
from cube_sms.delivery.errors import DeviceBusyError, SpoiledRecordError
from cube_sms.platform.due import due_keys
from cube_sms.platform.errors import RecordsUnavailableError
from tests.support import START
from tests.unit.records_table import TABLE, answer_lost, forestalled

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.support import Clock

WAIT = 600.0
numbers = itertools.count(1)


@pytest.fixture
def device() -> Device:
    return Device("default", f"8931440400093996{next(numbers):04}")


@pytest.fixture
def asks(dynamodb: DynamoDBClient, clock: Clock) -> Asks:
    return Asks(dynamodb, TABLE, clock=clock)


def reply(name: str, at: float) -> DeviceReply:
    return DeviceReply(event_id=name, received_at=at, message_type="Text", content="Door closed")


def ask(asks: Asks, device: Device, request_id: str = "one") -> Meeting:
    """Post a request, and record that it was sent."""
    asks.expect(device, request_id, may_be_sent=False)
    return asks.change(device, lambda known: known.sent(request_id, START, WAIT, frozenset({f"token of {request_id}"})))


def due(dynamodb: DynamoDBClient, at: float) -> list[str]:
    return due_keys(dynamodb, TABLE, WAITING_KEY, at, most=100)


class TestItem:
    def test_is_not_written_if_nobody_waits(self, asks: Asks, device: Device, dynamodb: DynamoDBClient) -> None:
        heard = asks.change(device, lambda known: known.hear(reply("a", START)))
        assert heard == Meeting()
        assert "Item" not in dynamodb.get_item(TableName=TABLE, Key={"messageId": {"S": device.key}})

    def test_holds_what_was_written(self, asks: Asks, device: Device) -> None:
        written = ask(asks, device)
        assert asks.meeting(device) == written
        assert asks.meeting(Device("fleet", device.device_id)) == Meeting()

    def test_is_empty_when_all_is_over(self, asks: Asks, device: Device, clock: Clock) -> None:
        meeting = ask(asks, device)
        clock.now += WAIT
        (verdict,) = asks.change(device, lambda known: known.expire(clock.now)).verdicts
        assert asks.change(device, lambda known: known.told(verdict)) == Meeting()
        assert meeting.asks

    def test_has_neither_content_nor_token_in_what_shows_it(self, asks: Asks, device: Device) -> None:
        ask(asks, device)
        shown = repr(asks.change(device, lambda known: known.hear(reply("a", START + 1))))
        assert "Door closed" not in shown
        assert "token of" not in shown

    @pytest.mark.parametrize("write", [1, 2])
    def test_keeps_what_two_write_at_once(
        self, asks: Asks, device: Device, dynamodb: DynamoDBClient, write: int
    ) -> None:
        # Given somebody who is faster
        other = partial(ask, asks, device, "other")
        with forestalled(dynamodb, write, other):
            ask(asks, device)
        # Then both are there
        assert {each.request_id for each in asks.meeting(device).open_asks} == {"one", "other"}

    def test_gives_a_reply_to_one_of_two_that_are_told_of_it_at_once(
        self, asks: Asks, device: Device, dynamodb: DynamoDBClient
    ) -> None:
        ask(asks, device)
        ask(asks, device, "two")
        hear = partial(asks.change, device, lambda known: known.hear(reply("a", START + 1)))
        with forestalled(dynamodb, 1, hear):
            meeting = hear()
        assert [verdict.ask.request_id for verdict in meeting.verdicts] == ["one"]

    def test_is_written_once_if_the_answer_is_lost(self, asks: Asks, device: Device, dynamodb: DynamoDBClient) -> None:
        with answer_lost(dynamodb) as statuses:
            meeting = asks.expect(device, "one", may_be_sent=False)
        assert len(statuses) >= 2
        assert [each.request_id for each in meeting.asks] == ["one"]
        assert asks.meeting(device) == meeting

    def test_is_given_up_if_others_write_again_and_again(
        self, asks: Asks, device: Device, dynamodb: DynamoDBClient
    ) -> None:
        count = itertools.count()

        def step(known: Meeting) -> Meeting:
            # Another one between each read and its write
            dynamodb.update_item(
                TableName=TABLE,
                Key={"messageId": {"S": device.key}},
                UpdateExpression="SET version = :version, meeting = :meeting",
                ExpressionAttributeValues={":version": {"S": str(next(count))}, ":meeting": {"S": "{}"}},
            )
            return known.expect("one", START, may_be_sent=False)

        with pytest.raises(RecordsUnavailableError):
            asks.change(device, step)

    @pytest.mark.parametrize("spoiled", [{"S": "{"}, {"S": '{"asks": 1}'}, {"N": "1"}, None])
    def test_that_somebody_has_spoiled_is_named(
        self, asks: Asks, device: Device, dynamodb: DynamoDBClient, spoiled: dict[str, str] | None
    ) -> None:
        item = {"messageId": {"S": device.key}, **({"meeting": spoiled} if spoiled else {})}
        dynamodb.put_item(TableName=TABLE, Item=item)
        with pytest.raises(SpoiledRecordError, match="meeting: is not as the gateway writes it") as caught:
            asks.change(device, lambda known: known)
        assert caught.value.message_id == device.key

    def test_takes_so_many_requests_and_no_more(self, asks: Asks, device: Device, clock: Clock) -> None:
        for number in range(MOST_ASKS):
            ask(asks, device, f"request-{number}")
        with pytest.raises(DeviceBusyError):
            asks.expect(device, "one-more", may_be_sent=False)
        # One that is there already is posted again
        asks.expect(device, "request-7", may_be_sent=True)
        # And when the time of the others is over, there is room
        clock.now += WAIT
        for verdict in asks.change(device, lambda known: known.expire(clock.now)).verdicts:
            asks.change(device, partial(Meeting.told, verdict=verdict))
        asks.expect(device, "one-more", may_be_sent=False)

    def test_keeps_no_more_than_an_item_has_room_for(
        self, asks: Asks, device: Device, clock: Clock, dynamodb: DynamoDBClient
    ) -> None:
        # Given a request before its message is known to be sent
        asks.expect(device, "one", may_be_sent=False)
        # When its device sends long messages again and again, of characters that need the most bytes
        for number in range(8):
            said = DeviceReply(
                event_id=str(number), received_at=clock.now + number, message_type="Text", content="\x01" * 10_000
            )
            asks.change(device, lambda known, said=said: known.hear(said))  # type: ignore[misc]
        # Then the first ones are there, and the first of them is the reply
        assert len(asks.meeting(device).replies) == MOST_CHARACTERS // 10_000
        meeting = asks.change(device, lambda known: known.sent("one", clock.now + 1, WAIT, frozenset({"token"})))
        assert [verdict.reply and verdict.reply.event_id for verdict in meeting.verdicts] == ["0"]
        # And there is room for other requests
        for number in range(MOST_ASKS - 1):
            ask(asks, device, f"{number:01000}")


class TestDue:
    def test_is_nothing_before_it_is_known_that_a_message_was_sent(
        self, asks: Asks, device: Device, dynamodb: DynamoDBClient
    ) -> None:
        asks.expect(device, "one", may_be_sent=False)
        assert device.key not in due(dynamodb, START + 10**9)

    def test_is_the_end_of_the_time(self, asks: Asks, device: Device, dynamodb: DynamoDBClient) -> None:
        ask(asks, device)
        assert device.key not in due(dynamodb, START + WAIT - 1)
        assert device.key in due(dynamodb, START + WAIT)

    def test_is_what_was_decided_and_not_told(
        self, asks: Asks, device: Device, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        ask(asks, device)
        clock.now += 10
        meeting = asks.change(device, lambda known: known.hear(reply("a", START + 5)))
        assert device.key in due(dynamodb, START + 10 + 60)
        # And after its task has the reply, nothing is due
        asks.change(device, lambda known: known.told(meeting.verdicts[0]))
        assert device.key not in due(dynamodb, START + 10**9)

    def test_is_a_poll_where_the_provider_is_asked(
        self, device: Device, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        ask(Asks(dynamodb, TABLE, is_polled=True, clock=clock), device)
        assert device.key not in due(dynamodb, START + 59)
        assert device.key in due(dynamodb, START + 60)
