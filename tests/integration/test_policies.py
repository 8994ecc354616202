"""Every class of error, through everything that decides by it: what it says of itself holds there.

The provider is a fake one with all that delivery needs.
"""

from __future__ import annotations

import inspect
import itertools
import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from cube_sms.api import MessagesApi
from cube_sms.delivery import RequestConflictError, Sender, SpoiledRecordError, State
from cube_sms.delivery.records import RecordStore
from cube_sms.pacing import ConnectionLeases, Gate
from cube_sms.pacing.accounts import REJECTIONS
from cube_sms.pacing.gate_item import GATE_KEY
from cube_sms.pacing.pause import Pause
from cube_sms.platform import ApiAnswer, Fault, Obstacle, Settings, UnexpectedError, metrics, obstacle, reply_to_error
from cube_sms.platform.errors import POLICY
from cube_sms.platform.metrics import METRICS
from cube_sms.platform.telemetry import Telemetry
from cube_sms.provider import CredentialStore, CubeAnswer, CubeError, UnknownAccountError
from cube_sms.queue import QueueConsumer, report_consumed
from cube_sms.request import InvalidRequestError
from tests.fake_provider import FakeProvider
from tests.integration.deployment import SECRET_ID, TABLE
from tests.openapi import faults
from tests.support import Context, Printed, load_event, obstacles

if TYPE_CHECKING:
    from cube_sms.queue import Consumed
    from tests.integration.deployment import Deployment

# What the classes are made with.
ARGUMENTS: dict[str, Any] = {
    "reason": "unavailable",
    "why": "why",
    "until": 4e9,
    "pause": Pause(since=1.0, until=4e9, reason="maintenance"),
    "now": 2.0,
    "faults": [Fault("deviceId", "is missing")],
    "request_id": "order-1",
    "message_id": "default#order-1",
}
numbers = itertools.count()


CLASSES = [kind for kind in obstacles() if all(hasattr(kind, name) for name in POLICY)]
QUERIES = [kind for kind in CLASSES if issubclass(kind, CubeError)]

each_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
each_query = pytest.mark.parametrize("kind", QUERIES, ids=lambda kind: kind.__name__)


def made(kind: type[Obstacle]) -> Obstacle:
    parameters = inspect.signature(kind.__init__).parameters.values()
    needed = {p.name: ARGUMENTS[p.name] for p in parameters if p.name in ARGUMENTS and p.default is p.empty}
    return kind(**needed)


class House:
    """The gateway around a provider that has one result only."""

    def __init__(self, gateway: Deployment, result: CubeAnswer | CubeError) -> None:
        self.provider = FakeProvider(result)
        self.gate = Gate(gateway.dynamodb, TABLE, qps=200, quota=0, longest_post=self.provider.longest_post)
        sender = Sender(
            self.provider,
            CredentialStore(gateway.secrets, SECRET_ID),
            RecordStore(gateway.dynamodb, TABLE, lease=30.0, retention=86_400.0),
            self.gate,
            max_attempts=3,
        )
        settings = Settings(
            cube_base_url="https://api-uat.io.linksfield.net/cube/v4",
            cube_secret_id=SECRET_ID,
            messages_table=TABLE,
            send_queue_url=gateway.send_queue,
            dead_letter_queue_url=gateway.dead_letter_queue,
            rejected_queue_url=gateway.rejected_queue,
        )
        sqs = boto3.client("sqs")
        self.queue = QueueConsumer(sender, sqs, settings)
        self.api = MessagesApi(sender, sqs, ConnectionLeases(gateway.dynamodb, TABLE, 0), settings)
        self._gateway = gateway

    def consume(self, **fields: str) -> Consumed:
        """Take one message from the queue."""
        event = self._gateway.deliver(load_event("sqs-text"))
        request = {**json.loads(event["Records"][0]["body"]), "requestId": f"order-{next(numbers)}", **fields}
        event["Records"][0]["body"] = json.dumps(request)
        (consumed,) = self.queue.consume(event["Records"], lambda: Context().get_remaining_time_in_millis() / 1000)
        return consumed


@pytest.fixture(autouse=True)
def open_gate(gateway: Deployment) -> None:
    gateway.dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": GATE_KEY}})


def test_a_provider_of_fifteen_lines_is_enough(gateway: Deployment) -> None:
    house = House(gateway, CubeAnswer("fine", None, 0.1))

    consumed = house.consume()

    assert consumed.acknowledged
    assert consumed.outcome
    assert (consumed.outcome.state, consumed.outcome.code) == (State.SENT, "fine")
    assert len(house.provider.sent) == 1


@pytest.mark.parametrize("left_out", POLICY)
def test_class_that_leaves_something_out_cannot_be_defined(left_out: str) -> None:
    policy = {name: getattr(UnexpectedError, name) for name in POLICY if name != left_out}
    with pytest.raises(TypeError, match=f"CubeMaintenance does not say: {left_out}"):
        type("CubeMaintenance", (Obstacle,), policy)


@each_class
def test_policy_is_made_of_what_the_others_know(kind: type[Obstacle]) -> None:
    assert kind.outcome in ("no", "unknown", "yes")
    assert kind.state is None or kind.state in State.__members__
    assert kind.gate in ("nothing", "opens", "counts", "closes")
    assert kind.account in ("nothing", "opens", "counts")
    assert isinstance(kind.answer, ApiAnswer)
    assert isinstance(kind.renews_credentials, bool)
    # What may be about some recipients is a refusal of the provider's, and nothing was processed.
    assert isinstance(kind.is_of_recipients, bool)
    assert not kind.is_of_recipients or (kind.outcome, kind.state) == ("no", "REJECTED")
    assert kind.metric is None or METRICS[kind.metric.name] is kind.metric
    # A message that is not tried again goes somewhere: it has a state, or it is a dead letter.
    assert kind.state or kind.letter
    assert obstacle(made(kind)).answer == made(kind).answer


