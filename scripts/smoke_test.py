"""Send two messages to a test device through a deployed stack, one at once and one through the queue, and follow them.

Usage: ``python -m scripts.smoke_test --device ICCID [--stack NAME]``. It fails unless both end as SENT and a repeated
call sends nothing. The options are those of ``cube-sms``. The credentials need ``cloudformation:DescribeStacks`` and
``execute-api:Invoke``.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urljoin

import typer

from cube_sms_cli.errors import OperatorError
from cube_sms_cli.options import Operator, command

if TYPE_CHECKING:
    from cube_sms_cli.stack import ApiAnswer, Stack

PATIENCE_SECONDS = 120.0
PAUSE_SECONDS = 1.0

# Every sender may be busy, and the first calls meet cold functions. Nothing was sent then.
BUSY = {429, 503}

# The states of a message that has not ended.
UNDER_WAY = ("QUEUED", "SENDING", "RETRYING")


class SmokeTestError(OperatorError):
    """The stack does not do what it should."""


def smoke_test(
    operator: Operator,
    *,
    device: Annotated[str, typer.Option(help="ICCID of the test device's SIM.")],
) -> None:
    """Send two messages to a test device, and follow them."""
    send_at_once(operator.stack, device)
    send_through_queue(operator.stack, device)


def call(stack: Stack, method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> ApiAnswer:
    """Call the API, again if it is busy: every call can be repeated."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = stack.call_api(method, path, body, **headers)
        if answer.status not in BUSY or time.monotonic() > deadline:
            return answer
        time.sleep(PAUSE_SECONDS)


def send_at_once(stack: Stack, device: str) -> None:
    """Send a message, look at its record, and send it again."""
    request_id, body = f"smoke-{uuid.uuid4()}", a_message(device)
    posted = expect(200, call(stack, "POST", "/messages", body, Idempotency_Key=request_id))
    record = expect(200, call(stack, "GET", f"/messages/{request_id}"))
    expect_sent(posted)
    expect_sent(record)
    repeated = expect(200, call(stack, "POST", "/messages", body, Idempotency_Key=request_id))
    if repeated.get("attempts") != record.get("attempts"):
        raise SmokeTestError(f"a repeated call sent the message again: {json.dumps(repeated)}")
    print(f"{request_id}: SENT at once, and not again when the call was repeated")


def send_through_queue(stack: Stack, device: str) -> None:
    """Have a message sent from the queue, and wait for its record."""
    request_id = f"smoke-{uuid.uuid4()}"
    headers = {"Idempotency_Key": request_id, "Prefer": "respond-async"}
    queued = call(stack, "POST", "/messages", a_message(device), **headers)
    expect(202, queued)
    deadline = time.monotonic() + PATIENCE_SECONDS
    # It is relative to what was called.
    path = urljoin("/messages", queued.headers["Location"])
    answer = call(stack, "GET", path)
    # If word that it waits could not be written, it has no record until a worker takes it.
    while answer.status == 404 or answer.body.get("state") in UNDER_WAY:
        if time.monotonic() > deadline:
            raise SmokeTestError(f"not sent from the queue in {PATIENCE_SECONDS:g} s: {json.dumps(answer.body)}")
        time.sleep(PAUSE_SECONDS)
        answer = call(stack, "GET", path)
    expect_sent(expect(200, answer))
    print(f"{request_id}: SENT from the queue")


def a_message(device: str) -> dict[str, Any]:
    """Return a send request."""
    return {"deviceId": device, "content": "cube-sms: smoke test of a release"}


def expect(status: int, answer: ApiAnswer) -> dict[str, Any]:
    """Return an answer's body, if it has this status."""
    if answer.status != status:
        raise SmokeTestError(f"HTTP {answer.status} instead of {status}: {json.dumps(answer.body)}")
    return answer.body


def expect_sent(body: dict[str, Any]) -> None:
    """Accept a message that was sent."""
    if body.get("state") != "SENT":
        raise SmokeTestError(f"{body.get('state')} instead of SENT: {json.dumps(body)}")


if __name__ == "__main__":
    typer.run(command(smoke_test))
