"""Content, secrets and device ids: nothing that leaves the gateway but the message itself shows them."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cube_sms.outcomes.events import detail_of
from local.cube_simulator.faults import ECHOES
from tests.integration.deployment import DeadLetter
from tests.integration.test_client_redaction import QUOTES
from tests.integration.wire import FAILURE, SUCCESS, Wire, answer
from tests.support import ACCESS_CODE, SECRET, queue_event
from tests.v4_account import ENTRY, KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment
    from tests.support import Printed

TEXT = "Your one-time PIN is Kx4711q 请勿告诉他人"
WORDS = ("Your one-time", "PIN", "Kx4711q", "请勿告诉他人")
DEVICES = [f"8931440400093995{number:04d}" for number in range(2200, 2220)]
HIDDEN = (*WORDS, *DEVICES, SECRET, "the-secret-of-the-fleet", *KEY.private.splitlines()[1:-1])

# Requests whose content is in a wrong place. Names of unknown fields are reported, on purpose.
MISPLACED = [
    {"deviceId": TEXT, "content": "text"},
    {"deviceId": DEVICES[0], "content": TEXT, "account": TEXT},
    {"deviceId": DEVICES[0], "content": TEXT, "requestId": TEXT},
    {"deviceId": DEVICES[0], "content": TEXT, "messageType": TEXT},
    {"deviceId": DEVICES[0], "content": TEXT, "messageType": "Binary"},
    {"deviceId": DEVICES[0], "content": TEXT, "delivery": TEXT, "expiresAt": TEXT},
    {"deviceId": DEVICES[0], "content": [TEXT]},
    {"deviceId": [DEVICES[0]], "content": {TEXT: TEXT}},
    {"deviceId": DEVICES[0], "content": TEXT, "smsContentList": [{"smsTemplateContent": TEXT}]},
    {"deviceId": DEVICES[0], "smsContentList": [{"smsTemplateContent": TEXT, "smsNum": 1, "smsType": TEXT}]},
    {"deviceId": DEVICES[0], "smsContentList": [TEXT]},
    {"deviceId": DEVICES[0], "content": TEXT + "\u0007"},
    {"deviceId": DEVICES[0], "content": TEXT * 20},
    {"deviceId": DEVICES[0] + " ", "content": TEXT},
    {"deviceId": DEVICES[0], "content": TEXT, "priority": TEXT},
    {"deviceId": DEVICES[0], "content": TEXT, "account": "nobody"},
    [TEXT, DEVICES[0]],
    TEXT,
    '{"deviceId": "' + DEVICES[0] + '", "content": "' + TEXT,
]


def assert_hidden(*shown: object) -> None:
    # JSON with and without escapes, so that a text hides in neither.
    texts = [
        json.dumps(each, ensure_ascii=escaped) for part in shown for each in _parts(part) for escaped in (True, False)
    ]
    assert [text for text in texts if any(hidden in text for hidden in HIDDEN)] == []


def _parts(shown: object) -> list[object]:
    return [part for each in shown for part in _parts(each)] if isinstance(shown, list | tuple) else [shown]


@pytest.fixture
def restless(cube: CubeSimulator, gateway: Deployment) -> CubeSimulator:
    """A provider with a fault for each device, for each of which there is a request in `REQUESTS`."""
    gateway.set_entries(
        default={"access_code": ACCESS_CODE, "secret": SECRET},
        fleet={"access_code": ACCESS_CODE, "secret": "the-secret-of-the-fleet"},
        modern=ENTRY,
    )
    cube.configure(
        unknown_devices=[DEVICES[3]],
        device_faults=dict(zip(DEVICES[4:], FAULTS, strict=False)),
    )
    return cube


FAULTS = ["echo", "status:503", "status:429", "status:500", "lost", "garbage", "huge", "redirect", "status:403"]

REQUESTS: list[dict[str, Any]] = [
    *({"deviceId": each, "content": TEXT} for each in DEVICES[1 : 4 + len(FAULTS)]),
    {"deviceId": DEVICES[1], "content": TEXT, "account": "fleet"},
    *({"deviceId": each, "content": TEXT, "account": "modern"} for each in DEVICES[1 : 4 + len(FAULTS)]),
    {"deviceId": DEVICES[8], "content": TEXT, "delivery": "at-most-once"},
    {"deviceId": DEVICES[1], "content": TEXT, "expiresAt": "2020-01-01T00:00:00Z"},
    {"deviceId": DEVICES[4], "smsContentList": [{"smsTemplateContent": word} for word in ("PIN", "PIN is Kx4711q")]},
    {"deviceId": DEVICES[4], "smsContentList": [{"smsTemplateContent": "Kx4711q"}, {"smsTemplateContent": TEXT}]},
]


def test_queue_handler_shows_nothing(
    restless: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
) -> None:
    # When messages reach every outcome, the first time and the last, and all of them come once more
    gateway.configure(MAX_ATTEMPTS="2")
    event = queue_event(*REQUESTS)
    for _ in range(3):
        gateway.consume(event)
    # And others come under their ids
    others = queue_event(*({"deviceId": DEVICES[0], "content": TEXT} for _ in REQUESTS))
    for record, other in zip(event["Records"], others["Records"], strict=True):
        other["messageId"] = record["messageId"]
    gateway.consume(others)
    # Then
    output = printed()
    states = {log["state"] for log in output.logs if "state" in log}
    assert states == {"SENT", "REJECTED", "RETRYING", "FAILED", "UNKNOWN", "EXPIRED"}
    # Messages that shared a query with the one that is refused are asked for once more, without it.
    assert restless.stats()["faults"]["echo"] > 4
    letters = [letter.attributes for _ in range(5) for letter in gateway.dead_letters()]
    assert {letter["reason"] for letter in letters} == {"AttemptsUsedUp", "Conflict"}
    assert_hidden(output, letters)


@pytest.mark.parametrize("form", ECHOES)
def test_nothing_shows_what_the_provider_quotes_in_any_form(
    cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed], form: str
) -> None:
    # Given a provider that quotes what it refuses, as it is or in another form
    cube.configure(faults={f"echo:{form}": 1.0})
    gateway.configure(MAX_ATTEMPTS="1")
    texts = (TEXT, "pin 4711", "471147", f"  {WORDS[0]}   <b>{WORDS[2]}</b>\n{WORDS[3]}")
    requests = [{"deviceId": DEVICES[0], "content": text, "requestId": f"order-{n}"} for n, text in enumerate(texts)]
    # When messages come by the queue and by the API
    assert gateway.consume(queue_event(*requests)) == []
    replies = [gateway.post(each | {"requestId": f"{each['requestId']}-api"}) for each in requests]
    # Then all of them are refused, and nothing that was said of them is anywhere
    records = [gateway.record(each["requestId"]) for each in requests]
    assert {record.state for record in records} == {"REJECTED"}
    assert {reply.status for reply in replies} == {422}
    assert {record.code for record in records} == ({"[redacted]"} if form == "code" else {"9500"})
    shown = json.dumps([*printed().logs, *(reply.json for reply in replies)], ensure_ascii=False) + repr(records)
    # Ids are made by chance, and may hold any four digits.
    shown = re.sub(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|[0-9a-f]{64}", "", shown)
    encoded = [base64.b64encode(text.encode()).decode() for text in texts]
    for hidden in (*WORDS, *map(str.upper, WORDS), *encoded, "4711", "&lt;b&gt;"):
        assert hidden not in shown


# What differs between any two messages.
PASSING = {"timestamp", "correlation_id", "latencies_ms", "function_request_id"}
PASSING |= {"createdAt", "updatedAt", "eventId", "failedClaim"}


@settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    content=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=140),
    what=st.sampled_from(["content", "secret", "access code"]),
    quote=st.sampled_from([*QUOTES.values()]),
    status=st.sampled_from([200, 400, 403, 404, 429, 500, 503]),
    envelope=st.sampled_from([SUCCESS, FAILURE]),
)
def test_whatever_the_provider_says_of_a_request_makes_no_difference_anywhere(
    gateway: Deployment,
    printed: Callable[[], Printed],
    content: str,
    what: str,
    quote: Callable[[str], str],
    status: int,
    envelope: dict[str, Any],
) -> None:
    # Given a provider that quotes the first messages, and says nothing of the others
    quoted = quote({"content": content, "secret": SECRET, "access code": ACCESS_CODE}[what])
    code = {} if envelope is SUCCESS else {"code": f"<{quoted}>"}
    says, neutral = envelope | {"message": quoted, "data": quoted} | code, envelope | dict.fromkeys(code, "<>")

    def shown(said: dict[str, Any], name: str) -> str:
        with Wire(answer(said, status)) as wire:
            gateway.configure(CUBE_BASE_URL=wire.url, MAX_ATTEMPTS="1")
            request = {"deviceId": DEVICES[0], "content": content, "requestId": name}
            gateway.consume(queue_event(request))
            reply = gateway.post(request | {"requestId": f"{name}-api"})
        letters = []
        for queue in (gateway.dead_letter_queue, gateway.rejected_queue):
            found = gateway.sqs.receive_message(QueueUrl=queue, MessageAttributeNames=["All"]).get("Messages", [])
            letters += [DeadLetter(message).attributes for message in found]
            for message in found:
                gateway.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        records = [gateway.record(name), gateway.record(f"{name}-api")]
        for record in records:
            gateway.forget(record.members["requestId"])
        everything = [*printed().logs, *letters, *map(detail_of, records), reply.json]
        kept = [{key: value for key, value in part.items() if key not in PASSING} for part in everything]
        return json.dumps(kept).replace(name, "order")

    # When they end, then logs, attributes of dead letters, events and replies are the same for both
    assert shown(says, "one") == shown(neutral, "two")


def test_queue_handler_shows_nothing_of_requests_that_are_invalid(
    cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
) -> None:
    # When
    assert gateway.consume(queue_event(*MISPLACED)) == []
    # Then
    letters = [letter.attributes for _ in range(3) for letter in gateway.dead_letters()]
    assert cube.stats()["received"] == 0
    assert {letter["reason"] for letter in letters} == {"InvalidRequest"}
    assert len(letters) == len(MISPLACED)
    assert_hidden(printed(), letters)


def test_queue_handler_shows_nothing_where_aws_is_in_the_way(
    restless: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
) -> None:
    # Given queues that are gone, and a record that lacks its body
    for url in (gateway.send_queue, gateway.dead_letter_queue):
        gateway.sqs.delete_queue(QueueUrl=url)
    gateway.configure(MAX_ATTEMPTS="2")
    event = queue_event(*REQUESTS, *MISPLACED)
    del event["Records"][0]["body"]
    # When the first time and the last, and when the records are unavailable as well
    for _ in range(2):
        assert gateway.consume(event)
    gateway.aws_calls.fail("UpdateItem")
    assert gateway.consume(event)
    # Then
    output = printed()
    assert "unexpected error" in [log["message"] for log in output.logs]
    assert restless.stats()["received"] > 0
    assert_hidden(output)


def test_id_beside_the_body_that_is_invalid_is_not_shown(gateway: Deployment, printed: Callable[[], Printed]) -> None:
    # Given content where the id of the request belongs
    event = queue_event(REQUESTS[0], attributes={"requestId": TEXT})
    # When
    assert gateway.consume(event) == []
    reply = gateway.post(REQUESTS[0], Idempotency_Key=TEXT)
    # Then the answer is that the id is invalid, and a redriven message gets a valid one
    (letter,) = gateway.dead_letters()
    assert reply.status == 400
    assert_hidden(printed(), reply.text, letter.attributes)


def test_api_shows_nothing(restless: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]) -> None:
    # When
    replies = [gateway.post(each) for each in (*REQUESTS, *MISPLACED)]
    keyed = [gateway.post(each, Idempotency_Key="order-1") for each in REQUESTS[:2]]
    shown = [gateway.get(each) for each in ("order-1", "order-2", TEXT)]
    queued = [gateway.post(each, Prefer="respond-async") for each in REQUESTS[:3]]
    gateway.sqs.delete_queue(QueueUrl=gateway.send_queue)
    queued.append(gateway.post(REQUESTS[0], Prefer="respond-async"))
    # Then
    assert {reply.status for reply in replies} == {200, 400, 422, 429, 502, 503, 504}
    assert [reply.status for reply in queued] == [202, 202, 202, 503]
    assert [reply.status for reply in keyed + shown] == [200, 409, 200, 404, 404]
    record = shown[0].json
    assert record.pop("deviceId") == DEVICES[1]
    assert restless.stats()["faults"]["echo"] == 4
    assert_hidden(printed(), [(reply.text, reply.headers) for reply in replies + keyed + queued], record, shown[2].text)


def test_faults_of_the_credentials_show_no_value(gateway: Deployment, printed: Callable[[], Printed]) -> None:
    # Given a secret in every wrong form, when a message is to be sent with it
    replies = []
    for value in (SECRET, json.dumps([SECRET]), json.dumps({"default": SECRET}), json.dumps({"default": [SECRET]})):
        gateway.secrets.put_secret_value(SecretId="cube-sms/credentials", SecretString=value)
        gateway.cool_down()
        replies.append(gateway.post(REQUESTS[0]).text)
        assert gateway.consume(queue_event(REQUESTS[0]))
    # Then nothing was posted, so that no attempt is used up
    assert gateway.dead_letters() == []
    assert_hidden(printed(), replies)
