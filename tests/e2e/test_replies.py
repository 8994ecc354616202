"""Replies on the local stack: from a device, by the provider's callback and the bus, to a queue that consumes them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from local.stack import (
    CALLBACK_KEY,
    CALLBACK_KEY_ID,
    CALLBACK_TOKEN,
    DEFAULT_ACCOUNT,
    LocalStack,
    wait_until,
)
from local.workflows import EventConsumer
from scripts.schemas import reply_event_schema
from tests.e2e.aws_proxy import INTERNAL_ERROR, AwsProxy, Rule, always, change_environment, route
from tests.e2e.command import cube_sms
from tests.e2e.event_faults import PUT_EVENTS
from tests.e2e.test_permissions import Permission, without
from tests.e2e.test_send import a_device, send_request

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNED_TOKEN = "local-test-token-of-the-account-that-is-signed"
ACCOUNTS = {
    "default": DEFAULT_ACCOUNT,
    "fleet": {"callback_token": SIGNED_TOKEN, "callback_key_id": CALLBACK_KEY_ID, "callback_key": CALLBACK_KEY},
}
TOKENS = {"csss": CALLBACK_TOKEN, "v4": SIGNED_TOKEN}
TEXT = "Door closed, PIN Kx4711q 请勿"

each_kind = pytest.mark.parametrize("kind", TOKENS)


class Replies(NamedTuple):
    """A stack that is called back, the proxy between its functions and AWS, and a consumer of what it publishes."""

    stack: LocalStack
    proxy: AwsProxy
    consumer: EventConsumer

    def call_back(self, kind: str, *callbacks: dict[str, Any], tries: int = 2) -> None:
        """Have the provider call back, under the right token and with the right key."""
        url = self.stack.callback_url(TOKENS[kind])
        self.stack.cube.configure(
            callback_url=url,
            callback_v4_url=url,
            callback_key_id=CALLBACK_KEY_ID,
            callback_key=CALLBACK_KEY,
            callback_tries=tries,
        )
        self.stack.cube.call_back(*({"kind": kind, "content": TEXT, **callback} for callback in callbacks))

    def statuses(self, device: str) -> list[list[int]]:
        """Return how each callback of a device was answered so far."""
        return [each["statuses"] for each in self.stack.cube.callbacks() if each["deviceId"] == device]

    def wait_for_statuses(self, device: str, *expected: list[int]) -> None:
        """Wait until the callbacks of a device have been answered so."""
        wait_until(f"answers {expected}", lambda: self.statuses(device) == list(expected))


@pytest.fixture(scope="module")
def replies() -> Iterator[Replies]:
    parameters = {"Replies": "callback", "DeviceHistory": "true", "KeepReplies": "1"}
    with AwsProxy() as proxy, LocalStack(parameters, is_limited=False) as stack:
        proxy.upstream = stack.aws.url
        route(stack, proxy, "EVENTBRIDGE")
        stack.put_credentials(ACCOUNTS)
        yield Replies(stack, proxy, EventConsumer(stack, {"detail-type": ["SMS Received"]}))


def test_what_a_device_answers_comes_to_a_consumer(replies: Replies) -> None:
    # Given a device that answers what it is sent
    device = a_device()
    replies.call_back("csss")
    replies.stack.cube.configure(reply_devices={device: TEXT})
    # When a message is sent to it
    assert replies.stack.call_api("POST", "/messages", send_request(device)).status == 200
    # Then its answer comes to the consumer of the bus, as the schema has it
    (event,) = replies.consumer.wait_for(1, deviceId=device)
    assert list(Draft202012Validator(reply_event_schema()).iter_errors(event)) == []
    (called_back,) = [each for each in replies.stack.cube.callbacks() if each["deviceId"] == device]
    assert (event["detail"]["account"], event["detail"]["content"]) == ("default", TEXT)
    assert event["detail"]["receivedAt"].endswith(f"{called_back['receivedAt'] % 1000:03d}Z")
    # And the provider was told so after that
    replies.wait_for_statuses(device, [200])


def test_history_of_a_device_has_question_and_answer(replies: Replies) -> None:
    # Given a device that has answered
    device = a_device()
    replies.call_back("csss")
    replies.stack.cube.configure(reply_devices={device: TEXT})
    assert replies.stack.call_api("POST", "/messages", send_request(device)).status == 200
    replies.wait_for_statuses(device, [200])
    (event,) = replies.consumer.wait_for(1, deviceId=device)
    # When somebody asks for its history
    answer = replies.stack.call_api("GET", f"/devices/{device}/messages")
    # Then the answer comes before the question: the newest is the first
    assert answer.status == 200
    reply, message = answer.body["entries"]
    assert reply == {"kind": "reply", **event["detail"]}
    assert (message["kind"], message["deviceId"], message["state"]) == ("message", device, "SENT")
    # And the command shows the same
    told = cube_sms(replies.stack, "messages", "--device", device, "--json")
    assert told.json == answer.body["entries"]
    assert TEXT in cube_sms(replies.stack, "messages", "--device", device).out


@each_kind
def test_repeat_has_the_id_of_the_first_and_order_is_told_by_the_time(replies: Replies, kind: str) -> None:
    # When callbacks come twice each, the later message first
    device, now = a_device(), int(time.time() * 1000)
    callbacks = [{"deviceId": device, "receivedAt": now - age, "fault": "again"} for age in (0, 5_000)]
    replies.call_back(kind, *callbacks)
    replies.wait_for_statuses(device, [200, 200], [200, 200])
    # Then each event has come twice under one id, and says when the provider had the message
    details = [event["detail"] for event in replies.consumer.wait_for(4, deviceId=device)]
    assert len(details) == 4
    assert len({(detail["eventId"], detail["receivedAt"]) for detail in details}) == 2
    assert len({detail["eventId"] for detail in details}) == 2


@each_kind
def test_what_is_not_the_providers_is_refused(replies: Replies, kind: str) -> None:
    # When forged, stale and too large callbacks come, and a right one
    device, right = a_device(), a_device()
    faults = {"forged": 404, "large": 413} if kind == "csss" else {"forged": 401, "stale": 401, "large": 413}
    replies.call_back(kind, *({"deviceId": device, "fault": fault} for fault in faults), {"deviceId": right})
    # Then each is refused, every time that it comes
    replies.wait_for_statuses(device, *([status] * 2 for status in faults.values()))
    # And of the right one alone there is an event
    assert len(replies.consumer.wait_for(1, deviceId=right)) == 1
    assert [event for event in replies.consumer.events() if event["detail"]["deviceId"] == device] == []


@each_kind
def test_what_is_not_understood_is_kept_whole(replies: Replies, kind: str) -> None:
    # When the provider calls back in a form that nobody has told of
    device = a_device()
    replies.call_back(kind, {"deviceId": device, "fault": "unknown"})
    replies.wait_for_statuses(device, [200])

    # Then it is on the queue for it
    def kept() -> list[dict[str, Any]]:
        url = replies.stack.outputs["UnknownCallbacksQueueUrl"]
        answer = replies.stack.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        found = [json.loads(message["Body"]) for message in answer.get("Messages", [])]
        return [body for body in found if body["items"][0]["sim"] == device]

    assert wait_until("a callback that is kept", kept)[0]["items"][0]["say"] == TEXT


@each_kind
def test_reply_is_published_when_the_bus_is_back(replies: Replies, kind: str) -> None:
    # Given a bus that is away
    device = a_device()
    with replies.proxy.applying(Rule(PUT_EVENTS, always(INTERNAL_ERROR))):
        # When the provider calls back, then it is not told that we have it
        replies.call_back(kind, {"deviceId": device}, tries=1000)
        wait_until("a failure", lambda: replies.statuses(device)[0][:1])
        assert set(replies.statuses(device)[0]) == {503}
    # And when it repeats that to a bus that is there, then the reply is published
    assert len(replies.consumer.wait_for(1, deviceId=device)) == 1
    wait_until("the provider's last try", lambda: replies.statuses(device)[0][-1] == 200)


def test_logs_show_nothing_of_it(replies: Replies) -> None:
    # Given what the tests above have called back
    lines = replies.stack.log_lines()
    assert [line for line in lines if '"reply published"' in line]
    assert [line for line in lines if '"callback refused"' in line]
    # Then no line has content, token, key or signature
    hidden = (TEXT, "Kx4711q", "请勿", *TOKENS.values(), CALLBACK_KEY_ID, CALLBACK_KEY, "x-lf-")
    assert [line for line in lines if any(text in line for text in hidden)] == []


# ── Permissions ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def guarded() -> Iterator[LocalStack]:
    """Return a stack whose functions may do what their roles allow and nothing else."""
    parameters = {"Replies": "callback", "DeviceHistory": "true"}
    with LocalStack(parameters, is_limited=False, authenticate=True) as stack:
        stack.cube.configure(callback_tries=1)
        yield stack


@pytest.mark.parametrize(
    ("permission", "fault"),
    [
        (Permission("ReceiveCallbackRole", "ReadCredentials", "secretsmanager:GetSecretValue"), ""),
        (Permission("ReceiveCallbackRole", "PublishReplies", "events:PutEvents"), ""),
        (Permission("ReceiveCallbackRole", "NoteReplies", "dynamodb:UpdateItem"), ""),
        (Permission("ReceiveCallbackRole", "PutUnknown", "sqs:SendMessage"), "unknown"),
    ],
    ids=lambda value: value.action if isinstance(value, Permission) else value or "known",
)
def test_a_callback_needs_each_permission(guarded: LocalStack, permission: Permission, fault: str) -> None:
    def answered() -> int:
        device = a_device()
        guarded.cube.call_back({"deviceId": device, "content": TEXT, "fault": fault})
        wait_until("an answer", lambda: guarded.cube.callbacks()[-1]["statuses"])
        return int(guarded.cube.callbacks()[-1]["statuses"][0])

    # Given a function that has not fetched the secret yet
    change_environment(guarded, RESTARTED_FOR=permission.sid)
    # When a permission is missing, then the provider has to repeat the callback
    with without(guarded, permission):
        assert answered() == 503
    # And with it the callback is taken, as soon as the secret is asked for again
    wait_until("a callback that is taken", lambda: answered() == 200)
