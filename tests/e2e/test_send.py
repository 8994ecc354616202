"""Messages through the deployed stack: real queue, API and workers, and the provider's request log as the judge."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin
from uuid import uuid4

import pytest

from local.stack import SECRET, wait_until

if TYPE_CHECKING:
    from local.stack import LocalStack


@pytest.fixture(params=["open_stack", "guarded_stack"])
def stack(request: pytest.FixtureRequest) -> LocalStack:
    """Return a stack that enforces no policy, and one that enforces all."""
    chosen: LocalStack = request.getfixturevalue(request.param)
    return chosen


def a_device() -> str:
    return f"8931{uuid4().int % 10**16:016d}"


def send_request(device_id: str, **fields: Any) -> str:
    return json.dumps({"deviceId": device_id, "content": "Report your position", **fields})


def states(stack: LocalStack, request_id: str) -> list[str]:
    return [entry["state"] for entry in stack.outcomes() if entry.get("request_id") == request_id and "state" in entry]


def wait_for_states(stack: LocalStack, request_id: str, expected: list[str]) -> None:
    wait_until(f"{request_id} to be {expected}", lambda: states(stack, request_id) == expected)


def dead_letter(stack: LocalStack, request_id: str) -> dict[str, Any]:
    def find() -> dict[str, Any] | None:
        return next((letter for letter in stack.dead_letters() if letter.get("requestId") == request_id), None)

    return wait_until(f"dead letter {request_id}", find) or {}


def test_a_message_from_the_queue_is_sent_once(stack: LocalStack) -> None:
    # Given a device
    device = a_device()

    # When a request for it is put onto the queue
    message_id = stack.enqueue(send_request(device, content="温度过高 🌡️"))

    # Then Cube has accepted exactly it, and its SQS message id is its identity
    wait_for_states(stack, message_id, ["SENT"])
    (post,) = stack.cube.requests(device)
    assert (post["accepted"], post["contents"]) == (True, ["温度过高 🌡️"])


def test_a_burst_of_messages_is_sent_by_several_workers(stack: LocalStack) -> None:
    devices = [a_device() for _ in range(40)]

    for device in devices:
        stack.enqueue(send_request(device))

    def accepted() -> list[str]:
        return sorted(post["deviceId"] for post in stack.cube.requests() if post["deviceId"] in devices)

    wait_until("every device to have its message", lambda: accepted() == sorted(devices))


def test_an_invalid_message_goes_to_the_dead_letter_queue_with_the_reason(stack: LocalStack) -> None:
    body = json.dumps({"deviceId": "not-an-iccid", "content": "x", "colour": 1, "requestId": f"invalid-{uuid4()}"})

    stack.enqueue(body)

    letter = dead_letter(stack, json.loads(body)["requestId"])
    assert letter["body"] == body
    assert letter["reason"] == "InvalidRequest"
    assert "deviceId: must be" in letter["detail"]
    assert "colour: is not a field" in letter["detail"]


def test_a_message_outlives_an_outage_of_the_provider(stack: LocalStack) -> None:
    # Given a provider that is down for the device's first request
    device, request_id = a_device(), f"outage-{uuid4()}"
    stack.cube.configure(device_faults={device: "status:503*1"})

    # When a message is sent
    stack.enqueue(send_request(device, requestId=request_id))

    # Then it is tried again after a while, and sent
    wait_for_states(stack, request_id, ["RETRYING", "SENT"])
    assert [post["status"] for post in stack.cube.requests(device)] == [503, 200]


def test_a_lost_answer_is_not_repeated_for_a_message_that_forbids_it(stack: LocalStack) -> None:
    # Given a provider that takes the request and whose answer is lost
    device, request_id = a_device(), f"lost-{uuid4()}"
    stack.cube.configure(device_faults={device: "lost"})

    # When a message is sent that may not be sent twice
    stack.enqueue(send_request(device, requestId=request_id, delivery="at-most-once"))

    # Then its outcome is unknown, and stays so
    wait_for_states(stack, request_id, ["UNKNOWN"])
    assert len(stack.cube.requests(device)) == 1


def test_a_rejected_message_ends_with_the_providers_code(stack: LocalStack) -> None:
    device, request_id = a_device(), f"rejected-{uuid4()}"
    stack.cube.configure(device_faults={device: "rejected:4711"})

    stack.enqueue(send_request(device, requestId=request_id))

    wait_for_states(stack, request_id, ["REJECTED"])
    (entry,) = [entry for entry in stack.outcomes() if entry.get("request_id") == request_id]
    assert entry["code"] == "4711"


def test_the_api_answers_with_the_outcome(stack: LocalStack) -> None:
    device, request_id = a_device(), f"api-{uuid4()}"

    answer = stack.call_api("POST", "/messages", send_request(device), Idempotency_Key=request_id)

    assert answer.status == 200
    assert answer.body == {
        "requestId": request_id,
        "account": "default",
        "state": "SENT",
        "code": "0000",
        "attempts": 1,
        "possiblyDuplicated": False,
    }
    assert len(stack.cube.requests(device)) == 1


def test_the_api_queues_for_callers_that_do_not_wait(stack: LocalStack) -> None:
    device = a_device()

    answer = stack.call_api("POST", "/messages", send_request(device), Prefer="respond-async")

    assert answer.status == 202
    wait_for_states(stack, answer.body["requestId"], ["SENT"])
    # And its Location, resolved as any client does, leads to the message
    called = f"{stack.api_url}/messages"
    found = urljoin(called, answer.headers["Location"])
    assert found.startswith(called)
    shown = stack.call_api("GET", found.removeprefix(stack.api_url))
    assert (shown.status, shown.body["requestId"]) == (200, answer.body["requestId"])


def test_the_api_shows_what_became_of_a_message(stack: LocalStack) -> None:
    request_id = f"shown-{uuid4()}"
    stack.call_api("POST", "/messages", send_request(a_device()), Idempotency_Key=request_id)

    answer = stack.call_api("GET", f"/messages/{request_id}")

    assert (answer.status, answer.body["state"]) == (200, "SENT")


def test_the_api_names_every_fault_of_an_invalid_request(stack: LocalStack) -> None:
    answer = stack.call_api("POST", "/messages", '{"deviceId": "?", "messageType": "text", "content": "x"}')

    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [error["path"] for error in answer.body["errors"]] == ["deviceId", "messageType"]


def test_the_api_is_closed_to_callers_without_a_signature(stack: LocalStack) -> None:
    answer = stack.call_unsigned("POST", "/messages", send_request(a_device()))

    assert answer.status == 403


def test_rotated_credentials_are_picked_up_without_losing_a_message(stack: LocalStack) -> None:
    # Given functions that hold credentials which Cube no longer accepts
    first, second = a_device(), a_device()
    assert stack.call_api("POST", "/messages", send_request(first)).status == 200
    stack.cube.configure(accounts={"P002276": "rotated-secret"})
    stack.put_credentials({"default": {"access_code": "P002276", "secret": "rotated-secret"}})
    try:
        # When a message is sent
        answer = stack.call_api("POST", "/messages", send_request(second))

        # Then they fetch the new ones and send it
        assert answer.status == 200
        assert [post["status"] for post in stack.cube.requests(second)] == [403, 200]
    finally:
        stack.cube.configure(accounts={"P002276": SECRET})
        stack.put_credentials({"default": {"access_code": "P002276", "secret": SECRET}})


def test_nothing_sensitive_is_logged(stack: LocalStack) -> None:
    # Given a provider that quotes what it was sent
    device, content = a_device(), f"private {uuid4()}"
    stack.cube.configure(device_faults={device: "echo"})

    # When messages for it are sent through queue and API, and one that is not valid
    request_id = stack.enqueue(send_request(device, content=content))
    answer = stack.call_api("POST", "/messages", send_request(device, content=content))
    stack.enqueue(send_request(device, content=content, unknown=content))
    wait_for_states(stack, request_id, ["REJECTED"])
    wait_until("the invalid one", lambda: any("unknown: is not" in line for line in stack.log_lines()))

    # Then neither content, device id nor secret is in anything the functions printed
    assert answer.status == 422
    assert content not in json.dumps(answer.body)
    printed = "\n".join(stack.log_lines())
    assert device[-4:] in printed
    for private in (device, content, SECRET, "rotated-secret"):
        assert private not in printed


def test_metrics_are_emitted_for_every_outcome(stack: LocalStack) -> None:
    # Given what is sent from now on
    device, before = a_device(), time.time() * 1000

    # When a message is sent through the API
    stack.call_api("POST", "/messages", send_request(device))

    # Then its metrics carry the dimensions that alarms are made of
    def sent() -> list[dict[str, Any]]:
        return [emf for emf in stack.metrics() if "MessagesSent" in emf and emf["_aws"]["Timestamp"] >= before]

    emf = wait_until("metrics", sent)[0]
    (directive,) = emf["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "CubeSms"
    assert [sorted(dimensions) for dimensions in directive["Dimensions"]] == [["Account", "service"], ["service"]]
    assert (emf["service"], emf["Account"], emf["MessagesSent"]) == ("cube-sms", "default", [1.0])
