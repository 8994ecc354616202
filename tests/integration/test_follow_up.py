"""Receipts by the scheduled function: what it asks and within which limits, and what it leaves for later."""

from __future__ import annotations

import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cube_sms.delivery import Asks, Device, Meeting, State
from cube_sms.followup.shift import SHIFT_KEY
from cube_sms.pacing.leases import LEASES_KEY
from cube_sms.platform import DAY
from cube_sms.provider.v4.lists import PAGE_SIZE
from functions.follow_up import app
from tests.integration.deployment import TABLE
from tests.support import Context
from tests.v4_account import ENTRY, KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cube_sms.delivery import Record
    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment
    from tests.support import Printed

FLEET = "fleet"
TEXT = "Report your position"


class Fleet(NamedTuple):
    """A deployment with receipts, in front of a provider."""

    gateway: Deployment
    cube: CubeSimulator

    def configure(self, **environment: str) -> None:
        """Change the functions' environment."""
        self.gateway.configure(**environment)
        app.work.cache_clear()

    def send(self, device: str, content: str = TEXT) -> str:
        """Send a message, and return its request id."""
        request_id = f"order-{uuid.uuid4().hex}"
        message = {"deviceId": device, "content": content, "account": FLEET, "requestId": request_id}
        assert self.gateway.post(message).status == 200
        return request_id

    def record(self, request_id: str) -> Record:
        """Return the record of a message."""
        return self.gateway.record(request_id, FLEET)

    def change(self, request_id: str, update: str, **values: Any) -> None:
        """Change a record by hand."""
        self.gateway.dynamodb.update_item(
            TableName=TABLE,
            Key={"messageId": {"S": f"{FLEET}#{request_id}"}},
            UpdateExpression=update,
            ExpressionAttributeValues={f":{name}": value for name, value in values.items()},
        )

    def follow_up(self, *request_ids: str, seconds_left: float = 60.0) -> list[State]:
        """Let receipts of messages be due and the function run, and return the states after that."""
        for number, request_id in enumerate(request_ids):
            self.change(request_id, "SET dueAt = :past", past={"N": f"{time.time() - 100 + number:.3f}"})
        app.handler({}, Context(seconds_left))
        return [self.record(request_id).state for request_id in request_ids]

    @property
    def asked(self) -> int:
        """How many questions the provider has had."""
        return int(self.cube.stats()["read"])


@pytest.fixture
def fleet(gateway: Deployment, cube: CubeSimulator) -> Iterator[Fleet]:
    gateway.set_entries(**{FLEET: ENTRY})
    fleet = Fleet(gateway, cube)
    fleet.configure(RECEIPTS="true", EVENT_BUS="cube-sms")
    yield fleet
    app.work.cache_clear()


def a_device() -> str:
    return f"8931{uuid.uuid4().int % 10**16:016d}"


def test_one_question_is_for_all_messages_of_a_device_that_are_due(fleet: Fleet) -> None:
    # Given messages to two devices
    devices = [a_device(), a_device()]
    request_ids = [fleet.send(device, f"{TEXT} {number}") for number in range(2) for device in devices]
    # When all are due
    assert fleet.follow_up(*request_ids) == [State.DELIVERED] * 4
    # Then each device was asked about once
    assert fleet.asked == 2


def test_message_is_not_asked_for_before_it_is_due(fleet: Fleet) -> None:
    request_id = fleet.send(a_device())
    before = time.time()
    app.handler({}, Context(60.0))
    assert (fleet.record(request_id).state, fleet.asked) == (State.SENT, 0)
    assert 0 < (fleet.record(request_id).due_at or 0.0) - before <= 30


def test_list_of_several_pages_is_read_whole(fleet: Fleet) -> None:
    # Given a device with more messages than a page has
    device = a_device()
    request_ids = [fleet.send(device, f"{TEXT} {number}") for number in range(PAGE_SIZE + 1)]
    # When the oldest is due, which is on the last page
    assert fleet.follow_up(request_ids[0]) == [State.DELIVERED]
    assert fleet.asked == 2


