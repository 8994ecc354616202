"""The fault suite: many messages, several workers, a provider and an AWS that fail at random, and then recover."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cube_sms.delivery.states import State
from local.stack import V4_ACCOUNT, LocalStack, wait_until
from tests.e2e.aws_proxy import (
    CLAIM,
    FINISH,
    INTERNAL_ERROR,
    THROTTLED,
    THROUGHPUT_EXCEEDED,
    AwsProxy,
    Rule,
    always,
    at_random,
    route,
)
from tests.e2e.outcomes import OutcomeConsumer
from tests.e2e.verdicts import DELIVERIES, Message, Verdict, verdicts, wait_until_the_queue_is_empty

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = int(os.environ["CUBE_SMS_SEED"])
MESSAGES = 500

# A claim's lease is 2 * (1 + 1) + 10 seconds. A message that fails four times waits for at most 2 + 4 + 8.
PARAMETERS = {"MaxAttempts": "4", "QueueBatchSize": "100"}
SETTINGS = {"CUBE_CONNECT_TIMEOUT": "1", "CUBE_READ_TIMEOUT": "1", "SECRET_MAX_AGE": "10"}

# More than a quarter of all POSTs. The answer that is late comes after the read timeout.
PROVIDER_FAULTS = {
    "delay:1.5": 0.02,
    "reset": 0.02,
    "lost": 0.04,
    "truncated": 0.02,
    "garbage": 0.02,
    "status:429": 0.02,
    "status:500": 0.02,
    "status-after:500": 0.02,
    "status-after:502": 0.02,
    "status-after:503": 0.02,
    "status:502": 0.01,
    "status:503": 0.03,
    "rejected:4711": 0.02,
}
AWS_FAULTS = {
    CLAIM: (0.2, (THROTTLED, THROUGHPUT_EXCEEDED, INTERNAL_ERROR)),
    FINISH: (0.3, (THROTTLED, THROUGHPUT_EXCEEDED, INTERNAL_ERROR)),
    "GetSecretValue": (0.5, (THROTTLED, INTERNAL_ERROR)),
}

CONTENTS: tuple[dict[str, Any], ...] = (
    {"content": "Report your position"},
    {"content": "00ff10A0", "messageType": "Binary"},
    {"content": "温度过高 请检查设备 🌡️"},
    {"content": None, "smsContentList": [{"smsTemplateContent": f"第{n}条", "smsType": ""} for n in (1, 2)]},
)


# With Cube v4 a message has one text. Those of one text share queries, and with them the faults.
KINDS = [
    *((delivery, "default", content) for delivery in DELIVERIES for content in CONTENTS),
    *((delivery, V4_ACCOUNT, content) for delivery in DELIVERIES for content in CONTENTS[:3]),
]


def make_messages() -> list[Message]:
    kinds = [KINDS[n % len(KINDS)] for n in range(MESSAGES)]
    return [Message.make(delivery, account=account, **content) for delivery, account, content in kinds]


def make_doomed() -> list[Message]:
    """Return messages for devices that are never reached; half of them expire on the way."""
    expires_at = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    return [Message.make(DELIVERIES[n % 2], expiresAt=(expires_at, None)[n // 2 % 2]) for n in range(12)]


class Found(NamedTuple):
    stack: LocalStack
    proxy: AwsProxy
    verdicts: list[Verdict]
    letters: list[dict[str, Any]]


# The name of each test shows the seed.
@pytest.fixture(scope="module", params=[SEED], ids="CUBE_SMS_SEED={}".format)
def found() -> Iterator[Found]:
    with AwsProxy() as proxy, LocalStack(PARAMETERS, is_limited=False, seed=SEED) as stack:
        proxy.upstream = stack.aws.url
        route(stack, proxy, "DYNAMODB", "SECRETS_MANAGER", **SETTINGS)
        consumer = OutcomeConsumer(stack)
        # Given a provider and an AWS that fail at random
        aws_faults = [
            Rule(kind, at_random(rate, SEED + number, *errors))
            for number, (kind, (rate, errors)) in enumerate(AWS_FAULTS.items())
        ]
        messages, doomed = make_messages(), make_doomed()
        stack.cube.configure(
            faults=PROVIDER_FAULTS, device_faults={message.device_id: "status:503" for message in doomed}
        )
        with proxy.applying(*aws_faults):
            # When messages are sent, nearly all of them before the faults end
            everything = [*doomed, *messages]
            for message in everything:
                stack.enqueue(message.json)

            # And the records are unavailable for a while, longer than boto3 tries
            with proxy.applying(Rule("UpdateItem", always(INTERNAL_ERROR))):
                enough = proxy.failures.total() + 100
                wait_until("the outage to be felt", lambda: proxy.failures.total() >= enough)
            devices = {message.device_id for message in messages}
            wait_until(
                "19 of 20 messages to be posted",
                lambda: len(devices & {post["deviceId"] for post in stack.cube.requests()}) >= MESSAGES * 0.95,
            )
        stack.cube.configure(faults={})
        wait_until_the_queue_is_empty(stack)
        yield Found(stack, proxy, verdicts(stack, everything, consumer), stack.dead_letters())


def test_every_message_ends_in_one_state_that_the_providers_books_bear_out(found: Found) -> None:
    assert [fault for verdict in found.verdicts for fault in verdict.faults] == []


def test_what_was_accepted_is_what_was_asked_for(found: Found) -> None:
    for verdict in found.verdicts:
        body = verdict.message.body
        items = body.get("smsContentList") or [{"smsTemplateContent": body["content"]}]
        for post in verdict.posts:
            assert post["messageType"] == body.get("messageType", "Text")
            assert post["contents"] == [item["smsTemplateContent"] for item in items]


def test_a_message_that_failed_is_on_the_dead_letter_queue_once(found: Found) -> None:
    failed = Counter(verdict.message.request_id for verdict in found.verdicts if verdict.state is State.FAILED)
    letters = Counter(letter["requestId"] for letter in found.letters)

    assert letters == failed
    assert {letter["reason"] for letter in found.letters} == {"AttemptsUsedUp"}


def test_every_fault_has_struck_and_every_state_was_reached(found: Found) -> None:
    states = Counter(verdict.state for verdict in found.verdicts)
    faults = found.stack.cube.stats()["faults"]

    assert {fault.partition(":")[0] for fault in PROVIDER_FAULTS} <= faults.keys()
    assert AWS_FAULTS.keys() == found.proxy.failures.keys()
    assert {State.SENT, State.REJECTED, State.EXPIRED, State.FAILED, State.UNKNOWN} == states.keys()
    # Most faults are of no consequence.
    assert states[State.SENT] > MESSAGES * 0.75