@each_class
def test_api_answers_as_it_says(kind: type[Obstacle]) -> None:
    error = made(kind)
    reply = reply_to_error(error)
    assert (reply.status, reply.body["title"]) == (error.answer.status, error.answer.title)
    assert reply.body["detail"] == error.answer.detail.replace("{error}", str(error))
    assert ("Retry-After" in reply.headers) == error.answer.is_later
    assert faults("POST", "/messages", reply.for_lambda) == []


@each_class
def test_metric_counts_it(kind: type[Obstacle], capsys: pytest.CaptureFixture[str]) -> None:
    # Of a name of its own: Powertools keeps the output of the first of each name.
    telemetry = Telemetry(kind.__name__)
    telemetry.failed(made(kind), "id", account="fleet")
    telemetry.flush()
    printed = Printed.parse(capsys.readouterr().out)
    counted = {name for emf in printed.metrics for name in METRICS if name in emf}
    assert counted == ({kind.metric.name} if kind.metric else set())
    (line,) = printed.logs
    assert (line["level"].lower(), line["message"]) == (kind.log or ("error", "unexpected error"))


@each_query
def test_query_that_ends_so(kind: type[CubeError], gateway: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    # Given
    house = House(gateway, kind("reason"))
    # When
    consumed = house.consume()
    # Then the message is in the state, and on the queue or not
    assert consumed.outcome
    assert consumed.outcome.state == kind.state
    assert consumed.acknowledged == State[str(kind.state)].is_final
    # it was repeated with other credentials or not
    assert len(house.provider.sent) == 1 + kind.renews_credentials
    # the gate is open or not
    assert (house.gate.status.closed_for is not None) == (kind.gate == "closes")
    # and the metrics count the state and the error
    telemetry = Telemetry(f"{kind.__name__} from the queue")
    report_consumed(telemetry, consumed)
    telemetry.flush()
    printed = Printed.parse(capsys.readouterr().out)
    wanted = {State[str(kind.state)].metric, *([kind.metric] if kind.metric else [])}
    assert {name for name in METRICS if printed.values(name)} >= {metric.name for metric in wanted}


@each_query
def test_only_what_may_have_been_sent_ends_what_may_be_sent_once(kind: type[CubeError], gateway: Deployment) -> None:
    consumed = House(gateway, kind("reason")).consume(delivery="at-most-once")
    assert consumed.outcome
    assert consumed.outcome.state == (State.UNKNOWN if kind.outcome == "unknown" else kind.state)


@each_query
def test_so_many_in_a_row_close_the_gate_if_they_count(kind: type[CubeError], gateway: Deployment) -> None:
    house = House(gateway, kind("reason"))
    for _ in range(6 if kind.gate != "closes" else 1):
        house.consume()
    assert (house.gate.status.closed_for is not None) == (kind.gate in ("counts", "closes"))


@each_query
def test_so_many_with_one_code_close_the_account_if_they_count(kind: type[CubeError], gateway: Deployment) -> None:
    house = House(gateway, kind("reason", code="9404"))
    for _ in range(REJECTIONS):
        house.consume()
    assert house.gate.status.closed_accounts == ((("default", "9404"),) if kind.account == "counts" else ())


@each_query
def test_api_answers_a_query_that_ends_so(kind: type[CubeError], gateway: Deployment) -> None:
    house = House(gateway, kind("reason"))
    body = json.dumps({"deviceId": "89314404000939952215", "content": "text", "requestId": f"order-{next(numbers)}"})
    posted = house.api.post(body.encode(), idempotency_key=None, prefer=None, path="/messages", time_left=60.0)
    assert (posted.reply.status, posted.reply.body["title"]) == (kind.answer.status, kind.answer.title)
    assert ("Retry-After" in posted.reply.headers) == kind.answer.is_later
    assert faults("POST", "/messages", posted.reply.for_lambda) == []


@pytest.mark.parametrize("kind", [InvalidRequestError, RequestConflictError, SpoiledRecordError])
def test_what_no_further_try_would_change_is_a_dead_letter(kind: type[Obstacle], gateway: Deployment) -> None:
    # Given a message that meets it
    house = House(gateway, CubeAnswer("fine", None, 0.1))
    first = house.consume()
    assert first.request
    own_id = str(first.request.request_id)
    match kind.letter:
        case "InvalidRequest":
            fields = {"content": ""}
        case "Conflict":
            fields = {"requestId": own_id, "content": "another text"}
        case _:
            gateway.change(own_id, updatedAt={"S": "yesterday"})
            fields = {"requestId": own_id}
    # When it comes
    consumed = house.consume(**fields)
    # Then it is a dead letter with this reason, and acknowledged
    assert (consumed.dead_letter_reason, consumed.acknowledged) == (kind.letter, True)
    assert [letter.attributes["reason"] for letter in gateway.dead_letters()] == [kind.letter]


def test_unknown_account_is_a_fault_of_the_request(gateway: Deployment) -> None:
    assert UnknownAccountError.state == "RETRYING"
    consumed = House(gateway, CubeAnswer("fine", None, 0.1)).consume(account="nobody")
    assert consumed.dead_letter_reason == InvalidRequestError.letter
    assert InvalidRequestError.metric is metrics.MESSAGES_INVALID
