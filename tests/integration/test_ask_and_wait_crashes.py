"""Crashes while a task waits for a device's reply: before and after everything that changes something in AWS.

What crashes is started again, as SQS, the stream, the provider and the schedule would do it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import pytest
from botocore.config import Config

from cube_sms.delivery import WAITING_KEY, Asks, Device, Received, ReplyTaker, Sender
from cube_sms.delivery.asks.telling import NO_REPLY
from cube_sms.delivery.records import RecordStore
from cube_sms.followup import Asker, FollowUp, ReplyFollower, Shift, Told
from cube_sms.followup.replies import LAST_LOOK_PATIENCE
from cube_sms.outcomes import OutcomePublisher
from cube_sms.pacing import ConnectionLeases, Gate, Pause, order_pause
from cube_sms.platform import DAY, EventBus, Tasks, due_keys
from cube_sms.provider import CredentialStore, CubeAnswer, CubeError, CubeUnavailable, Heard, ListPage
from tests.event_services import EventServices
from tests.fake_provider import FakeProvider
from tests.integration.deployment import SECRET_ID, TABLE
from tests.streams import TableStream, passes, template_filters
from tests.support import ACCESS_CODE, SECRET, Clock, create_messages_table, send_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cube_sms.provider import Credentials, Line, Listing

LEASE, WAIT = 30.0, 600
TEXT = "Door closed"
REQUEST = send_request(taskToken="token", awaitReply=WAIT)
DEVICE = Device("default", REQUEST.device_id)
ANSWER = CubeAnswer("0000", None, 0.1)


# The calls by which the processes of this story change something, or report it to others.
CHANGES = {"UpdateItem", "PutEvents", "SendTaskSuccess", "SendTaskFailure"}


class CrashError(BaseException):
    """The process crashes: only the test catches this."""


class Crash(NamedTuple):
    """When a process crashes: at which call that changes something, and whether AWS has made it."""

    call: int
    is_made: bool


class PolledProvider(FakeProvider):
    """A provider that lists what a device has said."""

    def __init__(self, heard: list[Heard], refusal: CubeError | None) -> None:
        super().__init__(ANSWER)
        self._heard, self._refusal = heard, refusal

    def lists(self, credentials: Credentials) -> Any:
        return self

    def heard(self, listing: Listing[Any], *, over: Line, left: Callable[[], None]) -> ListPage[Heard]:
        left()
        if self._refusal:
            raise self._refusal
        found = tuple(each for each in self._heard if listing.since <= each.received_at / 1000 <= listing.until)
        return ListPage(found, len(found), len(found), ANSWER)


class World:
    """Everything that has to do with one request, and crashes once."""

    def __init__(self, crash: Crash | None, *, is_polled: bool = False) -> None:
        self.clock, self.is_polled = Clock(), is_polled
        self.calls, self._crash = 0, crash
        dynamodb = boto3.client("dynamodb")
        create_messages_table(dynamodb, TABLE)
        account = {"access_code": ACCESS_CODE, "secret": SECRET}
        boto3.client("secretsmanager").create_secret(Name=SECRET_ID, SecretString=json.dumps({"default": account}))
        make: Any = boto3.client
        streams = make("dynamodbstreams", config=Config(account_id_endpoint_mode="disabled"))
        self._stream = TableStream(streams, dynamodb.describe_table(TableName=TABLE)["Table"]["LatestStreamArn"])
        self._iterator = self._stream.end()
        self._heard: list[Heard] = []
        self.refusal: CubeError | None = None
        assert boto3.DEFAULT_SESSION
        self._hooks = boto3.DEFAULT_SESSION.events
        self.services = EventServices(self._hooks)
        self._hooks.register("before-call", self._before)
        self._hooks.register("after-call", self._after)
        # Made after the hooks, which they take along.
        self.events, self.step_functions = boto3.client("events"), boto3.client("stepfunctions")
        self.dynamodb, self.secrets = boto3.client("dynamodb"), boto3.client("secretsmanager")

    def delete(self) -> None:
        """Leave nothing behind."""
        self._hooks.unregister("before-call", self._before)
        self._hooks.unregister("after-call", self._after)
        self.services.stop()
        self.dynamodb.delete_table(TableName=TABLE)
        self.secrets.delete_secret(SecretId=SECRET_ID, ForceDeleteWithoutRecovery=True)

    def _before(self, model: Any, **_: Any) -> None:
        self.calls += model.name in CHANGES
        if model.name in CHANGES and self._crash == Crash(self.calls, False):
            raise CrashError

    def _after(self, model: Any, **_: Any) -> None:
        if model.name in CHANGES and self._crash == Crash(self.calls, True):
            raise CrashError

    def do(self, step: Callable[[], object], *, follows: bool = False) -> None:
        """Do something to its end, however often it has to be begun."""
        while True:
            try:
                step()
            except CrashError:
                self.clock.now += LEASE + 20
                if follows:
                    self.do(self.follow)
            else:
                return

    # ── What is done: each time by a new process without memory ──

    def send(self) -> None:
        """Take the message from the queue."""
        provider = PolledProvider(self._heard, self.refusal) if self.is_polled else FakeProvider(ANSWER)
        records = RecordStore(self.dynamodb, TABLE, lease=LEASE, retention=DAY, clock=self.clock)
        sender = Sender(
            provider, self._credentials(), records, self._gate(), max_attempts=9, asks=self._asks(), **self._time()
        )
        while not sender.send(REQUEST).state.is_final:
            self.clock.now += LEASE

    def tell(self) -> None:
        """Read the stream."""
        changes, after = self._stream.follow(self._iterator)
        publisher = OutcomePublisher(self._bus(), self._tasks(), self._asks(), clock=self.clock)
        # moto reports an item that UpdateItem makes twice, first without anything in it.
        whole = [each for each in changes if "ttl" in each["dynamodb"].get("NewImage", {})]
        published = list(publisher.publish([each for each in whole if passes(FILTERS, each)]))
        assert [each for each in published if each.comes_again] == []
        self._iterator = after

    def answer(self) -> None:
        """Let the device say something: the provider has it from now on."""
        self._heard.append(Heard(int(self.clock.now * 1000), "Text", TEXT))

    def call_back(self) -> None:
        """Take the provider's callback."""
        (said,) = self._heard
        received = Received(*DEVICE, said.message_type, said.text, said.received_at)
        assert ReplyTaker(self._asks(), self._bus(), self._tasks()).take(DEVICE, [received]).error is None

    def follow(self) -> list[Told]:
        """Look at what is due."""
        shift = Shift(self.dynamodb, TABLE, 0, clock=self.clock)
        asks = self._asks()
        leases = ConnectionLeases(self.dynamodb, TABLE, 0)
        provider = PolledProvider(self._heard, self.refusal) if self.is_polled else FakeProvider(ANSWER)
        asker = Asker(provider, self._credentials(), self._gate(), leases, shift, clock=self.clock)
        follower = ReplyFollower(asks, ReplyTaker(asks, self._bus(), self._tasks()), asker, clock=self.clock)
        run = FollowUp(self.dynamodb, TABLE, shift, {WAITING_KEY: follower}, clock=self.clock)
        told = list(run.run(until=self.clock.now + 50))
        assert [each.error for each in told if each.error] == []
        return told

    def settle(self) -> None:
        """Let time pass until nothing can be due any more: all is reported, and the request's time is over."""
        for seconds in (90, 90, WAIT, 2 * LAST_LOOK_PATIENCE, 90):
            self.clock.now += seconds
            self.do(self.follow)

    def _time(self) -> dict[str, Any]:
        def sleep(seconds: float) -> None:
            self.clock.now += seconds

        return {"clock": self.clock, "monotonic": self.clock, "sleep": sleep}

    def _gate(self) -> Gate:
        return Gate(self.dynamodb, TABLE, qps=10, quota=0, longest_post=1.0, **self._time())

    def _credentials(self) -> CredentialStore:
        return CredentialStore(self.secrets, SECRET_ID)

    def _asks(self) -> Asks:
        return Asks(self.dynamodb, TABLE, is_polled=self.is_polled, clock=self.clock)

    def _bus(self) -> EventBus:
        return EventBus(self.events, "cube-sms", sleep=lambda _: None)

    def _tasks(self) -> Tasks:
        return Tasks(lambda: self.step_functions)


