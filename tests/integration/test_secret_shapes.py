"""A secret that is not as the README has it: messages wait, the log says what is wanted, and values stay hidden."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.platform.telemetry import ALL_ACCOUNTS
from tests.integration.deployment import SECRET_ID
from tests.support import ACCESS_CODE, DEVICE, SECRET, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment
    from tests.support import Printed

MESSAGE = {"deviceId": DEVICE, "content": "Hello"}
ACCOUNT = {"access_code": ACCESS_CODE, "secret": SECRET}
OTHERS = {"fleet": {"access_code": "P009999", "secret": "the-fleets-secret"}}

SHAPES: dict[str, dict[str, Any]] = {
    # As the console's key/value form makes them
    "flat": ACCOUNT,
    "flat among accounts": ACCOUNT | OTHERS,
    "text": {"default": json.dumps(ACCOUNT)},
    "text among accounts": {"default": json.dumps(ACCOUNT)} | OTHERS,
    "dotted names": {"default.access_code": ACCESS_CODE, "default.secret": SECRET},
    "empty": {},
    "list": {"default": [ACCOUNT]},
    "null": {"default": None},
    "number": {"default": ACCOUNT | {"access_code": 2276}},
    "other names": {"default": {"accessCode": ACCESS_CODE, "secret": SECRET}},
}
ENDS = {"newline": "\n", "CRLF": "\r\n", "space": " ", "tab": "\t", "NBSP": "\u00a0", "BOM": "\ufeff", "ZWSP": "\u200b"}


def assert_waits(gateway: Deployment, cube: CubeSimulator, output: Printed, event: dict[str, Any]) -> str:
    """Check that a message has to come again, and return what the log says."""
    assert gateway.dead_letters() == []
    assert cube.stats()["received"] == 0
    assert output.values("CredentialsUnusable", ALL_ACCOUNTS) == [1]
    (line,) = [log for log in output.logs if log["correlation_id"] == event["Records"][0]["messageId"]]
    assert SECRET_ID in line["error"]
    shown = json.dumps([output.logs, output.metrics])
    assert not [hidden for hidden in (SECRET, "kX7", "the-fleets-secret", "P009999") if hidden in shown]
    return str(line["error"])


@pytest.mark.parametrize("shape", SHAPES)
def test_message_waits_and_the_log_says_which_shape_is_wanted(
    cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed], shape: str
) -> None:
    gateway.secrets.put_secret_value(SecretId=SECRET_ID, SecretString=json.dumps(SHAPES[shape]))
    event = gateway.deliver(queue_event(MESSAGE))
    # When it is received again and again
    for _ in range(3):
        assert gateway.consume(event) == [event["Records"][0]["messageId"]]
        # Then
        error = assert_waits(gateway, cube, printed(), event)
        assert all(word in error for word in ("access_code", "default")), error
    # And once the secret is correct it is sent
    gateway.set_accounts(default=(ACCESS_CODE, SECRET))
    gateway.cool_down()
    assert gateway.consume(event) == []
    assert cube.stats()["accepted"] == 1


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", ["access_code", "secret"])
@pytest.mark.parametrize("is_last", [True, False])
def test_nothing_is_posted_with_what_was_copied_with_a_credential(
    cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed], name: str, end: str, is_last: bool
) -> None:
    value = ACCOUNT[name] + ENDS[end] if is_last else ENDS[end] + ACCOUNT[name]
    gateway.secrets.put_secret_value(SecretId=SECRET_ID, SecretString=json.dumps({"default": ACCOUNT | {name: value}}))
    event = gateway.deliver(queue_event(MESSAGE))
    assert gateway.consume(event) == [event["Records"][0]["messageId"]]
    error = assert_waits(gateway, cube, printed(), event)
    assert f"account 'default': {name} must" in error


def test_secret_that_is_stored_as_binary_is_named(
    cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
) -> None:
    gateway.secrets.put_secret_value(SecretId=SECRET_ID, SecretBinary=json.dumps({"default": ACCOUNT}).encode())
    event = gateway.deliver(queue_event(MESSAGE))
    gateway.consume(event)
    assert "not as binary" in assert_waits(gateway, cube, printed(), event)


@pytest.mark.parametrize(
    "entry", [json.dumps(ACCOUNT), ACCOUNT | {"secret": SECRET + "\n"}, ACCOUNT | {"secret": "\ud800"}]
)
def test_bad_entry_stops_no_other_account(cube: CubeSimulator, gateway: Deployment, entry: Any) -> None:
    value = json.dumps({"spoiled": entry, "default": ACCOUNT})
    gateway.secrets.put_secret_value(SecretId=SECRET_ID, SecretString=value)
    event = gateway.deliver(queue_event(MESSAGE | {"account": "spoiled"}, MESSAGE, MESSAGE | {"account": "nobody"}))
    # When
    stays = gateway.consume(event)
    # Then one waits, one is sent, and one is of an unknown account
    assert stays == [event["Records"][0]["messageId"]]
    assert cube.stats()["accepted"] == 1
    (letter,) = gateway.dead_letters()
    assert letter.attributes["detail"].startswith("account: ")


@pytest.mark.parametrize("before", ["\ufeff", "\ufeff\r\n", " \n"])
def test_byte_order_mark_and_white_space_before_the_json_are_ignored(
    cube: CubeSimulator, gateway: Deployment, before: str
) -> None:
    value = before + json.dumps({"default": ACCOUNT})
    gateway.secrets.put_secret_value(SecretId=SECRET_ID, SecretString=value)
    assert gateway.consume(queue_event(MESSAGE)) == []
    assert cube.stats()["accepted"] == 1
