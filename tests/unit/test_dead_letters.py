"""The dead-letter queue: what a message looks like there."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from cube_sms.queue.dead_letters import DeadLetterQueue
from tests.sqs_limits import MAX_BYTES, REFUSED, refuse_as_sqs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import boto3
    from mypy_boto3_sqs import SQSClient

CONFLICT, INVALID_REQUEST = "Conflict", "InvalidRequest"
BODY = '{"deviceId": "89314404000939952215", "content": "温度 😀\\n"}'


@pytest.fixture
def sqs(boto3_session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[SQSClient]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        client = boto3_session.client("sqs", region_name="eu-central-1")
        client.meta.events.register("provide-client-params.sqs.SendMessage", refuse_as_sqs)
        yield client


@pytest.fixture
def queue_url(sqs: SQSClient) -> str:
    return sqs.create_queue(QueueName="dead-letters")["QueueUrl"]


@pytest.fixture
def dead_letters(sqs: SQSClient, queue_url: str) -> DeadLetterQueue:
    return DeadLetterQueue(sqs, queue_url)


def record(**attributes: dict[str, Any]) -> dict[str, Any]:
    # As Lambda hands it over: camel case, and lists that are always empty.
    lists: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
    return {
        "messageId": "19dd0b57-b21e-4ac1-bd88-01bbb068cb78",
        "body": BODY,
        "messageAttributes": {name: {**value, **lists} for name, value in attributes.items()},
    }


def string(value: str) -> dict[str, Any]:
    return {"dataType": "String", "stringValue": value}


def received(sqs: SQSClient, queue_url: str) -> Any:
    messages = sqs.receive_message(QueueUrl=queue_url, MessageAttributeNames=["All"], MaxNumberOfMessages=10)[
        "Messages"
    ]
    assert len(messages) == 1
    return messages[0]


def values(message: Any) -> dict[str, Any]:
    return {
        name: attribute.get("StringValue", attribute.get("BinaryValue"))
        for name, attribute in message["MessageAttributes"].items()
    }


def test_message_arrives_whole_with_its_identity_and_the_reason(
    sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue
) -> None:
    dead_letters.put(record(), request_id="order-1", reason="AttemptsUsedUp", attempts=8, lastCode="1007")

    message = received(sqs, queue_url)
    assert message["Body"] == BODY
    assert values(message) == {"requestId": "order-1", "reason": "AttemptsUsedUp", "attempts": "8", "lastCode": "1007"}
    assert message["MessageAttributes"]["attempts"]["DataType"] == "Number"
    assert message["MessageAttributes"]["lastCode"]["DataType"] == "String"


@pytest.mark.parametrize("body", ["not JSON", " ", json.dumps({"content": "a" * 100_000})])
def test_body_of_any_kind_is_kept(sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue, body: str) -> None:
    dead_letters.put({"body": body}, request_id="id", reason=INVALID_REQUEST)
    assert received(sqs, queue_url)["Body"] == body


def test_what_is_not_known_is_left_out_and_zero_is_known(
    sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue
) -> None:
    dead_letters.put(record(), request_id="id", reason=INVALID_REQUEST, detail="", lastCode=None, attempts=0)
    assert values(received(sqs, queue_url)) == {"requestId": "id", "reason": "InvalidRequest", "attempts": "0"}


def test_messages_own_attributes_are_kept(sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue) -> None:
    # Given a message with attributes of every kind
    data = bytes(range(256))
    original = record(
        trace=string("Root=1-67891233"),
        priority={"dataType": "Number.int", "stringValue": "7"},
        blob={"dataType": "Binary.png", "binaryValue": base64.b64encode(data).decode()},
    )

    dead_letters.put(original, request_id="order-1", reason=INVALID_REQUEST)

    # Then they are there with type and value
    attributes = received(sqs, queue_url)["MessageAttributes"]
    assert attributes["trace"] == {"DataType": "String", "StringValue": "Root=1-67891233"}
    assert attributes["priority"] == {"DataType": "Number.int", "StringValue": "7"}
    assert attributes["blob"] == {"DataType": "Binary.png", "BinaryValue": data}
    assert attributes["requestId"]["StringValue"] == "order-1"


def test_message_that_dies_again_tells_of_its_last_death(
    sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue
) -> None:
    # Given a message that was redriven
    again = record(requestId=string("order-1"), reason=string(INVALID_REQUEST), detail=string("deviceId: is required"))

    dead_letters.put(again, request_id="order-1", reason="AttemptsUsedUp", detail="HTTP 503", attempts=8)

    assert values(received(sqs, queue_url)) == {
        "requestId": "order-1",
        "reason": "AttemptsUsedUp",
        "detail": "HTTP 503",
        "attempts": "8",
    }


def test_letter_of_a_message_that_dies_again_holds_nothing_of_the_earlier_one(
    sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue
) -> None:
    # Given a message that was redriven after its attempts were used up
    earlier = {"attempts": "8", "lastCode": "9429", "failedClaim": "4f1a", "reason": "AttemptsUsedUp", "trace": "1-2"}
    again = record(**{name: string(value) for name, value in earlier.items()})

    dead_letters.put(again, request_id="order-1", reason=CONFLICT)

    assert values(received(sqs, queue_url)) == {"requestId": "order-1", "reason": "Conflict", "trace": "1-2"}


def test_attributes_of_these_names_are_the_senders_before_the_first_letter(
    sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue
) -> None:
    dead_letters.put(record(attempts=string("mine")), request_id="order-1", reason=CONFLICT)
    assert values(received(sqs, queue_url))["attempts"] == "mine"


def test_more_attributes_than_sqs_takes_are_dropped_but_never_the_reason(
    sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue
) -> None:
    # Given a message with all the ten attributes a message can have
    original = record(**{f"own{number}": string(str(number)) for number in range(10)})

    dead_letters.put(original, request_id="order-1", reason=INVALID_REQUEST, detail="a", attempts=1)

    # Then ours are there and as many of its own as fit
    attributes = values(received(sqs, queue_url))
    assert len(attributes) == 10
    assert attributes.keys() >= {"requestId", "reason", "detail", "attempts", "own0", "own5"}


def test_long_value_is_cut(sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue) -> None:
    dead_letters.put(record(), request_id="id", reason=INVALID_REQUEST, detail="é" * 300_000)

    detail = values(received(sqs, queue_url))["detail"]
    assert detail.startswith("é" * 100)
    assert len(detail) <= 1024


@pytest.mark.parametrize("refused", ["\x00", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff", chr(0xD800), chr(0xDFFF)])
def test_character_that_sqs_refuses_is_replaced(
    sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue, refused: str
) -> None:
    dead_letters.put(record(), request_id="id", reason=INVALID_REQUEST, detail=f"{refused}: is not a field{refused}")

    assert values(received(sqs, queue_url))["detail"] == "?: is not a field?"


@pytest.mark.parametrize("allowed", ["\t\n\r", " ~\x7f\x85", "温度", "\ud7ff\ue000\ufffd", "😀\U0010ffff"])
def test_every_other_character_is_kept(
    sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue, allowed: str
) -> None:
    dead_letters.put(record(), request_id="id", reason=INVALID_REQUEST, detail=f"a{allowed}b")
    assert values(received(sqs, queue_url))["detail"] == f"a{allowed}b"


def of_size(size: int, character: str = "a") -> str:
    """Return a JSON text of so many bytes."""
    count, rest = divmod(size - 2, len(character.encode()))
    return f'"{" " * rest}{character * count}"'


def test_detail_is_cut_where_the_whole_message_and_all_of_it_are_too_much(
    sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue
) -> None:
    # Given a message that leaves room for its identity and the reason, and for some of the detail
    body = of_size(MAX_BYTES - 500)

    dead_letters.put(
        {"body": body}, request_id="order-1", reason=INVALID_REQUEST, detail="deviceId: is required; " * 40
    )

    # Then it is there whole
    message = received(sqs, queue_url)
    assert message["Body"] == body
    assert values(message)["detail"].startswith("deviceId: is required; ")
    assert "cutFrom" not in values(message)


@pytest.mark.parametrize("character", ["a", "é", "😀"])
def test_body_is_cut_where_it_leaves_no_room_for_the_reason(
    sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue, character: str
) -> None:
    # Given a message as large as SQS takes
    body = of_size(MAX_BYTES, character)

    dead_letters.put({"body": body}, request_id="order-1", reason=INVALID_REQUEST, detail="is not JSON")

    # Then as much as fits is there, and the letter says how much it was
    message = received(sqs, queue_url)
    assert body.startswith(message["Body"])
    assert len(message["Body"].encode()) > MAX_BYTES - 1000
    assert values(message) == {
        "requestId": "order-1",
        "reason": "InvalidRequest",
        "detail": "is not JSON",
        "cutFrom": str(MAX_BYTES),
    }


def test_letter_that_was_cut_stays_so_when_it_dies_again(
    sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue
) -> None:
    again = record(requestId=string("order-1"), reason=string(INVALID_REQUEST), cutFrom=string("1048576"))
    dead_letters.put(again, request_id="order-1", reason=CONFLICT)
    assert values(received(sqs, queue_url)) == {"requestId": "order-1", "reason": "Conflict", "cutFrom": "1048576"}


def test_body_that_sqs_would_refuse_is_put_without_what_it_refuses(
    sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue
) -> None:
    dead_letters.put({"body": "a\x00\ud800b"}, request_id="id", reason=INVALID_REQUEST)

    message = received(sqs, queue_url)
    assert message["Body"] == "a??b"
    assert values(message)["cutFrom"] == "6"


def test_senders_attributes_give_way_to_the_reason(
    sqs: SQSClient, queue_url: str, dead_letters: DeadLetterQueue
) -> None:
    # Given a message that is nearly all attributes
    original = record(trace=string("1-2"), large=string("a" * (MAX_BYTES - 300)), last=string("3"))

    dead_letters.put(original, request_id="order-1", reason=CONFLICT, detail="requestId: " + "a" * 500)

    message = received(sqs, queue_url)
    assert message["Body"] == BODY
    assert values(message).keys() == {"requestId", "reason", "detail", "trace", "last"}


class StrictQueue:
    """A queue that refuses what SQS refuses, with as much of its API as the dead-letter queue calls."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def send_message(self, **params: Any) -> None:
        refuse_as_sqs(params)
        self.messages.append(params)


RECEIVABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=REFUSED), min_size=1, max_size=20)
NAMES = st.sampled_from(["reason", "requestId", "detail", "cutFrom", "failedClaim", "a", "trace", "b.c"])


@given(
    unit=RECEIVABLE,
    spare=st.integers(0, 3000),
    attributes=st.dictionaries(NAMES, RECEIVABLE, max_size=7),
    large=st.integers(0, 10) | st.integers(0, MAX_BYTES - 10_000),
    why=st.fixed_dictionaries(
        {},
        optional={
            "detail": st.text(),
            "attempts": st.integers(0, 50),
            "lastCode": st.text(),
            "failedClaim": RECEIVABLE,
        },
    ),
)
@settings(max_examples=100)
def test_every_message_that_can_be_received_can_be_put_there(
    unit: str, spare: int, attributes: dict[str, str], large: int, why: dict[str, Any]
) -> None:
    # Given a message at or near the limit, whose bytes are in its body, in an attribute, or in both
    own = {name: string(value) for name, value in attributes.items()}
    own |= {"large": string("l" * large)} if large else {}
    taken = spare + sum(len(f"{name}String{value['stringValue']}".encode()) for name, value in own.items())
    body = (unit * (MAX_BYTES // len(unit.encode()))).encode()[: MAX_BYTES - taken].decode(errors="ignore")
    queue = StrictQueue()

    DeadLetterQueue(queue, "queue").put(  # type: ignore[arg-type]  # as much as it calls
        record(**own) | {"body": body}, request_id="order-1", reason=INVALID_REQUEST, **why
    )

    # Then SQS takes it, and it is whole or says that it is not
    (letter,) = queue.messages
    assert letter["MessageAttributes"]["reason"]["StringValue"] == INVALID_REQUEST
    assert body.startswith(letter["MessageBody"])
    if letter["MessageBody"] != body:
        assert int(letter["MessageAttributes"]["cutFrom"]["StringValue"]) == len(body.encode())
