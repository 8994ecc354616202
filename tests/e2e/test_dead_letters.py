"""The dead-letter queue as an operator sees it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from local.stack import LocalStack, wait_until
from tests.e2e.command import cube_sms
from tests.e2e.test_send import a_device, send_request, states

if TYPE_CHECKING:
    from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", params=[False, True], ids=["stack", "guarded_stack"])
def impatient_stack(request: pytest.FixtureRequest) -> Iterator[LocalStack]:
    with LocalStack({"MaxAttempts": "1"}, is_limited=False, authenticate=request.param) as stack:
        yield stack


def letters(stack: LocalStack, *arguments: str) -> str:
    """Run the operator's command against the local stack."""
    done = cube_sms(stack, *arguments)
    assert done.status == 0, done.err
    return done.out


def count(stack: LocalStack, *arguments: str) -> int:
    """Return how many dead letters a list of some of them tells."""
    listed = cube_sms(stack, "dlq", "list", "--json", *arguments)
    assert listed.status == 0, listed.err
    return int(listed.json["count"])


def record_state(stack: LocalStack, request_id: str) -> tuple[str | None, int | None]:
    answer = stack.call_api("GET", f"/messages/{request_id}")
    return answer.body.get("state"), answer.body.get("attempts")


def test_a_failed_message_starts_over_when_it_is_redriven(impatient_stack: LocalStack) -> None:
    # Given a message whose attempts were used up while the provider was down
    stack, device, request_id = impatient_stack, a_device(), f"failed-{uuid4()}"
    stack.cube.configure(device_faults={device: "status:503*1"})
    stack.enqueue(send_request(device, requestId=request_id))
    wait_until("it to have failed", lambda: states(stack, request_id) == ["FAILED"])

    # When an operator looks at the dead-letter queue, and puts it back
    listed = letters(stack, "dlq", "list", "--request-id", request_id)
    redriven = letters(stack, "dlq", "redrive", "--request-id", request_id, "--wait", "0")

    # Then the reason was told, and it is sent with fresh attempts
    (line,) = [line for line in listed.splitlines() if request_id in line]
    assert line.split()[:3] == [request_id, "AttemptsUsedUp", "1"]
    assert "HTTP 503" in line
    assert "1 redriven" in redriven
    wait_until("it to be sent", lambda: record_state(stack, request_id) == ("SENT", 1))
    assert [post["status"] for post in stack.cube.requests(device)] == [503, 200]
    assert count(stack, "--request-id", request_id) == 0


def test_what_cube_rejected_is_put_back_by_code_account_and_time(impatient_stack: LocalStack) -> None:
    # Given messages that Cube refuses with a code, and one that it refuses with another, beside those of other tests
    stack, devices, since = impatient_stack, [a_device() for _ in range(3)], datetime.now(UTC)
    ids = [f"rejected-{number}-{uuid4()}" for number in range(3)]
    codes = ["94031", "94031", "94041"]
    stack.cube.configure(
        device_faults={device: f"rejected:{code}*1" for device, code in zip(devices, codes, strict=True)}
    )
    for device, request_id in zip(devices, ids, strict=True):
        stack.enqueue(send_request(device, requestId=request_id))
    wait_until("them to be rejected", lambda: [record_state(stack, own) for own in ids] == [("REJECTED", 1)] * 3)

    # When an operator who knows better looks at them, and puts those with the code back
    lines = {"2 Rejected, code 94031, account default (", "1 Rejected, code 94041, account default ("}

    def are_listed() -> bool:
        listed = letters(stack, "rejected", "list", "--since", f"{since:%FT%TZ}")
        return all(line in listed for line in lines)

    wait_until("the letters", are_listed)
    nothing = letters(stack, "rejected", "redrive", "--until", "2020-01-01T00:00:00Z", "--wait", "0")
    options = ("--code", "94031", "--account", "default", "--since", "2020-01-01T00:00:00Z", "--wait", "0")
    redriven = letters(stack, "rejected", "redrive", *options)

    # Then they are sent as new ones are, and the other one stays
    assert nothing.splitlines()[-1].startswith("0 redriven")
    assert redriven.splitlines()[-1].startswith("2 redriven to the send queue, 0 returned within 0 s, ")
    wait_until("them to be sent", lambda: [record_state(stack, own) for own in ids[:2]] == [("SENT", 1)] * 2)
    assert [[post["status"] for post in stack.cube.requests(device)] for device in devices] == [[200, 200]] * 2 + [
        [200]
    ]
    assert record_state(stack, ids[2]) == ("REJECTED", 1)
    redriven = letters(stack, "rejected", "redrive", "--code", "94041", "--wait", "0")
    assert redriven.splitlines()[-1].startswith("1 redriven to the send queue, ")
    wait_until("it to be sent", lambda: record_state(stack, ids[2]) == ("SENT", 1))


