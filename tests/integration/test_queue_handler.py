"""The handler of the send queue, with provider and AWS behind it: what is sent, and what is not."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from cube_sms.delivery.records.items import REFUSED_KEY
from cube_sms.delivery.states import State
from cube_sms.platform import key_to
from cube_sms.platform.errors import SettingsError
from tests.integration.deployment import TABLE
from tests.support import ACCESS_CODE, DEVICE, SECRET, Context, load_event, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment
    from tests.support import Printed


def event_of(**fields: Any) -> dict[str, Any]:
    """The event of a text, with some fields of its request changed."""
    event = load_event("sqs-text")
    event["Records"][0]["body"] = json.dumps(json.loads(event["Records"][0]["body"]) | fields)
    return event


def messages(number: int) -> dict[str, Any]:
    """The event of as many new messages."""
    return queue_event(*[{"deviceId": DEVICE, "content": "Wake up"}] * number)


def ids(event: dict[str, Any]) -> list[str]:
    return [record["messageId"] for record in event["Records"]]


@pytest.mark.parametrize("name", ["sqs-text", "sqs-binary", "sqs-chinese-text", "sqs-provider-array", "sqs-batch"])
def test_every_kind_of_message_is_sent_and_acknowledged(cube: CubeSimulator, gateway: Deployment, name: str) -> None:
    # Given
    event = load_event(name)
    # When
    failures = gateway.consume(event)
    # Then
    bodies = [json.loads(record["body"]) for record in event["Records"]]
    items = [body.get("smsContentList", [{"smsTemplateContent": body.get("content")}]) for body in bodies]
    assert failures == []
    assert [
        (request["deviceId"], request["messageType"], request["contents"], request["accepted"])
        for request in cube.requests()
    ] == [
        (body["deviceId"], body.get("messageType", "Text"), [item["smsTemplateContent"] for item in each], True)
        for body, each in zip(bodies, items, strict=True)
    ]
    assert gateway.dead_letters() == []


def test_invalid_request_goes_to_the_dead_letter_queue(cube: CubeSimulator, gateway: Deployment) -> None:
    event = load_event("sqs-invalid")
    # When
    failures = gateway.consume(event)
    # Then it is acknowledged, was not posted, and is kept whole with all that is wrong with it
    assert (failures, cube.stats()["received"]) == ([], 0)
    (dead_letter,) = gateway.dead_letters()
    assert dead_letter.body == event["Records"][0]["body"]
    assert dead_letter.attributes["reason"] == "InvalidRequest"
    assert dead_letter.attributes["requestId"] == "order-7786-wakeup"
    for fault in ("deviceId: ", "messageType: ", "priority: "):
        assert fault in dead_letter.attributes["detail"]


@pytest.mark.parametrize("body", ["{", "[]", "null", '"text"', "{}", "[" * 5000, '{"a": 1, "a": 2}'])
def test_message_that_is_no_request_goes_there_under_its_own_id(gateway: Deployment, body: str) -> None:
    event = load_event("sqs-text")
    event["Records"][0]["body"] = body
    assert gateway.consume(event) == []
    assert [each.attributes["requestId"] for each in gateway.dead_letters()] == ids(event)


def test_body_that_sqs_itself_would_refuse_goes_there_without_what_it_refuses(gateway: Deployment) -> None:
    event = load_event("sqs-text")
    event["Records"][0]["body"] = '{"deviceId": "\ud800"}'
    assert gateway.consume(event) == []
    (dead_letter,) = gateway.dead_letters()
    assert dead_letter.body == '{"deviceId": "?"}'
    assert dead_letter.attributes["cutFrom"] == "19"


def test_notification_of_sns_is_sent_under_its_id(cube: CubeSimulator, gateway: Deployment) -> None:
    # Given a queue that subscribes to a topic without raw delivery, and SNS delivers twice
    event = load_event("sqs-sns")
    notification = json.loads(event["Records"][0]["body"])
    # When
    assert gateway.consume(queue_event(*[record["body"] for record in event["Records"] * 2])) == []
    # Then
    assert [request["deviceId"] for request in cube.requests()] == [json.loads(notification["Message"])["deviceId"]]
    assert gateway.record(notification["MessageId"]).state is State.SENT


def test_notification_whose_message_is_no_request_is_kept_whole(gateway: Deployment) -> None:
    event = load_event("sqs-sns")
    notification = json.loads(event["Records"][0]["body"]) | {"Message": "Freezer 7 is too warm"}
    event["Records"][0]["body"] = json.dumps(notification)
    assert gateway.consume(event) == []
    (dead_letter,) = gateway.dead_letters()
    assert json.loads(dead_letter.body) == notification
    assert dead_letter.attributes == {
        "reason": "InvalidRequest",
        "requestId": notification["MessageId"],
        "detail": "$: is not JSON",
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "x" * 40},
        {"account": "nobody"},
        # What cannot be read at once is read field by field
        {"expiresAt": "tomorrow"},
    ],
    ids=["too long by now", "no account any more", "not a time"],
)
@pytest.mark.parametrize("priority", ["bulk", "normal"])
def test_word_is_left_of_a_row_that_is_refused_only_here(
    gateway: Deployment, fields: dict[str, str], priority: str
) -> None:
    # Given requests that have been valid until a parameter or the secret was changed
    gateway.configure(MAX_CONTENT_LENGTH="39")
    message = {"deviceId": DEVICE, "content": "Wake up", "requestId": f"spring-1-{uuid4()}", "priority": priority}

    # When they come from the queue
    assert gateway.consume(queue_event(message | fields)) == []

    # Then a campaign that waits for its row learns what the dead letter says; for others nothing is written
    (letter,) = gateway.dead_letters()
    key = f"{REFUSED_KEY}{message['requestId']}"
    item = gateway.dynamodb.get_item(TableName=TABLE, Key=key_to(key)).get("Item", {})
    expected = {"detail": {"S": letter.attributes["detail"]}} if priority == "bulk" else {}
    assert {name: item[name] for name in item.keys() & {"detail"}} == expected


@pytest.mark.parametrize("name", ["sqs-text", "sqs-sns", "eventbridge-requested"])
def test_byte_order_mark_before_the_json_is_ignored(cube: CubeSimulator, gateway: Deployment, name: str) -> None:
    event = load_event(name)
    event["Records"][0]["body"] = "\ufeff" + event["Records"][0]["body"]
    assert gateway.consume(event) == []
    assert [request["accepted"] for request in cube.requests()] == [True]


def test_fields_that_are_null_count_as_absent(cube: CubeSimulator, gateway: Deployment) -> None:
    # Given a message that is put onto the queue twice, by two serializers
    message = {"deviceId": DEVICE, "content": "Wake up", "requestId": "order-1"}
    nulls = dict.fromkeys(["expiresAt", "messageType", "smsContentList", "account", "delivery", "taskToken"])
    # When
    assert gateway.consume(queue_event(message, message | nulls)) == []
    # Then the second one is the same request
    assert (cube.stats()["received"], gateway.dead_letters()) == (1, [])


def test_half_of_a_surrogate_pair_is_the_reason_of_the_dead_letter(gateway: Deployment) -> None:
    event = event_of(content="Hi \ud83d")
    assert gateway.consume(event) == []
    (dead_letter,) = gateway.dead_letters()
    assert dead_letter.body == event["Records"][0]["body"]
    assert dead_letter.attributes["detail"] == "content: holds half of a surrogate pair (an emoji cut in two)"


def test_faults_by_the_thousand_fit_into_the_dead_letter_and_the_log(
    gateway: Deployment, printed: Callable[[], Printed]
) -> None:
    event = event_of(**{f"{number:05d}": "" for number in range(60_000)})
    assert gateway.consume(event) == []
    (dead_letter,) = gateway.dead_letters()
    assert dead_letter.attributes["detail"].startswith("60000 faults, the first 20: 00000: is not a field")
    assert len(dead_letter.attributes["detail"]) <= 1024
    (log,) = (log for log in printed().logs if log["message"] == "invalid request")
    assert (len(log["faults"]), log["more_faults"]) == (20, 59_980)
    assert len(json.dumps(log)) < 10_000


def test_request_id_beside_the_body_is_honoured(cube: CubeSimulator, gateway: Deployment) -> None:
    # Given a message without an id in its body, and one whose two ids differ
    event = load_event("sqs-batch")
    alone, other = event["Records"][1], event["Records"][0]
    other["messageAttributes"] = alone["messageAttributes"]
    # When
    failures = gateway.consume({"Records": [alone, other]})
    # Then the first is sent, and the second is invalid
    assert failures == []
    assert [request["deviceId"] for request in cube.requests()] == [json.loads(alone["body"])["deviceId"]]
    (dead_letter,) = gateway.dead_letters()
    assert "requestId: in the body differs" in dead_letter.attributes["detail"]


def test_dead_letter_keeps_the_messages_own_attributes(gateway: Deployment) -> None:
    event = load_event("sqs-invalid")
    event["Records"][0]["messageAttributes"] = {
        "tenant": {"stringValue": "acme", "stringListValues": [], "binaryListValues": [], "dataType": "String"}
    }
    gateway.consume(event)
    (dead_letter,) = gateway.dead_letters()
    assert dead_letter.attributes["tenant"] == "acme"


def test_dead_letter_that_is_put_back_onto_the_queue_keeps_its_identity(
    cube: CubeSimulator, gateway: Deployment
) -> None:
    # Given a message without an id that has failed once too often
    gateway.configure(MAX_ATTEMPTS="1")
    event = load_event("sqs-text")
    event["Records"][0]["body"] = json.dumps({"deviceId": "89314404000939952211", "content": "Wake up"})
    cube.configure(next_faults=["status:503"])
    delivered = gateway.deliver(event)
    gateway.consume(delivered)
    (dead_letter,) = gateway.dead_letters()
    assert dead_letter.attributes["requestId"] == ids(delivered)[0]
    # When it comes back as another SQS message, with its attributes, and fails again
    event["Records"][0]["messageAttributes"] = {
        name: {"stringValue": value, "dataType": "String"} for name, value in dead_letter.attributes.items()
    }
    cube.configure(next_faults=["status:503"])
    again = gateway.deliver(event)
    assert ids(again) != ids(delivered)
    gateway.consume(again)
    # Then
    assert dead_letter.attributes["requestId"] in [each.attributes["requestId"] for each in gateway.dead_letters()]


def test_unknown_account_goes_to_the_dead_letter_queue(cube: CubeSimulator, gateway: Deployment) -> None:
    assert gateway.consume(event_of(account="nobody")) == []
    (dead_letter,) = gateway.dead_letters()
    assert dead_letter.attributes["reason"] == "InvalidRequest"
    assert dead_letter.attributes["detail"].startswith("account: ")
    assert cube.stats()["received"] == 0


def test_each_account_signs_with_its_own_credentials(cube: CubeSimulator, gateway: Deployment) -> None:
    gateway.set_accounts(default=(ACCESS_CODE, SECRET), fleet=("P009999", "the-fleets-secret"))
    cube.configure(accounts={ACCESS_CODE: SECRET, "P009999": "the-fleets-secret"})
    assert gateway.consume(event_of(account="fleet")) == []
    assert [(each["accessCode"], each["accepted"]) for each in cube.requests()] == [("P009999", True)]


def test_device_that_the_provider_does_not_know_is_rejected_for_good(cube: CubeSimulator, gateway: Deployment) -> None:
    event = load_event("sqs-unknown-device")
    cube.configure(unknown_devices=["89314404000939952299"])
    assert gateway.consume(event) == []
    assert [request["reason"] for request in cube.requests()] == ["device"]
    assert gateway.dead_letters() == []


def test_request_that_has_expired_is_not_posted(cube: CubeSimulator, gateway: Deployment) -> None:
    assert gateway.consume(event_of(expiresAt="2026-01-12T10:00:00Z")) == []
    assert cube.stats()["received"] == 0
    assert gateway.dead_letters() == []


@pytest.mark.parametrize("fault", ["lost", "status-after:500", "garbage"])
def test_unknown_outcome_is_final_where_a_message_is_sent_at_most_once(
    cube: CubeSimulator, gateway: Deployment, fault: str
) -> None:
    cube.configure(next_faults=[fault])
    assert gateway.consume(event_of(delivery="at-most-once")) == []
    assert (cube.stats()["received"], gateway.dead_letters()) == (1, [])


@pytest.mark.parametrize("refusal", ["status:401", "status:403"])
def test_credentials_that_are_refused_once_are_fetched_afresh(
    cube: CubeSimulator, gateway: Deployment, refusal: str
) -> None:
    cube.configure(next_faults=[refusal])
    assert gateway.consume(load_event("sqs-text")) == []
    assert [request["accepted"] for request in cube.requests()] == [False, True]


def test_secret_that_was_rotated_is_found_by_a_warm_function(cube: CubeSimulator, gateway: Deployment) -> None:
    # Given a warm function
    assert gateway.consume(load_event("sqs-text")) == []
    # When both sides change the secret
    cube.configure(accounts={ACCESS_CODE: "the-next-secret"})
    gateway.set_accounts(default=(ACCESS_CODE, "the-next-secret"))
    # Then the next message is sent with the new one, after one refusal
    assert gateway.consume(load_event("sqs-chinese-text")) == []
    assert [request["accepted"] for request in cube.requests()] == [True, False, True]


def test_cold_and_warm_invocations_share_a_connection(cube: CubeSimulator, gateway: Deployment) -> None:
    for _ in range(3):
        assert gateway.consume(messages(5)) == []
    assert (cube.stats()["accepted"], cube.stats()["connections"]) == (15, 1)
    # When the execution environment is a new one
    gateway.cool_down()
    assert gateway.consume(messages(5)) == []
    assert cube.stats()["connections"] == 2


def test_messages_are_sent_side_by_side_as_far_as_the_deployment_allows(
    cube: CubeSimulator, gateway: Deployment
) -> None:
    # Given four at a time, and a provider that takes its time
    gateway.configure(QUEUE_SEND_CONCURRENCY="4")
    cube.configure(latency=0.2)
    event = messages(15)
    # When
    started = time.monotonic()
    failures = gateway.consume(event)
    # Then
    stats = cube.stats()
    assert (failures, stats["accepted"]) == ([], 15)
    assert 1 < stats["highestInFlight"] <= 4
    assert stats["connections"] <= 4
    assert time.monotonic() - started >= 4 * 0.2


def test_settings_that_are_wrong_are_reported_all_at_once(gateway: Deployment) -> None:
    gateway.configure(CUBE_SECRET_ID="", MAX_ATTEMPTS="0", CUBE_LANGUAGE="fr-FR", CUBE_READ_TIMEOUT="soon")
    with pytest.raises(SettingsError) as caught:
        gateway.consume(load_event("sqs-text"), Context())
    for name in ("CUBE_SECRET_ID", "MAX_ATTEMPTS", "CUBE_LANGUAGE", "CUBE_READ_TIMEOUT"):
        assert name in str(caught.value)
