"""An account that gets one and the same unknown code for everything waits, instead of having a whole queue rejected."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.states import State
from cube_sms.pacing.accounts import CLOSED_SECONDS, REJECTIONS
from tests.integration.days import avoid_midnight
from tests.integration.deployment import TABLE
from tests.integration.test_delivery_failed import redriven
from tests.support import ACCESS_CODE, DEVICE, SECRET, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment
    from tests.support import Printed

GATE = {"messageId": {"S": "#gate"}}


def messages(*numbers: int, account: str = "fleet") -> dict[str, Any]:
    """Return the event of messages that differ."""
    return queue_event(
        *(
            {"requestId": f"{account}-{number}", "deviceId": DEVICE, "content": "Wake up", "account": account}
            for number in numbers
        )
    )


@pytest.fixture
def limited(cube: CubeSimulator, gateway: Deployment) -> Deployment:
    """A deployment with a gate and two accounts, one of which the provider refuses with an unknown code."""
    # As a provider does whose codes are not known: HTTP 200, without success
    cube.configure(envelope_only=True, accounts={ACCESS_CODE: SECRET, "P1": "the right secret"})
    gateway.set_accounts(default=(ACCESS_CODE, SECRET), fleet=("P1", "a wrong secret"))
    # Of a gate that counts the day alone no slot is lost, however slow the machine is.
    avoid_midnight()
    gateway.configure(CUBE_DAILY_QUOTA="1000", QUEUE_SEND_CONCURRENCY="4")
    return gateway


def reject(gateway: Deployment, count: int) -> None:
    for first in range(0, count, 10):
        assert gateway.consume(gateway.deliver(messages(*range(first, min(count, first + 10))))) == []


def is_over(gateway: Deployment) -> None:
    """Have the account's time be over, as an operator could write it."""
    name = "account-fleet"
    text = gateway.dynamodb.get_item(TableName=TABLE, Key=GATE)["Item"][name]["S"].split(" ")
    text[3] = f"{time.time() - 1:.3f}"
    gateway.dynamodb.update_item(
        TableName=TABLE,
        Key=GATE,
        UpdateExpression="SET #name = :text",
        ExpressionAttributeNames={"#name": name},
        ExpressionAttributeValues={":text": {"S": " ".join(text)}},
    )
    gateway.cool_down()


def test_messages_of_a_closed_account_wait_and_those_of_others_go_on(
    cube: CubeSimulator, limited: Deployment, printed: Callable[[], Printed]
) -> None:
    # Given an account whose messages were rejected, one after the other
    reject(limited, REJECTIONS)
    assert cube.stats()["received"] == REJECTIONS
    output = printed()
    assert output.values("AccountsClosed", "fleet") == [1]
    (line,) = [line for line in output.logs if line["message"] == "account closed"]
    assert (line["level"], line["account"], line["code"]) == ("WARNING", "fleet", "9403")
    # When more come, with one of another account between them, to a worker that was there and to a new one
    for number, is_new in ((100, False), (200, True)):
        if is_new:
            limited.cool_down()
        event = messages(*range(number, number + 5))
        event["Records"][2:2] = messages(number, account="default")["Records"]
        event = limited.deliver(event)
        left = limited.consume(event)
        # Then they stay on the queue, without a POST or an attempt, and it is known until when
        assert left == [each["messageId"] for each in event["Records"] if '"default"' not in each["body"]]
        assert limited.record(f"default-{number}", "default").state is State.SENT
        records = [limited.record(f"fleet-{number + n}", "fleet") for n in range(5)]
        assert [(record.state, record.attempts) for record in records] == [(State.QUEUED, 0)] * 5
        assert len({record.expected_at for record in records}) == 1
        output = printed()
        assert output.values("AccountsClosed", "fleet") == [1]
        assert output.values("MessagesRetried", "fleet") == [5]
        # until the account is tried again
        hidden = [seconds for seconds in limited.hidden() if 0 < seconds < 10_000]
        assert len(hidden) == 5 * (1 + is_new)
        assert all(CLOSED_SECONDS - 60 < seconds <= CLOSED_SECONDS + 1 for seconds in hidden)
    assert cube.stats()["received"] == REJECTIONS + 2


