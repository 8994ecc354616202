"""The publisher: what EventBridge and Step Functions get of a batch of the stream, and what has to come again."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cube_sms.delivery import Asks
from cube_sms.delivery.states import State
from cube_sms.outcomes.publisher import OutcomePublisher, Published
from cube_sms.outcomes.report import report_published
from cube_sms.platform.aws import AWS_CONFIG
from cube_sms.platform.bus import PUT_PAUSES, EventBus
from cube_sms.platform.tasks import Tasks
from cube_sms.platform.telemetry import Telemetry
from tests.event_services import REFUSALS, EventServices
from tests.streams import sequence_number
from tests.support import START
from tests.unit.changes import Changes
from tests.unit.records_table import FINAL, SPOILED, TABLE, in_state, new_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_stepfunctions import SFNClient

    from cube_sms.delivery.records import RecordStore
    from cube_sms.request.models import SendRequest
    from tests.event_services import Fault
    from tests.streams import Change

BUS = "cube-sms"

ATTRIBUTES = sorted({name for name, _ in SPOILED} | {"code"})
VALUES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(lambda text: {"S": text}, st.text(max_size=30) | st.datetimes().map(str)),
    st.builds(lambda number: {"N": str(number)}, st.integers() | st.floats(allow_nan=False, allow_infinity=False)),
    st.builds(lambda texts: {"SS": texts}, st.lists(st.text(min_size=1, max_size=9), min_size=1, unique=True)),
    st.sampled_from(
        [{"BOOL": True}, {"NULL": True}, {"L": []}, {"M": {}}, {"B": "AA=="}, {"BS": ["AA=="]}, {"NS": ["1"]}]
    ),
)

AWAY: list[Fault] = ["ThrottlingException", "InternalFailure", 500, EndpointConnectionError(endpoint_url="http://away")]


class Publishing(NamedTuple):
    """A publisher, what it talks to, and how long it has paused."""

    publisher: OutcomePublisher
    services: EventServices
    pauses: list[float]
    clients: list[SFNClient]

    def publish(self, changes: Sequence[Change]) -> list[Published]:
        return list(self.publisher.publish(changes))

    @property
    def published(self) -> list[str]:
        """The ids of the messages whose events were taken, in order."""
        return [detail["requestId"] for detail in self.services.details]


def make(config: Config) -> Publishing:
    """Make a publisher whose clients have no network."""
    session = boto3.Session("test", "test", region_name="eu-central-1")
    pauses: list[float] = []
    clients: list[SFNClient] = []

    def step_functions() -> SFNClient:
        if not clients:
            clients.append(session.client("stepfunctions", config=config))
        return clients[0]

    services = EventServices(session.events)
    events = session.client("events", config=config)
    bus = EventBus(events, BUS, sleep=pauses.append)
    asks = Asks(session.client("dynamodb", config=config), TABLE)
    publisher = OutcomePublisher(bus, Tasks(step_functions), asks, clock=lambda: START + 9)
    return Publishing(publisher, services, pauses, clients)


@pytest.fixture(scope="module")
def _publishing() -> Publishing:
    # boto3's own retries are none of the publisher's, and take seconds.
    return make(AWS_CONFIG.merge(Config(retries={"total_max_attempts": 1})))


@pytest.fixture
def publishing(_publishing: Publishing) -> Publishing:
    """A publisher, and services that have seen nothing yet."""
    _publishing.services.reset()
    _publishing.pauses.clear()
    return _publishing


class Messages(NamedTuple):
    """What messages leave in the stream."""

    store: RecordStore
    changes: Changes

    def end(self, count: int, state: State = State.SENT, **fields: Any) -> list[SendRequest]:
        """End as many messages."""
        requests = [new_request(**fields) for _ in range(count)]
        for request in requests:
            in_state(self.store, request, state)
        return requests


@pytest.fixture
def messages(dynamodb: DynamoDBClient, store: RecordStore) -> Messages:
    return Messages(store, Changes(dynamodb))


def ends(changes: Sequence[Change]) -> list[Change]:
    """Return the changes to a final state."""
    return [change for change in changes if change["dynamodb"]["NewImage"].get("state", {}).get("S") in FINAL]


def failed(published: Sequence[Published]) -> list[str]:
    return [one.sequence_number for one in published if one.comes_again]


def ids(requests: Sequence[SendRequest]) -> list[str]:
    return [str(request.request_id) for request in requests]


class TestEvent:
    def test_is_what_eventbridge_wants(self, publishing: Publishing, messages: Messages) -> None:
        (request,) = messages.end(1, State.REJECTED)
        (one,) = publishing.publish(ends(messages.changes.new()))
        (entry,) = publishing.services.taken
        assert {name: entry[name] for name in ("EventBusName", "Source", "DetailType")} == {
            "EventBusName": BUS,
            "Source": "cube-sms",
            "DetailType": "SMS Rejected",
        }
        # When it ended, not when it is told
        assert entry["Time"] == START
        assert publishing.published == [request.request_id]
        assert (one.error, one.published_at) == (None, START + 9)

    def test_of_each_end_goes_out_once_and_in_order(self, publishing: Publishing, messages: Messages) -> None:
        # Given 25 messages, and what else they leave in the stream
        requests = messages.end(25)
        changes = messages.changes.new()
        # When
        published = publishing.publish(changes)
        # Then as few calls as there can be, none of which is empty
        assert publishing.published == ids(requests)
        assert [one.sequence_number for one in published] == [sequence_number(change) for change in changes]
        assert failed(published) == []
        assert publishing.services.count("PutEvents") <= len(changes) / 10
        assert (publishing.pauses, publishing.clients) == ([], [])

    def test_is_none_where_nothing_has_ended(self, publishing: Publishing, messages: Messages) -> None:
        messages.end(12, State.RETRYING)
        published = publishing.publish(messages.changes.new())
        assert (len(published), failed(published), publishing.services.calls) == (24, [], [])


class TestEventsThatAreNotTaken:
    def test_go_out_once_more_alone(self, publishing: Publishing, messages: Messages) -> None:
        # Given an EventBridge that does not take three of ten entries, and then one of these three
        requests = messages.end(10)
        publishing.services.fail("PutEvents", {0, 4, 9}, {1})
        # When
        published = publishing.publish(ends(messages.changes.new()))
        # Then each event was taken once
        sent = [len(body["Entries"]) for _, body in publishing.services.calls]
        assert sent == [10, 3, 1]
        assert sorted(publishing.published) == sorted(ids(requests))
        assert publishing.published[-3:] == [ids(requests)[index] for index in (0, 9, 4)]
        assert failed(published) == []
        assert publishing.pauses == list(PUT_PAUSES[:2])

    def test_for_good_come_again_from_the_first_one_on(self, publishing: Publishing, messages: Messages) -> None:
        # Given an EventBridge that takes neither the 14th nor the 17th of 22 events
        requests = messages.end(22)
        changes = ends(messages.changes.new())
        publishing.services.fail("PutEvents", None, {3, 6}, *[{0, 1}] * len(PUT_PAUSES))
        # When
        published = publishing.publish(changes)
        # Then all before it have gone out once, and nothing after its call
        assert failed(published) == [sequence_number(changes[index]) for index in (13, 16)]
        assert publishing.published == [one for index, one in enumerate(ids(requests)[:20]) if index not in (13, 16)]
        assert [one.error for one in published if one.error] == ["InternalFailure"] * 2
        assert publishing.pauses == list(PUT_PAUSES)

    @pytest.mark.parametrize("fault", AWAY, ids=str)
    def test_since_eventbridge_is_away_come_again(
        self, publishing: Publishing, messages: Messages, fault: Fault
    ) -> None:
        requests = messages.end(12)
        changes = ends(messages.changes.new())
        publishing.services.fail("PutEvents", None, fault)
        # When
        published = publishing.publish(changes)
        # Then boto3 has tried by itself, and nothing more of this batch is tried
        assert failed(published)[0] == sequence_number(changes[10])
        assert publishing.published == ids(requests)[:10]
        assert publishing.services.count("PutEvents") == 2
        assert publishing.pauses == []

    def test_when_it_goes_away_between_two_tries_come_again(self, publishing: Publishing, messages: Messages) -> None:
        requests = messages.end(10)
        changes = ends(messages.changes.new())
        publishing.services.fail("PutEvents", {2, 5}, "ThrottlingException")
        published = publishing.publish(changes)
        assert failed(published) == [sequence_number(changes[index]) for index in (2, 5)]
        assert {one.error for one in published} == {None, "ThrottlingException"}
        assert len(publishing.published) == len(requests) - 2
        assert [one.published_at for one in published if one.error] == [None, None]

    def test_are_tried_three_times_as_a_call(self, messages: Messages) -> None:
        # Given clients as the function has them
        publishing = make(AWS_CONFIG)
        requests = messages.end(1)
        timeout = ReadTimeoutError(endpoint_url="http://away")
        publishing.services.fail("PutEvents", 500, timeout)
        # When
        published = publishing.publish(ends(messages.changes.new()))
        # Then
        assert (failed(published), publishing.published) == ([], ids(requests))


class TestTask:
    def test_is_told_with_a_word_that_a_workflow_can_choose_by(
        self, publishing: Publishing, messages: Messages
    ) -> None:
        for state in FINAL:
            messages.end(1, state, taskToken=f"token-{state}")
        messages.store.refuse("order-0", "token-refused", reason="Conflict", detail="differs")
        published = publishing.publish(messages.changes.new())
        # Then success for what was sent, failure for all else
        assert [(token, outcome) for token, outcome, _ in publishing.services.told] == [
            ("token-SENT", "Sent"),
            ("token-REJECTED", "CubeSms.Rejected"),
            ("token-EXPIRED", "CubeSms.Expired"),
            ("token-FAILED", "CubeSms.Failed"),
            ("token-UNKNOWN", "CubeSms.Unknown"),
            ("token-CANCELLED", "CubeSms.Cancelled"),
            ("token-refused", "CubeSms.Conflict"),
        ]
        # And with the event's own detail, where there is an event
        assert [detail for _, _, detail in publishing.services.told[:-1]] == publishing.services.details
        assert publishing.services.told[-1][2] == {"requestId": "order-0", "reason": "Conflict", "detail": "differs"}
        assert sum(one.told.answered for one in published) == len(FINAL) + 1
        assert failed(published) == []

    def test_that_asks_later_is_told_without_an_event(self, publishing: Publishing, messages: Messages) -> None:
        (request,) = messages.end(1)
        messages.changes.new()
        messages.store.claim(new_request(requestId=request.request_id, taskToken="late"))
        (one,) = publishing.publish(messages.changes.new())
        assert [token for token, *_ in publishing.services.told] == ["late"]
        assert (publishing.services.count("PutEvents"), one.told.answered, one.published_at) == (0, 1, None)

    @pytest.mark.parametrize("error", REFUSALS)
    def test_that_does_not_wait_any_more_holds_nothing_up(
        self, publishing: Publishing, messages: Messages, error: str
    ) -> None:
        # Given two tasks of one message, of which one is over
        (request,) = messages.end(1, State.RETRYING, taskToken="a-over")
        in_state(messages.store, new_request(requestId=request.request_id, taskToken="b-waits"), State.SENT)
        others = messages.end(11)
        publishing.services.refused["a-over"] = error
        # When
        published = publishing.publish(messages.changes.new())
        # Then the other one is told, and so is everybody else
        assert [token for token, *_ in publishing.services.told] == ["b-waits"]
        assert publishing.published == ids([request, *others])
        assert failed(published) == []
        assert (
            sum(one.told.answered for one in published),
            [one.told.unanswered for one in published if one.told.unanswered],
        ) == (
            1,
            [(error,)],
        )

    @pytest.mark.parametrize("fault", [*AWAY, "KmsThrottlingException", "ExpiredTokenException"], ids=str)
    def test_that_cannot_be_told_now_comes_again(
        self, publishing: Publishing, messages: Messages, fault: Fault
    ) -> None:
        # Given a message among others whose task cannot be told
        before, after = messages.end(3), messages.end(1, taskToken="waits") + messages.end(3, taskToken="later")
        changes = ends(messages.changes.new())
        publishing.services.fail("SendTaskSuccess", fault)
        # When
        published = publishing.publish(changes)
        # Then those before it are published, and none that will come again with it
        assert failed(published) == [sequence_number(changes[3])]
        assert publishing.published == ids(before)
        assert publishing.services.told == []
        # And when it does come again
        published = publishing.publish(changes[3:])
        assert failed(published) == []
        assert publishing.published == ids([*before, *after])
        assert [token for token, *_ in publishing.services.told] == ["waits", *["later"] * 3]

    def test_is_told_once_more_where_its_event_was_not_taken(self, publishing: Publishing, messages: Messages) -> None:
        messages.end(1, taskToken="waits")
        changes = ends(messages.changes.new())
        publishing.services.fail("PutEvents", "ThrottlingException")
        assert failed(publishing.publish(changes)) == [sequence_number(changes[0])]
        publishing.services.refused["waits"] = "TaskTimedOut"
        assert failed(publishing.publish(changes)) == []
        assert len(publishing.services.told) == len(publishing.published) == 1


def test_what_becomes_of_a_record_shows_no_token_and_no_text_of_aws(publishing: Publishing, messages: Messages) -> None:
    # Given errors that quote all they were sent
    messages.end(1, taskToken="SECRET-TOKEN")
    changes = ends(messages.changes.new())
    found = []
    for fault in ("ThrottlingException", "InvalidToken"):
        publishing.services.fail("SendTaskSuccess", fault)
        publishing.services.fail("PutEvents", "ThrottlingException")
        found += publishing.publish(changes)
    assert [one.told.unanswered for one in found] == [(), ("InvalidToken",)]
    assert not [one for one in found if "SECRET" in repr(one)]


class TestRecordThatIsSpoiledByHand:
    @pytest.mark.parametrize(("name", "value"), SPOILED, ids=str)
    def test_is_told_and_holds_nothing_up(
        self, publishing: Publishing, messages: Messages, name: str, value: Any
    ) -> None:
        requests = messages.end(5)
        changes = ends(messages.changes.new())
        spoil(changes[3]["dynamodb"]["NewImage"], name, value)
        # When
        published = publishing.publish(changes)
        # Then its key and its fault are told, without the value, and it does not come again
        spoiled = [one.spoiled for one in published]
        assert [bool(each) for each in spoiled] == [False, False, False, True, False]
        assert published[3].message_id == requests[3].message_id
        assert [fault.path for fault in spoiled[3].faults] == [name]  # type: ignore[union-attr]
        assert "yesterday" not in str(spoiled[3])
        assert failed(published) == []
        assert publishing.published == [one for index, one in enumerate(ids(requests)) if index != 3]

    def test_is_published_when_it_is_mended(self, publishing: Publishing, messages: Messages) -> None:
        # Given a record that was spoiled before its event went out
        (request,) = messages.end(1, taskToken="waits")
        (change,) = ends(messages.changes.new())
        image = change["dynamodb"]["NewImage"]
        spoiled = {**image, "updatedAt": {"S": "yesterday"}}
        publishing.publish([{**change, "dynamodb": {**change["dynamodb"], "NewImage": spoiled}}])
        assert (publishing.published, publishing.services.told) == ([], [])
        # When somebody mends it, and then changes something else
        mended = {**change, "dynamodb": {**change["dynamodb"], "OldImage": spoiled}}
        after = {**change, "dynamodb": {**change["dynamodb"], "OldImage": image}}
        publishing.publish([mended, after])
        # Then it is told once
        assert publishing.published == ids([request])
        assert [token for token, *_ in publishing.services.told] == ["waits"]

    @pytest.mark.parametrize("name", ["reason", "detail"])
    def test_holds_nothing_up_where_it_tells_of_a_refusal(
        self, publishing: Publishing, messages: Messages, name: str
    ) -> None:
        messages.store.refuse("order-0", "waits", reason="Conflict", detail="differs")
        requests = messages.end(1)
        changes = messages.changes.new()
        changes[0]["dynamodb"]["NewImage"][name] = {"N": "1"}
        published = publishing.publish(changes)
        assert (bool(published[0].spoiled), failed(published)) == (True, [])
        assert publishing.published == ids(requests)

    @settings(max_examples=100, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(st.sampled_from(ATTRIBUTES), st.none() | VALUES, min_size=1, max_size=4), st.booleans())
    def test_holds_nothing_up_whatever_it_holds(
        self, publishing: Publishing, three: list[Change], values: dict[str, Any], is_before: bool
    ) -> None:
        # Given a record among others, with anything at all in it, now or before
        publishing.services.reset()
        before, change, after = copy.deepcopy(three)
        change["dynamodb"]["OldImage"] = copy.deepcopy(change["dynamodb"]["NewImage"])
        for name, value in values.items():
            spoil(change["dynamodb"]["OldImage" if is_before else "NewImage"], name, value)
        # When
        published = publishing.publish([before, change, after])
        for one in published:
            report_published(Telemetry(), one)
        # Then
        assert failed(published) == []
        assert [one.published_at for one in (published[0], published[2])] == [START + 9] * 2


@pytest.fixture
def three(messages: Messages) -> list[Change]:
    """Three ends of messages."""
    messages.end(3)
    return ends(messages.changes.new())


def spoil(item: dict[str, Any], name: str, value: Any) -> None:
    """Give an item an attribute of another value, or take it away."""
    if value is None:
        item.pop(name, None)
    else:
        item[name] = value
