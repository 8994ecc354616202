"""The handler of the stream, with the records of real messages behind it: what it publishes, answers and prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from cube_sms.delivery import FollowedRecords, State
from cube_sms.platform.telemetry import ALL_ACCOUNTS
from functions.publish_outcomes import app
from tests.event_services import EventServices
from tests.integration.deployment import TABLE
from tests.streams import TableStream, lambda_event, passes, sequence_number, template_filters
from tests.support import DEVICE, Context, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment
    from tests.streams import Change
    from tests.support import Printed

TEXT = "Your one-time PIN is Kx4711q"
TOKEN = "AQCEAAAAKgAAAAMAAAAA-the-token-of-a-task"
FILTERS = template_filters()


class Publisher:
    """The function that publishes outcomes, and the stream that Lambda polls for it."""

    def __init__(self, gateway: Deployment, services: EventServices) -> None:
        self.services = services
        # moto does not know the address that botocore makes of the account.
        make: Any = boto3.client
        streams = make("dynamodbstreams", config=Config(account_id_endpoint_mode="disabled"))
        self._stream = TableStream(
            streams, gateway.dynamodb.describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
        )
        self._iterator = self._stream.end()

    def changes(self) -> list[Change]:
        """Return what Lambda would invoke the function with since the last time."""
        changes, self._iterator = self._stream.follow(self._iterator)
        return [change for change in changes if passes(FILTERS, change) and "ttl" in change["dynamodb"]["NewImage"]]

    def invoke(self, changes: Sequence[Change]) -> list[str]:
        """Invoke the function, and return the records that Lambda has to repeat."""
        answer: dict[str, Any] = app.handler(lambda_event(changes), Context())
        assert answer.keys() == {"batchItemFailures"}
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    @property
    def published(self) -> list[tuple[str, str]]:
        """Each event that EventBridge took: whose, and the state."""
        return [(detail["requestId"], detail["state"]) for detail in self.services.details]


@pytest.fixture
def publisher(gateway: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """The function, cold, with EventBridge and Step Functions in place of the network."""
    monkeypatch.setenv("EVENT_BUS", "cube-sms")
    monkeypatch.setenv("REPLIES", "callback")
    session = boto3.DEFAULT_SESSION
    assert session
    services = EventServices(session.events)
    _cool_down()
    yield Publisher(gateway, services)
    services.stop()
    _cool_down()


def _cool_down() -> None:
    app.publisher.cache_clear()


def message(**fields: Any) -> dict[str, Any]:
    return {"requestId": f"order-{uuid4()}", "deviceId": DEVICE, "content": TEXT, **fields}


def messages(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [message(**fields) for _ in range(count)]


def ids(sent: Sequence[dict[str, Any]]) -> list[str]:
    return [each["requestId"] for each in sent]


def send(gateway: Deployment, many: Sequence[dict[str, Any]]) -> None:
    """Send messages one by one: a slow machine would return some of a large batch to the queue."""
    for each in many:
        assert gateway.consume(queue_event(each)) == []


def told_by(changes: Sequence[Change]) -> list[str]:
    """Return whose the changes are, in their order; threads decide the order within a batch."""
    return [change["dynamodb"]["NewImage"]["messageId"]["S"].removeprefix("default#") for change in changes]


def test_every_message_that_ends_is_published_once(
    cube: CubeSimulator, gateway: Deployment, publisher: Publisher
) -> None:
    # Given messages for every outcome, from the queue and through the API, one of which fails at first
    gateway.configure(MAX_ATTEMPTS="2")
    devices = [f"8931440400093995{number}" for number in range(2200, 2206)]
    sent, rejected, failed, expired, unknown, retried = (message(deviceId=device) for device in devices)
    expired["expiresAt"], unknown["delivery"] = "2020-01-01T00:00:00Z", "at-most-once"
    cube.configure(
        unknown_devices=[rejected["deviceId"]],
        device_faults={failed["deviceId"]: "status:503", unknown["deviceId"]: "lost", retried["deviceId"]: "reset*1"},
    )
    through_api = message()
    event = queue_event(sent, rejected, failed, expired, unknown, retried)
    # When they are sent, and come again
    for _ in range(3):
        gateway.consume(event)
    gateway.post(through_api)
    gateway.post(through_api)
    assert publisher.invoke(publisher.changes()) == []
    # Then each outcome is published once
    assert sorted(publisher.published) == sorted(
        [
            (sent["requestId"], "SENT"),
            (rejected["requestId"], "REJECTED"),
            (failed["requestId"], "FAILED"),
            (expired["requestId"], "EXPIRED"),
            (unknown["requestId"], "UNKNOWN"),
            (retried["requestId"], "SENT"),
            (through_api["requestId"], "SENT"),
        ]
    )
    # And as the record has it, and as the API shows it
    for detail in publisher.services.details:
        shown = gateway.get(detail["requestId"]).json
        assert detail == {"eventId": detail["eventId"], "messageId": f"default#{detail['requestId']}", **shown}


@pytest.mark.parametrize("is_cold", [True, False])
def test_answer_names_the_first_record_that_has_to_come_again(
    gateway: Deployment, publisher: Publisher, is_cold: bool
) -> None:
    if not is_cold:
        gateway.consume(queue_event(message()))
        publisher.invoke(publisher.changes())
        publisher.services.reset()
    # Given an EventBridge that does not take the 12th and the 13th of 14 events
    sent = messages(14)
    send(gateway, sent)
    changes = publisher.changes()
    publisher.services.fail("PutEvents", None, *[{1, 2}] * 1, *[{0, 1}] * 3)
    # When
    failures = publisher.invoke(changes)
    # Then Lambda repeats from the 12th on, and nothing before it is published twice
    assert failures == [sequence_number(changes[11])]
    assert publisher.invoke(changes[11:]) == []
    published = [request_id for request_id, _ in publisher.published]
    assert set(published) == set(ids(sent))
    assert [one for one in published if published.count(one) > 1] == [told_by(changes)[13]] * 2
    # And what is published twice is the same event
    assert len({detail["eventId"] for detail in publisher.services.details}) == len(sent)


def test_event_of_a_batch_that_is_not_the_first_to_fail_waits(gateway: Deployment, publisher: Publisher) -> None:
    # Given an EventBridge that is unavailable for longer than boto3 tries
    sent = messages(12)
    send(gateway, sent)
    changes = publisher.changes()
    publisher.services.fail("PutEvents", *["ThrottlingException"] * 3)
    # When
    failures = publisher.invoke(changes)
    # Then the whole batch comes again, of which nothing is published
    assert failures == [sequence_number(changes[0])]
    assert publisher.published == []
    assert publisher.invoke(changes) == []
    assert [request_id for request_id, _ in publisher.published] == told_by(changes)
    assert set(told_by(changes)) == set(ids(sent))


def test_message_that_is_put_back_is_published_once_more(
    cube: CubeSimulator, gateway: Deployment, publisher: Publisher
) -> None:
    # Given a message that has failed, and its dead letter
    gateway.configure(MAX_ATTEMPTS="1")
    failed = message()
    cube.configure(next_faults=["status:503"])
    gateway.consume(gateway.deliver(queue_event(failed)))
    (letter,) = gateway.dead_letters()
    # When it is redriven, twice
    for _ in range(2):
        gateway.consume(queue_event(letter.body, attributes=letter.attributes))
    publisher.invoke(publisher.changes())
    # Then
    assert publisher.published == [(failed["requestId"], "FAILED"), (failed["requestId"], "SENT")]
    assert len({detail["eventId"] for detail in publisher.services.details}) == 2


class TestTasks:
    def test_are_told_once_and_each_what_became_of_its_message(
        self, cube: CubeSimulator, gateway: Deployment, publisher: Publisher
    ) -> None:
        # Given a message for which one task waits from the beginning, and another one later, while it is tried again
        asked = message(taskToken="first")
        cube.configure(next_faults=["status:503"])
        gateway.consume(gateway.deliver(queue_event(asked)))
        gateway.consume(queue_event(asked | {"taskToken": "second"}))
        # And a third when it has been sent, whose message comes twice
        third = queue_event(asked | {"taskToken": "third"})
        gateway.consume(third)
        gateway.consume(third)
        # When
        assert publisher.invoke(publisher.changes()) == []
        # Then
        told = publisher.services.told
        assert [(token, outcome) for token, outcome, _ in told] == [
            ("first", "Sent"),
            ("second", "Sent"),
            ("third", "Sent"),
        ]
        assert [detail for *_, detail in told] == publisher.services.details * 3
        assert cube.stats()["accepted"] == 1

    @pytest.mark.parametrize("state", [State.DELIVERED, State.UNDELIVERED])
    def test_are_told_of_what_was_sent_and_not_of_its_receipt(
        self, gateway: Deployment, publisher: Publisher, state: State
    ) -> None:
        # Given a message that was sent, for which a task waited, and its receipt
        asked = message(taskToken="first")
        gateway.consume(queue_event(asked))
        followed = FollowedRecords(gateway.dynamodb, TABLE, retention=60.0)
        record = gateway.record(asked["requestId"])
        assert followed.settle(record, state, f"#receipt#{record.message_id}", code="CB-04-0001", message=None)
        # And a task that asks for it later
        gateway.consume(queue_event(asked | {"taskToken": "second"}))
        # When
        publisher.invoke(publisher.changes())
        # Then both tasks learn that it was sent, once, and the bus gets both states
        assert [token for token, *_ in publisher.services.told] == ["first", "second"]
        assert publisher.services.count("SendTaskFailure") == 0
        assert publisher.published == [(asked["requestId"], "SENT"), (asked["requestId"], str(state))]
        assert len({detail["eventId"] for detail in publisher.services.details}) == 2

    def test_that_wait_for_a_reply_are_told_at_once_if_replies_were_turned_off(
        self,
        cube: CubeSimulator,
        gateway: Deployment,
        publisher: Publisher,
        monkeypatch: pytest.MonkeyPatch,
        printed: Callable[[], Printed],
    ) -> None:
        # Given messages whose tasks wait for replies: one was sent, one was rejected
        gateway.configure(REPLIES="callback")
        cube.configure(unknown_devices=["89314404000939952201"])
        sent = message(taskToken="sent", awaitReply=600)
        rejected = message(taskToken="rejected", awaitReply=600, deviceId="89314404000939952201")
        gateway.consume(queue_event(sent, rejected))
        # When Replies is turned off before their outcomes are published, so that the publisher may not use the table
        monkeypatch.setenv("REPLIES", "off")
        _cool_down()
        for operation in ("GetItem", "UpdateItem"):
            gateway.aws_calls.fail(operation)
        printed()
        # Then nothing has to come again, and both events are published
        assert publisher.invoke(publisher.changes()) == []
        assert sorted(publisher.published) == sorted([(sent["requestId"], "SENT"), (rejected["requestId"], "REJECTED")])
        # And each task has its answer: no reply can arrive any more
        told = {token: (error, cause) for token, error, cause in publisher.services.told}
        at = next(detail["updatedAt"] for detail in publisher.services.details if detail["state"] == "SENT")
        assert told["sent"] == (
            "CubeSms.NoReply",
            {
                "requestId": sent["requestId"],
                "account": "default",
                "deviceId": DEVICE,
                "sentAt": at,
                "until": at,
            },
        )
        assert told["rejected"][0] == "CubeSms.Rejected"
        assert printed().values("TasksAnswered", ALL_ACCOUNTS) == [2]

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            ({"deviceId": "?"}, "CubeSms.InvalidRequest"),
            ({"priority": 1}, "CubeSms.InvalidRequest"),
            ({"account": "nobody"}, "CubeSms.InvalidRequest"),
            ({"content": "something else"}, "CubeSms.Conflict"),
        ],
    )
    def test_whose_request_is_refused_are_told_why(
        self, gateway: Deployment, publisher: Publisher, wrong: dict[str, Any], error: str
    ) -> None:
        # Given a message that has been sent, and one of the same id that is refused
        sent = message()
        gateway.consume(queue_event(sent))
        publisher.changes()
        refused = sent | wrong | {"taskToken": TOKEN}
        assert gateway.consume(queue_event(refused)) == []
        # When
        assert publisher.invoke(publisher.changes()) == []
        # Then its task learns what the dead letter says, and is the only one to learn it
        (letter,) = gateway.dead_letters()
        ((token, told, detail),) = publisher.services.told
        assert (token, told) == (TOKEN, error)
        assert detail == {
            "requestId": sent["requestId"],
            "reason": letter.attributes["reason"],
            "detail": letter.attributes["detail"],
        }
        assert publisher.services.count("PutEvents") == 0

    def test_are_told_no_more_than_a_task_can_be_told(self, gateway: Deployment, publisher: Publisher) -> None:
        # Given a request with more faults than an item of the table has room for
        wrong = message(taskToken=TOKEN) | {f"an-unknown-field-of-a-request-{n}": 1 for n in range(10_000)}
        # When
        assert gateway.consume(queue_event(wrong)) == []
        assert publisher.invoke(publisher.changes()) == []
        # Then its task learns what the dead letter says
        (letter,) = gateway.dead_letters()
        ((_, told, detail),) = publisher.services.told
        assert (told, detail["detail"]) == ("CubeSms.InvalidRequest", letter.attributes["detail"])

    def test_whose_request_has_no_id_are_told_that_of_the_message(
        self, gateway: Deployment, publisher: Publisher
    ) -> None:
        event = queue_event({"deviceId": "?", "taskToken": TOKEN})
        gateway.consume(event)
        publisher.invoke(publisher.changes())
        ((_, _, detail),) = publisher.services.told
        assert detail["requestId"] == event["Records"][0]["messageId"]

    def test_refusal_that_cannot_be_written_keeps_the_message(self, gateway: Deployment, publisher: Publisher) -> None:
        # Given a table that is unavailable
        event = queue_event({"deviceId": "?", "taskToken": TOKEN})
        gateway.aws_calls.fail("UpdateItem", times=1)
        # When
        stays = gateway.consume(event)
        # Then the message stays, there is no dead letter, and it comes again
        assert stays == [event["Records"][0]["messageId"]]
        assert gateway.dead_letters() == []
        assert gateway.consume(event) == []
        publisher.invoke(publisher.changes())
        assert [token for token, *_ in publisher.services.told] == [TOKEN]

    def test_that_wait_no_more_are_counted_and_hold_nothing_up(
        self, gateway: Deployment, publisher: Publisher, printed: Callable[[], Printed]
    ) -> None:
        over, other = message(taskToken=TOKEN), message(taskToken="waits")
        publisher.services.refused[TOKEN] = "TaskTimedOut"
        gateway.consume(queue_event(over, other))
        printed()
        # When
        assert publisher.invoke(publisher.changes()) == []
        # Then
        output = printed()
        assert {request_id for request_id, _ in publisher.published} == set(ids([over, other]))
        assert output.values("TasksAnswered", ALL_ACCOUNTS) == [1]
        assert output.values("TasksUnanswered", ALL_ACCOUNTS) == [1]
        (warning,) = [log for log in output.logs if log["level"] == "WARNING"]
        assert warning["errors"] == ["TaskTimedOut"]
        assert output.values("TaskAnswersRefused", ALL_ACCOUNTS) == []

    @pytest.mark.parametrize("error", ["AccessDeniedException", "KmsAccessDeniedException", "KmsInvalidStateException"])
    def test_that_may_not_be_answered_are_an_error_of_their_own_and_hold_nothing_up(
        self, gateway: Deployment, publisher: Publisher, printed: Callable[[], Printed], error: str
    ) -> None:
        # Given a task that we are not allowed to answer, as every task is to a role that lost its permission
        refused, other = message(taskToken=TOKEN), message(taskToken="waits")
        publisher.services.refused[TOKEN] = error
        gateway.consume(queue_event(refused, other))
        printed()
        # When
        assert publisher.invoke(publisher.changes()) == []
        # Then the events go out, and what the alarm watches counts it
        output = printed()
        assert {request_id for request_id, _ in publisher.published} == set(ids([refused, other]))
        assert output.values("TaskAnswersRefused", ALL_ACCOUNTS) == [1]
        assert output.values("TasksUnanswered", ALL_ACCOUNTS) == [1]
        (line,) = [log for log in output.logs if log["level"] == "ERROR"]
        assert (line["message"], line["errors"]) == ("task not answered", [error])
        assert TOKEN not in str(output.logs)


def test_nothing_shows_content_or_token(
    cube: CubeSimulator, gateway: Deployment, publisher: Publisher, printed: Callable[[], Printed]
) -> None:
    # Given messages to every outcome and requests that are refused, each with a task that waits
    gateway.configure(MAX_ATTEMPTS="1")
    devices = [f"8931440400093995{number}" for number in range(2200, 2204)]
    cube.configure(unknown_devices=[devices[1]], device_faults={devices[2]: "status:503", devices[3]: "echo"})
    sent = [message(deviceId=device, taskToken=f"{TOKEN}-{device}") for device in devices]
    refused = [
        message(deviceId=TEXT, taskToken=TOKEN),
        sent[0] | {"content": f"{TEXT}!"},
        message(account="nobody", taskToken=TOKEN),
        # A token where it does not belong
        message(taskToken=[TOKEN]),
        message(requestId=TOKEN + "#", taskToken=TOKEN),
        message(deviceId=TOKEN, taskToken=TOKEN),
    ]
    gateway.consume(queue_event(*sent, *refused))
    changes = publisher.changes()
    # When Step Functions and EventBridge refuse them at first, and quote what they were sent
    publisher.services.fail("SendTaskSuccess", "AccessDeniedException")
    publisher.services.fail("SendTaskFailure", "InvalidToken", "TaskTimedOut")
    publisher.services.fail("PutEvents", {0}, *["ThrottlingException"] * 3)
    assert publisher.invoke(changes)
    publisher.services.fail("SendTaskSuccess", *["ThrottlingException"] * 3)
    assert publisher.invoke(changes)
    assert publisher.invoke(changes) == []
    # Then no event shows them, a dead letter only in its body, and nothing that was printed
    letters = [letter.attributes for _ in range(3) for letter in gateway.dead_letters()]
    output = printed()
    assert {log["message"] for log in output.logs} >= {"not published", "task not answered", "invalid request"}
    assert len(letters) == len(refused) + 1
    shown = json.dumps([publisher.services.taken, letters, output.logs, output.metrics], ensure_ascii=False)
    assert not [hidden for hidden in ("Kx4711q", "one-time", "AQCEAAAAKgAAAAM") if hidden in shown]


def test_each_account_has_metrics_of_its_events(
    gateway: Deployment, publisher: Publisher, printed: Callable[[], Printed]
) -> None:
    gateway.consume(queue_event(*messages(3)))
    changes = publisher.changes()
    printed()
    # When the last of three events is not taken
    publisher.services.fail("PutEvents", {2}, *[{0}] * 3)
    publisher.invoke(changes)
    # Then
    output = printed()
    assert output.values("EventsPublished") == [2]
    assert len(output.values("EventLag")) == 2
    assert all(lag >= 0 for lag in output.values("EventLag"))
    assert output.values("EventsFailed", ALL_ACCOUNTS) == [1]
    (entry,) = [log for log in output.logs if log["message"] == "not published"]
    assert entry["message_id"] == changes[2]["dynamodb"]["Keys"]["messageId"]["S"]


class TestRecordThatIsSpoiledByHand:
    @pytest.mark.parametrize("text", ["yesterday", "", "2026", "10000-01-01T00:00:00Z"])
    def test_is_set_aside_and_told_until_it_is_mended(
        self, gateway: Deployment, publisher: Publisher, printed: Callable[[], Printed], text: str
    ) -> None:
        # Given a message that has ended, whose record somebody changes before its event goes out, and others behind it
        spoiled = message()
        gateway.consume(queue_event(spoiled))
        publisher.changes()
        mended = gateway.record(spoiled["requestId"]).updated_at
        gateway.change(spoiled["requestId"], updatedAt={"S": text})
        others = messages(3)
        gateway.consume(queue_event(*others))
        printed()
        # When
        assert publisher.invoke(publisher.changes()) == []
        # Then the others go on, and the log has its key and which attribute it is
        output = printed()
        assert sorted(request_id for request_id, _ in publisher.published) == sorted(ids(others))
        assert output.values("RecordsDamaged", ALL_ACCOUNTS) == [1]
        (entry,) = [log for log in output.logs if log["level"] == "ERROR"]
        assert entry["message_id"] == f"default#{spoiled['requestId']}"
        assert entry["faults"].startswith("updatedAt: ")
        # And the repair publishes it
        gateway.change(spoiled["requestId"], updatedAt={"S": mended})
        assert publisher.invoke(publisher.changes()) == []
        assert publisher.published[-1] == (spoiled["requestId"], "SENT")


class TestRequestEvents:
    """Send requests that come as events, through the whole of the queue's handler."""

    def test_is_sent_under_the_id_of_the_event(
        self, cube: CubeSimulator, gateway: Deployment, publisher: Publisher
    ) -> None:
        event_id = str(uuid4())
        body = {"id": event_id, "detail-type": "SMS Requested", "detail": {"deviceId": DEVICE, "content": TEXT}}
        # When EventBridge delivers it twice
        assert gateway.consume(queue_event(body)) == []
        assert gateway.consume(queue_event(body)) == []
        publisher.invoke(publisher.changes())
        # Then it is one message
        assert cube.stats()["received"] == 1
        assert publisher.published == [(event_id, "SENT")]

    def test_that_is_invalid_goes_to_the_dead_letter_queue_whole(self, gateway: Deployment) -> None:
        event_id = str(uuid4())
        body = {"id": event_id, "detail-type": "SMS Requested", "detail": {"deviceId": "?", "content": TEXT}}
        assert gateway.consume(queue_event(body)) == []
        (letter,) = gateway.dead_letters()
        assert json.loads(letter.body) == body
        assert (letter.attributes["requestId"], letter.attributes["reason"]) == (event_id, "InvalidRequest")
        assert letter.attributes["detail"].startswith("deviceId: ")

    def test_that_failed_starts_over_when_it_is_put_back(self, cube: CubeSimulator, gateway: Deployment) -> None:
        # Given
        gateway.configure(MAX_ATTEMPTS="1")
        event_id = str(uuid4())
        body = {"id": event_id, "detail-type": "SMS Requested", "detail": {"deviceId": DEVICE, "content": TEXT}}
        cube.configure(next_faults=["status:503"])
        gateway.consume(gateway.deliver(queue_event(body)))
        (letter,) = gateway.dead_letters()
        assert letter.attributes["requestId"] == event_id
        # When
        assert gateway.consume(queue_event(letter.body, attributes=letter.attributes)) == []
        # Then
        assert (gateway.record(event_id).state, gateway.record(event_id).attempts) == ("SENT", 1)

    def test_of_an_id_that_no_request_may_have_is_invalid(self, gateway: Deployment) -> None:
        body = {"id": "a#b" * 700, "detail-type": "SMS Requested", "detail": {"deviceId": DEVICE, "content": TEXT}}
        event = queue_event(body)
        assert gateway.consume(event) == []
        (letter,) = gateway.dead_letters()
        assert letter.attributes["requestId"] == event["Records"][0]["messageId"]
