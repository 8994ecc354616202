"""An operator pauses and resumes, watches, and asks for a device's messages, with the installed command."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from cube_sms.pacing.gate_item import GATE_KEY
from cube_sms.pacing.pausing import UNSEEN_SECONDS
from cube_sms.platform import rfc3339
from local.stack import ACCESS_CODE, SECRET, LocalStack, wait_until
from tests.e2e.command import cube_sms, in_terminal
from tests.e2e.verdicts import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

REASON = "Cube is being moved"

# What is never shown.
CONTENT = "Report your position"


@pytest.fixture(scope="module")
def limited() -> Iterator[LocalStack]:
    """Return a stack that keeps to its limits and knows the history of devices."""
    with LocalStack({"DeviceHistory": "true"}) as stack:
        yield stack


@pytest.fixture(autouse=True)
def _resumed(limited: LocalStack) -> Iterator[None]:
    yield
    change_gate(limited, paused=None, closedUntil=None, closedFor=None, strikes=None)


def change_gate(stack: LocalStack, **attributes: dict[str, str] | None) -> None:
    """Write attributes of the gate's item, in DynamoDB's types; None takes one away."""
    changes: Any = {
        name: {"Action": "PUT", "Value": typed} if typed else {"Action": "DELETE"} for name, typed in attributes.items()
    }
    stack.aws.client("dynamodb").update_item(
        TableName=stack.outputs["MessagesTableName"], Key={"messageId": {"S": GATE_KEY}}, AttributeUpdates=changes
    )


def post(stack: LocalStack, message: Message) -> int:
    return stack.call_api("POST", "/messages", message.json, Idempotency_Key=message.request_id).status


def shows_nothing_secret(text: str) -> bool:
    return not any(secret in text for secret in (CONTENT, ACCESS_CODE, SECRET))


class TestPause:
    def test_nothing_is_sent_until_it_is_ended(self, limited: LocalStack) -> None:
        # Given a stack that sends
        assert post(limited, Message.make()) == 200
        # When an operator pauses
        told = cube_sms(limited, "pause", "--reason", REASON, "--json")
        assert (told.status, told.err) == (0, "")
        assert told.json.keys() == {"since", "until", "reason"}
        assert (told.json["until"], told.json["reason"]) == (None, REASON)
        # Then both inputs know within seconds
        time.sleep(UNSEEN_SECONDS)
        waits = Message.make()
        answer = limited.call_api("POST", "/messages", waits.json, Idempotency_Key=waits.request_id)
        assert (answer.status, answer.body["title"]) == (503, "Sending is paused")
        assert f"({REASON})" in answer.body["detail"]
        assert int(answer.headers["Retry-After"]) <= 30
        queued = Message.make()
        limited.enqueue(queued.json)
        wait_until("the log to say so", lambda: f'"pause":"{REASON}"' in "".join(limited.log_lines()))
        assert limited.cube.requests(waits.device_id) == limited.cube.requests(queued.device_id) == []
        # And when it is ended, the API sends at once, and what returned to the queue comes again soon
        ended = cube_sms(limited, "resume")
        assert (ended.status, ended.err) == (0, "")
        assert ended.out.startswith(f"The pause is over ({REASON}).")
        wait_until("the API to send", lambda: post(limited, waits) == 200)
        wait_until("the other one to be sent", lambda: len(limited.cube.requests(queued.device_id)) == 1)

    @pytest.mark.parametrize("way", ["--for", "--until"])
    def test_end_is_told(self, limited: LocalStack, way: str) -> None:
        end = {"--for": "1h", "--until": rfc3339(time.time() + 3600)}[way]
        told = cube_sms(limited, "pause", "--reason", REASON, way, end)
        assert (told.status, told.err) == (0, "")
        assert told.out.startswith("All sending is paused until 20")

    def test_gate_that_cube_has_closed_is_opened(self, limited: LocalStack) -> None:
        closed_until = {"N": f"{time.time() + 3600:.0f}"}
        change_gate(limited, closedUntil=closed_until, closedFor={"S": "throttled"}, strikes={"N": "3"})
        told = cube_sms(limited, "resume", "--gate", "--account", "fleet")
        assert told.status == 0
        assert told.out.splitlines() == [
            "Sending was not paused.",
            "The gate is open: it was closed (throttled).",
            "The account fleet was not closed.",
        ]
        wait_until("the API to send", lambda: post(limited, Message.make()) == 200)

    def test_stack_that_is_not_there_is_told(self, limited: LocalStack) -> None:
        told = cube_sms(limited, "pause", "--reason", REASON, "--stack", "nobody")
        assert (told.status, told.out) == (1, "")
        assert told.err.startswith("cube-sms: There is no stack nobody in ")


class TestTop:
    def test_answers_in_json(self, limited: LocalStack) -> None:
        # Given messages that were sent, and one that is none
        for _ in range(3):
            assert post(limited, Message.make()) == 200
        limited.enqueue("no request")
        wait_until("its dead letter", limited.dead_letters)

        # When an operator looks
        def look() -> Any:
            return cube_sms(limited, "top", "--json").json

        found = wait_until("its lines in the log", lambda: (now := look())["deadLetterReasons"] and now)
        # Then
        assert found["gate"] == {"state": "open", "reason": None, "until": None, "closedAccounts": []}
        assert found["rate"]["limit"] == 10
        assert found["quota"]["limit"] == 5000
        assert found["quota"]["used"] >= 3
        assert found["quota"]["left"] == 5000 - found["quota"]["used"]
        assert found["outcomes"]["states"]["SENT"] >= 3
        assert found["outcomes"]["states"]["INVALID"] >= 1
        assert found["deadLetterReasons"] == {"InvalidRequest": found["outcomes"]["states"]["INVALID"]}
        assert found["deadLetters"] >= 1
        assert found["queue"].keys() == {"waiting", "inFlight", "delayed", "oldestSeconds"}

    def test_is_text_without_a_terminal(self, limited: LocalStack) -> None:
        cube_sms(limited, "pause", "--reason", REASON, "--for", "1h")
        told = cube_sms(limited, "top")
        assert (told.status, told.err) == (0, "")
        assert "\x1b" not in told.out
        assert f"({REASON})" in told.out
        # Of the hour, more or less has passed meanwhile.
        assert re.search(r"paused for (1 h|\d+ min)\b", told.out)
        assert shows_nothing_secret(told.out)

    def test_is_redrawn_in_a_terminal_until_somebody_has_seen_enough(self, limited: LocalStack) -> None:
        top = in_terminal(limited, "top", "--every", "1")
        top.expect("open")
        cube_sms(limited, "pause", "--reason", REASON)
        top.expect("paused")
        top.sendintr()
        top.expect(pexpect.EOF)
        top.wait()
        assert top.exitstatus == 0


class TestMessages:
    def test_newest_of_a_device_comes_first(self, limited: LocalStack) -> None:
        # Given messages to a device, and one to another
        device = Message.make().device_id
        messages = [Message.make(deviceId=device) for _ in range(3)]
        for each in (*messages, Message.make()):
            assert post(limited, each) == 200
        # When an operator asks for them
        told = cube_sms(limited, "messages", "--device", device, "--json")
        # Then
        assert (told.status, told.err) == (0, "")
        assert [each["requestId"] for each in told.json] == [each.request_id for each in reversed(messages)]
        assert {(each["deviceId"], each["state"]) for each in told.json} == {(device, "SENT")}
        newest = cube_sms(limited, "messages", "--device", device, "--limit", "1")
        assert [each.request_id in newest.out for each in messages] == [False, False, True]
        assert shows_nothing_secret(told.out + newest.out)

    def test_device_without_messages_is_no_fault(self, limited: LocalStack) -> None:
        told = cube_sms(limited, "messages", "--device", "nobody")
        assert (told.status, told.out) == (0, "Nothing is known of nobody: neither a message to it nor a reply.\n")
        assert cube_sms(limited, "messages", "--device", "nobody", "--json").json == []

    def test_stack_without_the_index_says_how_to_have_it(self, stack: LocalStack) -> None:
        told = cube_sms(stack, "messages", "--device", "nobody")
        assert (told.status, told.out) == (1, "")
        assert "Deploy it with DeviceHistory=true: that adds $0.63 to a million messages" in told.err
