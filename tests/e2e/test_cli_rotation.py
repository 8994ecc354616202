"""`cube-sms account rotate` on a whole stack: Cube is asked before, or the functions' logs are afterwards."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from cube_sms.provider import MAX_AGE
from local.stack import ACCESS_CODE, SECRET, LocalStack, wait_until
from tests.e2e.command import cube_sms
from tests.e2e.test_send import a_device, send_request, states

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.processes import Ended

# No SIM has this number: its last digit does not fit the others.
IMPOSSIBLE = "89314404000939952299"
WAITING = 3


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Return a stack whose secret is its own."""
    with LocalStack(is_limited=False, cube=[f"--unknown-device={IMPOSSIBLE}"]) as stack:
        yield stack


@pytest.fixture
def new(stack: LocalStack) -> str:
    """Return a second secret that Cube accepts, beside the one that the stack has."""
    secret = f"secret-{uuid4()}"
    stack.put_credentials({"default": {"access_code": ACCESS_CODE, "secret": SECRET}})
    stack.cube.configure(accounts={ACCESS_CODE: [SECRET, secret]})
    return secret


def rotate(stack: LocalStack, *arguments: str, secret: str | None = None) -> Ended:
    given = json.dumps({"access_code": ACCESS_CODE, "secret": secret}) if secret else None
    ended = cube_sms(stack, "account", "rotate", "default", *arguments, given=given)
    assert not secret or secret not in ended.out + ended.err
    return ended


def stored(stack: LocalStack) -> str:
    answer = stack.aws.client("secretsmanager").get_secret_value(SecretId=stack.outputs["CubeSecretId"])
    return str(json.loads(answer["SecretString"])["default"]["secret"])


def test_what_cube_refuses_is_not_stored(stack: LocalStack, new: str) -> None:
    refused = rotate(stack, "--device", IMPOSSIBLE, secret="mistyped")
    assert (refused.status, refused.out) == (1, "")
    assert refused.err.startswith("cube-sms: Nothing was stored. ")
    assert stored(stack) == SECRET


def test_what_cube_accepts_is_stored_and_the_old_is_not_kept(stack: LocalStack, new: str) -> None:
    rotated = rotate(stack, "--device", IMPOSSIBLE, "--json", secret=new)
    assert rotated.status == 0, rotated.err
    assert rotated.json["keepsPrevious"] is False
    assert stored(stack) == new


def test_device_that_could_exist_is_not_asked_about(stack: LocalStack, new: str) -> None:
    told = rotate(stack, "--device", "89314404000939952215", secret=new)
    assert told.status == 2
    assert stored(stack) == SECRET


def test_old_credentials_are_kept_until_a_message_was_accepted_with_the_new_ones(stack: LocalStack, new: str) -> None:
    # Given new credentials, and a message that was sent since, perhaps with the old ones
    assert rotate(stack, secret=new).status == 0
    request_id = f"rotated-{uuid4()}"
    stack.enqueue(send_request(a_device(), requestId=request_id))
    wait_until("it to be sent", lambda: states(stack, request_id) == ["SENT"])

    # When the rotation is to be finished
    early = rotate(stack, "--finish", "--json")

    # Then it goes on
    assert (early.status, early.json["accepted"]) == (WAITING, False)

    # When another message was sent later than any function had the old ones, and it is tried again
    with written_later(stack, request_id):
        done = rotate(stack, "--finish", "--json")

    # Then nothing of it is left
    assert (done.status, done.json) == (0, {"account": "default", "accepted": True, "keepsPrevious": False})
    assert rotate(stack, "--finish").status == 1
    assert stored(stack) == new


@contextmanager
def written_later(stack: LocalStack, request_id: str) -> Iterator[None]:
    """Have the line of a message in the log at a time to come, for as long as this context."""
    logs, group = stack.aws.client("logs"), stack.outputs["SendFromQueueLogGroup"]
    (line,) = [each for each in stack.log_lines() if request_id in each and '"latencies_ms"' in each]
    stream = f"later-{uuid4()}"
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    later = int((time.time() + MAX_AGE + 60) * 1000)
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[{"timestamp": later, "message": line}])
    try:
        yield
    finally:
        logs.delete_log_stream(logGroupName=group, logStreamName=stream)