FILTERS = template_filters()


def answered(world: World) -> None:
    world.do(world.send)
    world.do(world.tell)
    world.clock.now += 5
    world.answer()
    # The follower is there before the provider calls back again.
    world.do(world.call_back, follows=True)


def answered_at_once(world: World) -> None:
    world.do(world.send)
    world.answer()
    world.do(world.call_back)
    world.do(world.tell)


def polled(world: World) -> None:
    world.do(world.send)
    world.do(world.tell)
    world.clock.now += 5
    world.answer()


def silent(world: World) -> None:
    world.do(world.send)
    world.do(world.tell)


type Story = Callable[[World], None]

STORIES: dict[Story, bool] = {answered: False, answered_at_once: False, polled: True, silent: False}
each_story = pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)


def run(story: Story, crash: Crash | None) -> int:
    """Let a story run to its end, check the result, and return how many calls of AWS there were."""
    world = World(crash, is_polled=STORIES[story])
    try:
        story(world)
        world.settle()
        world.do(world.tell)
        calls = world.calls
        look(world, is_answered=story is not silent)
        return calls
    finally:
        world.delete()


def look(world: World, *, is_answered: bool) -> None:
    # Then the task got one outcome, and got it twice at most
    told = {(token, outcome, json.dumps(detail, sort_keys=True)) for token, outcome, detail in world.services.told}
    ((token, outcome, text),) = told
    assert len(world.services.told) <= 2
    detail = json.loads(text)
    assert (token, outcome) == ("token", "Sent" if is_answered else f"CubeSms.{NO_REPLY}")
    assert (detail["requestId"], detail["deviceId"]) == (REQUEST.request_id, REQUEST.device_id)
    assert detail.get("content") == (TEXT if is_answered else None)
    # And the events say the same
    assert "SENT" in [event.get("state") for event in world.services.details]
    replies = [event for event in world.services.details if "content" in event]
    assert {event["eventId"] for event in replies} == ({detail["eventId"]} if is_answered else set())
    # And nothing is left to be looked at
    assert due_keys(world.dynamodb, TABLE, WAITING_KEY, world.clock.now + 10 * DAY, most=9) == []