def test_a_message_that_has_been_sent_stays_sent_when_it_is_redriven(impatient_stack: LocalStack) -> None:
    # Given a dead letter of a message that failed, and was then sent through the API
    stack, device, request_id = impatient_stack, a_device(), f"twice-{uuid4()}"
    stack.enqueue(send_request(device, requestId=request_id))
    wait_until("it to be sent", lambda: states(stack, request_id) == ["SENT"])
    stack.sqs.send_message(
        QueueUrl=stack.outputs["DeadLetterQueueUrl"],
        MessageBody=send_request(device, requestId=request_id),
        MessageAttributes={
            "requestId": {"DataType": "String", "StringValue": request_id},
            "reason": {"DataType": "String", "StringValue": "AttemptsUsedUp"},
        },
    )

    # When it is put back
    letters(stack, "dlq", "redrive", "--request-id", request_id, "--wait", "0")

    # Then it is suppressed as the duplicate it is
    wait_until("it to be suppressed", lambda: states(stack, request_id) == ["SENT", "SENT"])
    assert len(stack.cube.requests(device)) == 1


def test_a_conflict_is_dead_lettered_and_answered(impatient_stack: LocalStack) -> None:
    stack, device, request_id = impatient_stack, a_device(), f"conflict-{uuid4()}"
    assert stack.call_api("POST", "/messages", send_request(device), Idempotency_Key=request_id).status == 200

    answer = stack.call_api("POST", "/messages", send_request(device, content="Other"), Idempotency_Key=request_id)
    stack.enqueue(send_request(device, content="Other", requestId=request_id))

    assert (answer.status, answer.body["title"]) == (409, "Conflict")
    wait_until("the letter", lambda: count(stack, "--request-id", request_id, "--reason", "Conflict") == 1)
    assert len(stack.cube.requests(device)) == 1


@pytest.mark.parametrize("chosen", [["--reason", "InvalidRequest"], ["--all"]])
def test_letters_that_come_back_are_put_back_once_and_told(impatient_stack: LocalStack, chosen: list[str]) -> None:
    # Given letters that nothing can be done about, one of which had no id of its own, and another that was there before
    stack = impatient_stack
    stack.sqs.purge_queue(QueueUrl=stack.outputs["DeadLetterQueueUrl"])
    stack.enqueue(send_request(a_device(), priority="high"))
    for number in range(3):
        stack.enqueue(send_request(a_device(), requestId=f"invalid-{number}-{uuid4()}", priority="high"))
    wait_until("the letters", lambda: count(stack) == 4)

    # When they are put back
    done = letters(stack, "dlq", "redrive", *chosen, "--wait", "100")

    # Then the command ends, as soon as all are there again
    assert "Returned:\n4 InvalidRequest (" in done
    assert done.splitlines()[-1] == "4 redriven to the send queue, 4 returned within 100 s, 4 left"
    assert count(stack) == 4


def test_the_api_shows_the_record_of_a_message(impatient_stack: LocalStack) -> None:
    stack, device, request_id = impatient_stack, a_device(), f"shown-{uuid4()}"
    stack.call_api("POST", "/messages", send_request(device), Idempotency_Key=request_id)

    answer = stack.call_api("GET", f"/messages/{request_id}")

    assert answer.status == 200
    assert answer.body["state"] == "SENT"
    assert answer.body["deviceId"] == device
    assert "Report your position" not in json.dumps(answer.body)
    assert stack.call_api("GET", "/messages/nobody-sent-this").status == 404
