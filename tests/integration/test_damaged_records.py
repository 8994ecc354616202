"""Records that were changed or deleted by hand: each call has a clear outcome, and all that is sent is reported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.platform.telemetry import ALL_ACCOUNTS
from tests.support import DEVICE, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment
    from tests.support import Printed

MESSAGE = {"requestId": "order-1", "deviceId": DEVICE, "content": "Kx4711q"}
SPOILED: list[dict[str, Any]] = [
    {"updatedAt": {"S": "yesterday"}},
    {"createdAt": None},
    {"state": {"S": "sent"}},
    {"state": None},
    {"attempts": {"S": "one"}},
    {"owner": {"N": "1"}},
    {"unsettled": None, "deviceId": None},
]

spoiled = pytest.mark.parametrize("attributes", SPOILED, ids=str)
either = pytest.mark.parametrize("delivery", ["at-least-once", "at-most-once"])


def assert_told(output: Printed, message: str) -> dict[str, Any]:
    """Check that log and metric report the record, and return the line."""
    (line,) = [log for log in output.logs if log["message"] == message]
    assert (line["level"], line["message_id"]) == ("ERROR", "default#order-1")
    assert sum(output.values("RecordsDamaged", ALL_ACCOUNTS)) == 1
    assert "Kx4711q" not in json.dumps(output.logs)
    return line


@spoiled
def test_message_goes_to_the_dead_letter_queue_and_is_not_posted(
    cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed], attributes: dict[str, Any]
) -> None:
    # Given a message that was sent, whose record is spoiled
    gateway.consume(queue_event(MESSAGE))
    gateway.change("order-1", **attributes)
    printed()
    # When it comes again
    assert gateway.consume(queue_event(MESSAGE)) == []
    # Then it is unknown whether it was sent, so that it waits for an operator who repairs the record
    assert cube.stats()["received"] == 1
    (letter,) = gateway.dead_letters()
    assert (letter.attributes["reason"], letter.attributes["requestId"]) == ("SpoiledRecord", "order-1")
    assert assert_told(printed(), "record cannot be read")["faults"] == letter.attributes["detail"]


@spoiled
@pytest.mark.parametrize("is_post", [True, False])
def test_api_says_that_the_record_cannot_be_read(
    cube: CubeSimulator,
    gateway: Deployment,
    printed: Callable[[], Printed],
    attributes: dict[str, Any],
    is_post: bool,
) -> None:
    gateway.post(MESSAGE)
    gateway.change("order-1", **attributes)
    printed()
    # When
    answer = gateway.post(MESSAGE) if is_post else gateway.get("order-1")
    # Then
    assert (answer.status, answer.json["title"]) == (500, "Record cannot be read")
    assert answer.json["requestId"] == "order-1"
    assert cube.stats()["received"] == 1
    assert_told(printed(), "record cannot be read")


def test_record_that_is_spoiled_during_its_post_is_told(
    cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
) -> None:
    # Given
    event = gateway.deliver(queue_event(MESSAGE))
    _before_the_last_write(gateway, lambda: gateway.change("order-1", owner=None))
    # When it is sent, and comes again
    assert gateway.consume(event) == [event["Records"][0]["messageId"]]
    assert_told(printed(), "record cannot be read")
    assert gateway.consume(event) == []
    # Then it was sent once
    assert cube.stats()["received"] == 1
    assert [letter.attributes["reason"] for letter in gateway.dead_letters()] == ["SpoiledRecord"]


@either
@pytest.mark.parametrize(
    ("fault", "state"), [("delay:0", "SENT"), ("rejected", "REJECTED"), ("lost", None), ("status:503", "RETRYING")]
)
def test_record_that_is_deleted_during_its_post_is_written_anew(
    cube: CubeSimulator,
    gateway: Deployment,
    printed: Callable[[], Printed],
    delivery: str,
    fault: str,
    state: str | None,
) -> None:
    # Given
    cube.configure(next_faults=[fault])
    event = gateway.deliver(queue_event(MESSAGE | {"delivery": delivery}))
    _before_the_last_write(gateway, lambda: gateway.forget("order-1"))
    # When
    stays = gateway.consume(event)
    # Then it is reported, and the record says what happened
    assert_told(printed(), "record was deleted during its POST")
    found = gateway.record("order-1")
    assert found.state == (state or {"at-most-once": "UNKNOWN", "at-least-once": "RETRYING"}[delivery])
    assert bool(stays) is (found.state == "RETRYING")
    # And a message that comes again is sent again only if its state is not final
    gateway.consume(event)
    again = gateway.record("order-1")
    assert cube.stats()["received"] == 2 - found.state.is_final
    assert again.possibly_duplicated is (fault == "lost" and delivery == "at-least-once")


@either
def test_message_that_another_worker_has_meanwhile_may_be_duplicated(
    cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed], delivery: str
) -> None:
    message = MESSAGE | {"delivery": delivery}

    def delete_and_send() -> None:
        gateway.forget("order-1")
        gateway.consume(queue_event(message))

    # Given a message whose record is deleted during its POST, and that another worker sends then
    event = gateway.deliver(queue_event(message))
    _before_the_last_write(gateway, delete_and_send)
    # When
    assert gateway.consume(event) == []
    # Then it was sent twice, and the record and the log say so
    assert cube.stats()["accepted"] == 2
    assert (gateway.record("order-1").state, gateway.record("order-1").possibly_duplicated) == ("SENT", True)
    assert_told(printed(), "record was deleted during its POST")


def _before_the_last_write(gateway: Deployment, action: Callable[[], object]) -> None:
    # A message is two writes, if there are no limits for the gate to keep.
    gateway.aws_calls.before("UpdateItem", gateway.aws_calls.operations.count("UpdateItem") + 2, action)