@each_story
@pytest.mark.usefixtures("_aws")
def test_a_task_is_told_one_thing_whoever_dies(story: Story) -> None:
    # Given all calls that change something without a crash
    count = run(story, None)
    assert count > 8
    # When a process crashes before or after each of them
    for call in range(1, count + 1):
        for is_made in (False, True):
            # Then all is as without a crash
            run(story, Crash(call, is_made))


@pytest.fixture
def asked(_aws: None) -> Iterator[World]:
    """Return a world in which the provider is asked for the reply to a message that was sent."""
    world = World(None, is_polled=True)
    world.send()
    world.tell()
    world.services.reset()
    yield world
    world.delete()


def test_task_is_told_after_the_event_is_out(asked: World) -> None:
    # Given a bus that is unavailable when the reply is found
    asked.clock.now += 5
    asked.answer()
    asked.clock.now += 60
    asked.services.fail("PutEvents", *["InternalFailure"] * 50)
    asked.follow()
    # Then neither the task nor the bus has got anything
    assert (asked.services.told, asked.services.taken) == ([], [])
    # And when the bus is back, both get it
    asked.services.reset()
    asked.clock.now += 60
    asked.follow()
    ((token, outcome, detail),) = asked.services.told
    (event,) = asked.services.details
    assert (token, outcome, detail["eventId"]) == ("token", "Sent", event["eventId"])
    assert event["inReplyTo"] == REQUEST.request_id


def test_end_of_the_time_waits_for_the_last_look(asked: World) -> None:
    # Given a reply that the provider has, and a gate that an operator has closed
    asked.clock.now += 5
    asked.answer()
    until = asked.clock.now + WAIT + 2 * LAST_LOOK_PATIENCE
    pause = Pause(since=asked.clock.now, until=until, reason="maintenance")
    order_pause(asked.dynamodb, TABLE, pause)
    asked.clock.now += WAIT + 60
    asked.follow()
    # Then the task still waits
    assert asked.services.told == []
    # When the gate stays closed, then the answer in the end is that there was no reply
    asked.clock.now += LAST_LOOK_PATIENCE
    asked.follow()
    assert [outcome for _, outcome, _ in asked.services.told] == [f"CubeSms.{NO_REPLY}"]


def test_refusal_of_a_poll_is_told_and_the_next_one_finds_the_reply(asked: World) -> None:
    # Given a provider that answers a poll with an error
    asked.clock.now += 5
    asked.answer()
    asked.clock.now += 60
    asked.refusal = CubeUnavailable("HTTP 503")
    told = asked.follow()
    # Then one line says so
    assert [(each.text, each.fields["error"]) for each in told if each.level == "warning"] == [
        ("replies not asked for", "CubeUnavailable: HTTP 503")
    ]
    # And the next one finds it
    asked.refusal = None
    asked.clock.now += 60
    asked.follow()
    assert [outcome for _, outcome, _ in asked.services.told] == ["Sent"]


def test_last_look_finds_what_came_in_time(asked: World) -> None:
    asked.clock.now += WAIT - 1
    asked.answer()
    # When its time is over for a minute
    asked.clock.now += 60
    asked.follow()
    # Then the reply counts
    assert [outcome for _, outcome, _ in asked.services.told] == ["Sent"]