def test_api_says_when_to_come_back(cube: CubeSimulator, limited: Deployment) -> None:
    reject(limited, REJECTIONS)
    for _ in range(2):
        reply = limited.post({"deviceId": DEVICE, "content": "text", "account": "fleet"})
        assert (reply.status, reply.json["title"], reply.json["state"]) == (503, "The account is closed", "RETRYING")
        assert CLOSED_SECONDS - 60 < int(reply.headers["Retry-After"]) <= CLOSED_SECONDS + 1
    assert limited.post({"deviceId": DEVICE, "content": "text"}).status == 200
    assert cube.stats()["received"] == REJECTIONS + 1


def test_it_opens_with_one_message_and_what_was_rejected_is_put_back(cube: CubeSimulator, limited: Deployment) -> None:
    # Given an account that was closed, whose secret is correct again, and whose time is over
    reject(limited, REJECTIONS)
    rejected = [letter for _ in range(2) for letter in limited.rejected()]
    limited.set_accounts(default=(ACCESS_CODE, SECRET), fleet=("P1", "the right secret"))
    is_over(limited)
    # When a message comes
    assert limited.consume(limited.deliver(messages(100))) == []
    # Then it is sent, and the account is open
    assert limited.record("fleet-100", "fleet").state is State.SENT
    assert "account-fleet" not in limited.dynamodb.get_item(TableName=TABLE, Key=GATE)["Item"]
    # And all that was rejected can be redriven
    assert len(rejected) == REJECTIONS
    for letter in rejected:
        assert limited.consume(limited.deliver(redriven(letter))) == []
    states = {limited.record(json.loads(letter.body)["requestId"], "fleet").state for letter in rejected}
    assert states == {State.SENT}


def test_probe_that_is_rejected_is_one_message(cube: CubeSimulator, limited: Deployment) -> None:
    # Given an account whose time is over, and whose secret is as wrong as before
    reject(limited, REJECTIONS)
    is_over(limited)
    # When many messages come
    event = limited.deliver(messages(*range(100, 110)))
    left = limited.consume(event)
    # Then one of them has found that out
    assert len(left) == 9
    assert cube.stats()["received"] == REJECTIONS + 1
    # And the others have used up nothing
    records = [limited.store().get(f"fleet#fleet-{number}") for number in range(100, 110)]
    found = [(record.state, record.attempts) for record in records if record]
    assert found.count((State.REJECTED, 1)) == 1
    assert found.count((State.RETRYING, 0)) + found.count((State.QUEUED, 0)) == len(found) - 1


def test_codes_that_are_known_close_no_account(cube: CubeSimulator, limited: Deployment) -> None:
    limited.configure(CUBE_ANSWER_CODES='{"unavailable": ["9403"]}', MAX_ATTEMPTS="50")
    for _ in range(4):
        limited.consume(messages(*range(10)))
    assert not any(name.startswith("account-") for name in limited.dynamodb.get_item(TableName=TABLE, Key=GATE)["Item"])


def test_one_that_is_accepted_now_and_then_closes_none(cube: CubeSimulator, limited: Deployment) -> None:
    # Given an account that works, and a device that the provider does not know
    limited.set_accounts(default=(ACCESS_CODE, SECRET), fleet=("P1", "the right secret"))
    limited.cool_down()
    cube.configure(device_faults={DEVICE: "rejected:9404"})
    fine = {"deviceId": "89314404000939952216", "content": "text", "account": "fleet"}
    # When that device gets nearly all messages
    for _ in range(3):
        reject(limited, REJECTIONS - 1)
        assert limited.post(fine).status == 200
    # Then
    assert "account-fleet" not in limited.dynamodb.get_item(TableName=TABLE, Key=GATE)["Item"]