def test_deployment_without_receipts_asks_for_none(fleet: Fleet) -> None:
    fleet.configure(RECEIPTS="false")
    request_id = fleet.send(a_device())
    assert (fleet.record(request_id).due_at, fleet.record(request_id).content_hash) == (None, None)


def test_what_is_no_answer_is_asked_for_again_later(fleet: Fleet, printed: Callable[[], Printed]) -> None:
    # Given a device that the provider has moved to another organisation
    device, other = a_device(), a_device()
    request_id, well = fleet.send(device), fleet.send(other)
    fleet.cube.configure(foreign_devices=[device])
    printed()
    # When receipts are asked for
    assert fleet.follow_up(request_id, well) == [State.SENT, State.DELIVERED]
    # Then the log says why, the others are asked about, and this one is later
    output = printed()
    assert output.values("ReceiptsFailed", FLEET) == [1]
    (line,) = [line for line in output.logs if line["message"] == "no receipts"]
    assert line["error"].startswith("CubeRecipientRejected: ")
    assert device not in str(line)
    assert (fleet.record(request_id).due_at or 0.0) > time.time()
    fleet.cube.configure(foreign_devices=[])
    assert fleet.follow_up(request_id) == [State.DELIVERED]


def test_credentials_that_are_refused_are_fetched_afresh(fleet: Fleet) -> None:
    # Given an account whose key is another one now
    request_id = fleet.send(a_device())
    fleet.configure(RECEIPTS="true", EVENT_BUS="cube-sms")
    fleet.cube.configure(keys={})
    assert fleet.follow_up(request_id) == [State.SENT]
    # When the provider knows it
    fleet.cube.configure(keys={ENTRY["key_id"]: KEY.public})
    assert fleet.follow_up(request_id) == [State.DELIVERED]


def test_account_without_credentials_is_asked_for_again_later(fleet: Fleet, printed: Callable[[], Printed]) -> None:
    request_id = fleet.send(a_device())
    fleet.configure(RECEIPTS="true", EVENT_BUS="cube-sms")
    fleet.gateway.set_entries(another=ENTRY)
    printed()
    assert fleet.follow_up(request_id) == [State.SENT]
    assert printed().values("ReceiptsFailed", FLEET) == [1]
    assert (fleet.record(request_id).due_at or 0.0) > time.time()


def test_account_that_has_moved_to_the_older_dialect_cannot_be_asked(fleet: Fleet) -> None:
    request_id = fleet.send(a_device())
    fleet.configure(RECEIPTS="true", EVENT_BUS="cube-sms")
    fleet.gateway.set_accounts(fleet=("P1", "secret"))
    assert fleet.follow_up(request_id) == [State.SENT]
    assert (fleet.record(request_id).due_at or 0.0) > time.time()


def test_record_that_somebody_has_damaged_is_told_once(fleet: Fleet, printed: Callable[[], Printed]) -> None:
    # Given a record that cannot be read, and one that can
    damaged, well = fleet.send(a_device()), fleet.send(a_device())
    fleet.change(damaged, "SET createdAt = :text", text={"S": "yesterday"})
    for request_id in (damaged, well):
        fleet.change(request_id, "SET dueAt = :past", past={"N": "1"})
    printed()
    # When they are looked at twice
    app.handler({}, Context(60.0))
    app.handler({}, Context(60.0))
    # Then it is reported once, and the other is known
    assert printed().values("RecordsDamaged", "all") == [1]
    assert fleet.record(well).state is State.DELIVERED


def test_who_waits_for_a_reply_is_left_alone_if_replies_were_turned_off(fleet: Fleet) -> None:
    # Given a request that waited for a reply, whose time is over, and a message that is due
    asks, device = Asks(fleet.gateway.dynamodb, TABLE), Device(FLEET, a_device())
    sent = partial(Meeting.sent, request_id="one", at=time.time() - 700, seconds=600.0, tokens=frozenset({"token"}))
    waiting = asks.change(device, sent)
    request_id = fleet.send(a_device())
    # When the function runs, which may answer no task then
    assert fleet.follow_up(request_id) == [State.DELIVERED]
    # Then it has left the request as it was
    assert asks.meeting(device) == waiting


