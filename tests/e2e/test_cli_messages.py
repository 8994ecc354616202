"""`cube-sms send`, `show` and `cancel`: one message on its way, seen by whoever operates the stack."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pexpect
import pytest

from local.stack import SECRET, LocalStack, wait_until
from tests.e2e.command import cube_sms, in_terminal
from tests.e2e.test_send import a_device

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = "Report your position"


@pytest.fixture(scope="module", params=["standard", "fifo"])
def stack(request: pytest.FixtureRequest) -> Iterator[LocalStack]:
    with LocalStack({"QueueType": request.param, "MaxAttempts": "2"}, is_limited=False) as stack:
        yield stack


def an_id() -> str:
    return f"order-{uuid.uuid4().hex[:12]}"


def contents(stack: LocalStack, device: str) -> list[str]:
    return [text for post in stack.cube.requests(device) if post["accepted"] for text in post["contents"]]


def wait_until_it_waits(stack: LocalStack, request_id: str, *arguments: str) -> None:
    def waits() -> bool:
        found = cube_sms(stack, "show", request_id, "--json", *arguments)
        return found.status == 0 and found.json["record"]["state"] in ("QUEUED", "RETRYING")

    wait_until(f"{request_id} to wait", waits)


# ── Sent ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_is_sent_by_the_api_at_once(stack: LocalStack) -> None:
    device, request_id = a_device(), an_id()

    sent = cube_sms(stack, "send", device, TEXT, "--id", request_id)
    again = cube_sms(stack, "send", device, "-", "--id", request_id, "--json", given=f"{TEXT}\n")

    assert (sent.status, sent.err) == (0, "")
    assert request_id in sent.out
    assert f"cube-sms show {request_id}" in sent.out
    assert (again.status, again.json["state"], again.json["requestId"]) == (0, "SENT", request_id)
    assert contents(stack, device) == [TEXT]
    assert not [each for each in (TEXT, SECRET) if each in sent.out + again.out]


@pytest.mark.parametrize("way", [(), ("--queue",)], ids=["api", "queue"])
def test_a_message_is_followed_to_its_end(stack: LocalStack, way: tuple[str, ...]) -> None:
    # Given a device at which Cube is down once
    device = a_device()
    stack.cube.configure(device_faults={device: "status:503*1"})

    # When a message to it is sent and followed
    sent = cube_sms(stack, "send", device, "48656c6c6f", "--binary", "--priority", "bulk", "--wait", "--json", *way)

    # Then each state that was seen is told with its time, as it comes and at the end
    assert (sent.status, sent.json["state"], sent.json["attempts"]) == (0, "SENT", 2)
    states = [each["state"] for each in sent.json["timeline"]]
    assert states[-1] == "SENT"
    assert "RETRYING" in states
    assert all(each["at"] and each["afterSeconds"] >= 0 for each in sent.json["timeline"])
    assert [line.split()[1].rstrip(",") for line in sent.err.splitlines()] == states
    assert contents(stack, device) == ["48656c6c6f"]


def test_a_message_that_is_not_sent_ends_with_1(stack: LocalStack) -> None:
    device, expired = a_device(), a_device()
    stack.cube.configure(device_faults={device: "rejected:9404"})

    told = cube_sms(stack, "send", device, TEXT)
    followed = cube_sms(stack, "send", device, TEXT, "--wait", "--queue")
    late = cube_sms(stack, "send", expired, TEXT, "--expires", "2020-01-31T12:00:00Z", "--json")

    assert (told.status, told.out) == (1, "")
    assert told.err.startswith("cube-sms: Rejected by Cube: ")
    assert "9404" in told.err
    assert followed.status == 1
    assert "REJECTED" in followed.out
    assert (late.status, late.json["state"]) == (1, "EXPIRED")
    assert "expiresAt: is in the past" in late.err


def test_a_message_that_still_waits_ends_with_3(stack: LocalStack) -> None:
    # Given a queue of which nothing is sent
    device, request_id = a_device(), an_id()
    with stack.queue_paused():
        # When a message is put there, by the API or past it, and followed for too short a time
        by_api = cube_sms(stack, "send", device, TEXT, "--id", request_id, "--wait", "--timeout", "1")
        past_it = cube_sms(stack, "send", a_device(), TEXT, "--queue", "--wait", "--timeout", "1", "--json")

        # Then both wait, of which one has a record
        assert (by_api.status, "QUEUED" in by_api.out) == (3, True)
        assert f"cube-sms show {request_id}" in by_api.out
        assert (past_it.status, past_it.json["state"], past_it.json["timeline"]) == (3, None, [])

        # And Ctrl-C ends with the same, and says how to look again
        terminal = in_terminal(stack, "send", device, TEXT, "--id", request_id, "--wait")
        terminal.expect("QUEUED")
        terminal.sendintr()
        terminal.expect(f"{request_id} goes on. Look again with: cube-sms show {request_id}")
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 3
    wait_until("the message", lambda: contents(stack, device) == [TEXT])


@pytest.mark.parametrize("way", [(), ("--queue",)], ids=["api", "queue"])
@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("sensor-7", TEXT), "deviceId: must be 1 to 64 characters"),
        (("1234", "x" * 141), "content: must have 1 to 140 characters, has 141"),
        (("1234", TEXT, "--binary"), "content: "),
        (("1234", TEXT, "--expires", "tomorrow"), "expiresAt: must be"),
        (("1234", TEXT, "--delivery", "twice"), 'delivery: must be "at-least-once"'),
        (("1234", TEXT, "--id", "an id"), "requestId: must be"),
    ],
)
def test_a_request_that_is_not_valid_is_a_sentence(
    open_stack: LocalStack, way: tuple[str, ...], arguments: tuple[str, ...], fault: str
) -> None:
    told = cube_sms(open_stack, "send", *arguments, *way)

    assert (told.status, told.out) == (1, "")
    assert told.err.startswith(f"cube-sms: The request is not valid: {fault}")
    assert TEXT not in told.err


def test_an_id_of_another_request_is_a_conflict(open_stack: LocalStack) -> None:
    device, request_id = a_device(), an_id()
    assert cube_sms(open_stack, "send", device, TEXT, "--id", request_id).status == 0

    told = cube_sms(open_stack, "send", device, "Something else", "--id", request_id)

    assert (told.status, told.out) == (1, "")
    assert "belongs to a different request" in told.err

    # And whoever follows an id is told whose it is
    followed = cube_sms(open_stack, "send", device, TEXT, "--id", request_id, "--wait")
    assert followed.status == 0
    assert followed.err.startswith(f"There is a message {request_id} already.")


# ── Shown ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_everything_known_of_a_message_is_shown(stack: LocalStack) -> None:
    # Given a message that was sent at its second attempt
    device, request_id = a_device(), an_id()
    stack.cube.configure(device_faults={device: "status:503*1"})
    cube_sms(stack, "send", device, TEXT, "--id", request_id, "--queue", "--wait")
    wait_until("its log", lambda: "SENT" in cube_sms(stack, "show", request_id).out.partition("\nLog")[2])

    # When it is shown
    shown, found = cube_sms(stack, "show", request_id), cube_sms(stack, "show", request_id, "--json").json

    # Then its record, its attempts, its event and its log are there
    assert (shown.status, shown.err) == (0, "")
    assert [each for each in ("Record", "Attempts", "Event SMS Sent", "Log") if f"\n{each}\n" not in shown.out] == []
    assert {"state": "SENT", "attempts": 2, "waitingTasks": 0, "isUnsettled": False}.items() <= found["record"].items()
    assert [(each["state"], each.get("code")) for each in found["attempts"]] == [("RETRYING", None), ("SENT", "0000")]
    assert (found["event"]["detail-type"], found["event"]["detail"]["deviceId"]) == ("SMS Sent", device)
    assert [each["text"] for each in found["lines"]] == ["message RETRYING", "message SENT"]
    assert (found["waits"], found["letters"], found["linesAreCut"]) == (None, [], False)

    # And no text, and no credentials
    assert not [each for each in (TEXT, SECRET) if each in shown.out + json.dumps(found)]


def test_a_dead_letter_is_shown_with_its_text_if_that_is_wanted(stack: LocalStack) -> None:
    # Given a message whose attempts are used up, and one that Cube rejected
    failed, rejected = an_id(), an_id()
    devices = {failed: a_device(), rejected: a_device()}
    stack.cube.configure(device_faults={devices[failed]: "status:503*9", devices[rejected]: "rejected:9404"})
    for request_id, device in devices.items():
        assert cube_sms(stack, "send", device, TEXT, "--id", request_id, "--queue", "--wait").status == 1

    for request_id, queue, reason in ((failed, "dead letters", "AttemptsUsedUp"), (rejected, "rejected", "Rejected")):

        def letters(request_id: str = request_id, *arguments: str) -> list[dict[str, str]]:
            return list(cube_sms(stack, "show", request_id, "--json", *arguments).json["letters"])

        # Then its letter is shown, without its text
        wait_until("its letter", letters)
        (letter,) = letters()
        assert (letter["queue"].startswith(queue), letter["reason"], "body" in letter) == (True, reason, False)
        shown = cube_sms(stack, "show", request_id)
        assert f"Dead letter on the queue of {letter['queue']}" in shown.out
        assert TEXT not in shown.out

        # And with it, if that is wanted
        (letter,) = letters(request_id, "--content")
        assert json.loads(letter["body"])["content"] == TEXT
        assert TEXT in cube_sms(stack, "show", request_id, "--content").out


def test_a_message_is_shown_while_it_waits(stack: LocalStack) -> None:
    request_id = an_id()
    with stack.queue_paused():
        cube_sms(stack, "send", a_device(), TEXT, "--id", request_id, "--wait", "--timeout", "0")
        wait_until_it_waits(stack, request_id)

        shown, found = cube_sms(stack, "show", request_id), cube_sms(stack, "show", request_id, "--json").json

    assert shown.status == 0
    assert "It waits on the send queue" in shown.out
    assert (found["record"]["state"], found["event"], found["attempts"]) == ("QUEUED", None, [])


def test_a_request_that_was_refused_is_known_by_its_log_and_its_letter(open_stack: LocalStack) -> None:
    # Given a request that is not valid, as somebody else has put it onto the queue
    request_id = an_id()
    open_stack.enqueue(json.dumps({"requestId": request_id, "deviceId": "1234", "content": ""}))
    wait_until("its letter", lambda: cube_sms(open_stack, "show", request_id).status == 0)

    found = cube_sms(open_stack, "show", request_id, "--json").json

    assert found["record"] is None
    assert [each["reason"] for each in found["letters"]] == ["InvalidRequest"]
    wait_until("its log", lambda: "invalid request" in cube_sms(open_stack, "show", request_id).out)


def test_an_id_that_nobody_knows_is_a_sentence(open_stack: LocalStack) -> None:
    told = cube_sms(open_stack, "show", "no-such", "--account", "fleet")

    assert (told.status, told.out) == (1, "")
    assert told.err.startswith("cube-sms: Nothing is known of the message no-such of the account fleet.")


def test_a_record_that_cannot_be_read_is_told(open_stack: LocalStack) -> None:
    # Given a record that somebody has changed by hand
    request_id = an_id()
    cube_sms(open_stack, "send", a_device(), TEXT, "--id", request_id)
    open_stack.aws.client("dynamodb").update_item(
        TableName=open_stack.outputs["MessagesTableName"],
        Key={"messageId": {"S": f"default#{request_id}"}},
        UpdateExpression="SET attempts = :many",
        ExpressionAttributeValues={":many": {"S": "many"}},
    )

    shown = cube_sms(open_stack, "show", request_id)

    assert shown.status == 0
    assert "attempts: must be of DynamoDB's type N" in shown.out


# ── Cancelled ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_messages_are_cancelled_each_with_its_own_outcome(stack: LocalStack) -> None:
    # Given a message that waits, one that was sent, and an id that can be none
    waiting, sent, device = an_id(), an_id(), a_device()
    cube_sms(stack, "send", a_device(), TEXT, "--id", sent)
    with stack.queue_paused():
        cube_sms(stack, "send", device, TEXT, "--id", waiting, "--wait", "--timeout", "0")

        # When they are cancelled
        told = cube_sms(stack, "cancel", waiting, sent, "no id")
        found = cube_sms(stack, "cancel", waiting, sent, "no id", "--json")

    # Then each is told what became of it
    assert (told.status, found.status) == (1, 1)
    assert "it is SENT" in told.out
    assert "there is no such message" in told.out
    assert [(each["isCancelled"], each["state"]) for each in found.json] == [
        (True, "CANCELLED"),
        (False, "SENT"),
        (False, None),
    ]
    assert cube_sms(stack, "cancel", waiting).status == 0
    assert cube_sms(stack, "show", waiting, "--json").json["event"]["detail-type"] == "SMS Cancelled"
    assert contents(stack, device) == []