class TestLimits:
    def test_share_of_the_quota_bounds_it_and_the_rest_stays_due(
        self, fleet: Fleet, printed: Callable[[], Printed]
    ) -> None:
        # Given a share of a hundred questions a day, of which all but one are used up
        fleet.configure(CUBE_DAILY_QUOTA="500", RECEIPT_QUOTA_PERCENT="20")
        request_ids = [fleet.send(a_device()) for _ in range(3)]
        now = time.time()
        used = int(100 * (now % DAY + 3600) / DAY)
        item = {"day": {"N": str(int(now // DAY))}, "asked": {"N": str(min(99, used))}}
        fleet.gateway.dynamodb.put_item(TableName=TABLE, Item={"messageId": {"S": SHIFT_KEY}, **item})
        printed()
        # When three devices are to be asked about, then one is, the one that has been due for the longest
        assert fleet.follow_up(*request_ids) == [State.DELIVERED, State.SENT, State.SENT]
        assert fleet.asked == 1
        # And the others are still due
        assert all((fleet.record(each).due_at or 0.0) < time.time() for each in request_ids[1:])
        reasons = [line["reason"] for line in printed().logs if line["message"] == "not asked now"]
        assert reasons == ["the share of the quota is used up"]

    def test_closed_gate_ends_a_run(self, fleet: Fleet) -> None:
        fleet.configure(CUBE_MAX_QPS="50")
        request_ids = [fleet.send(a_device()) for _ in range(3)]
        # When the provider throttles the first question
        fleet.cube.configure(quota=1)
        assert fleet.follow_up(*request_ids) == [State.SENT] * 3
        # Then it is asked nothing more, and the others are still due
        assert fleet.asked == 1
        assert [(fleet.record(each).due_at or 0.0) < time.time() for each in request_ids] == [False, True, True]

    def test_connection_is_one_of_those_that_calls_share(self, fleet: Fleet) -> None:
        # Given the only connection, which a call of the API has
        fleet.configure(CUBE_MAX_CONNECTIONS="3", API_CONNECTIONS="1")
        request_id = fleet.send(a_device())
        taken = {"messageId": {"S": LEASES_KEY}, "place0": {"S": f"{time.time() + 30:.3f} another"}}
        fleet.gateway.dynamodb.put_item(TableName=TABLE, Item=taken)
        # When a receipt is due, then the provider is asked only after the call is over
        assert fleet.follow_up(request_id) == [State.SENT]
        assert fleet.asked == 0
        fleet.gateway.dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": LEASES_KEY}})
        assert fleet.follow_up(request_id) == [State.DELIVERED]
        # And no connection stays open
        place = fleet.gateway.dynamodb.get_item(TableName=TABLE, Key={"messageId": {"S": LEASES_KEY}})["Item"]
        assert "place0" not in place

    def test_run_ends_in_time_and_the_rest_stays_due(self, fleet: Fleet) -> None:
        request_id = fleet.send(a_device())
        assert fleet.follow_up(request_id, seconds_left=10.0) == [State.SENT]
        assert fleet.asked == 0
        assert fleet.follow_up(request_id) == [State.DELIVERED]

    def test_another_run_that_is_under_way_is_left_alone(self, fleet: Fleet) -> None:
        request_id = fleet.send(a_device())
        item = {"until": {"N": str(time.time() + 60)}, "worker": {"S": "another"}}
        fleet.gateway.dynamodb.put_item(TableName=TABLE, Item={"messageId": {"S": SHIFT_KEY}, **item})
        assert fleet.follow_up(request_id) == [State.SENT]
        assert fleet.asked == 0
