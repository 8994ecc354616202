"""A deployment whose accounts use both dialects, and one that moves from one to the other, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.states import State
from tests.support import ACCESS_CODE, DEVICE, SECRET, queue_event
from tests.v4_account import ENTRY, KEY, KEY_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment
    from tests.support import Printed

CSSS = {"access_code": ACCESS_CODE, "secret": SECRET}
MESSAGE = {"deviceId": DEVICE, "content": "Wake up"}
TWO_TEXTS = {"deviceId": DEVICE, "smsContentList": [{"smsTemplateContent": "One"}, {"smsTemplateContent": "Two"}]}


def test_accounts_of_both_dialects_send_side_by_side(cube: CubeSimulator, gateway: Deployment) -> None:
    gateway.set_entries(default=CSSS, fleet=ENTRY)
    # When messages of both come, from the queue and over the API
    assert gateway.consume(queue_event(MESSAGE, MESSAGE | {"account": "fleet", "content": "Sleep"})) == []
    assert [gateway.post(MESSAGE | {"account": account}).status for account in ("default", "fleet")] == [200, 200]
    # Then each was sent in the dialect of its account
    senders = [(entry["accessCode"], bool(entry["jobId"]), entry["accepted"]) for entry in cube.requests(DEVICE)]
    assert sorted(senders) == sorted([(ACCESS_CODE, False, True), (KEY_ID, True, True)] * 2)


@pytest.mark.parametrize(
    ("before", "after", "sender"), [(CSSS, ENTRY, KEY_ID), (ENTRY, CSSS, ACCESS_CODE)], ids=["to v4", "back"]
)
def test_account_moves_when_its_entry_does(
    cube: CubeSimulator, gateway: Deployment, before: Any, after: Any, sender: str
) -> None:
    # Given a worker that holds an account's credentials, which the provider takes no more
    gateway.set_entries(default=before)
    gateway.consume(queue_event(MESSAGE | {"requestId": "before"}))
    cube.configure(**({"accounts": {}} if before is CSSS else {"keys": {}}))
    # When its entry is of the other dialect
    gateway.set_entries(default=after)
    assert gateway.consume(queue_event(MESSAGE | {"requestId": "after"})) == []
    # Then its message is sent by that, in the same attempt
    record = gateway.record("after")
    assert (record.state, record.attempts) == (State.SENT, 2)
    assert [(entry["accessCode"], entry["accepted"]) for entry in cube.requests()][-1] == (sender, True)


@pytest.mark.parametrize("moves", [False, True], ids=["speaks v4", "moves to v4 meanwhile"])
def test_request_with_several_texts_is_refused_for_an_account_that_speaks_v4(
    cube: CubeSimulator, gateway: Deployment, moves: bool
) -> None:
    gateway.set_entries(default=CSSS if moves else ENTRY)
    if moves:
        # Given a worker that learns of it when its credentials are refused
        gateway.consume(queue_event(MESSAGE | {"requestId": "before"}))
        cube.configure(accounts={})
        gateway.set_entries(default=ENTRY)
    event = gateway.deliver(queue_event(TWO_TEXTS | {"requestId": "order-1"}))
    if moves:
        assert len(gateway.consume(event)) == 1
    # When
    assert gateway.consume(event) == []
    # Then it is a dead letter that names the field, and none of it was sent
    (letter,) = gateway.dead_letters()
    assert letter.attributes["reason"] == "InvalidRequest"
    assert letter.attributes["detail"].startswith("smsContentList: must have one item: account default uses Cube v4")
    assert [entry for entry in cube.requests(DEVICE) if entry["accepted"] and entry["contents"] != ["Wake up"]] == []


def test_api_refuses_several_texts_with_the_field(cube: CubeSimulator, gateway: Deployment) -> None:
    gateway.set_entries(default=CSSS, fleet=ENTRY)
    answer = gateway.post(TWO_TEXTS | {"account": "fleet"})
    assert answer.status == 400
    assert [error["path"] for error in answer.json["errors"]] == ["smsContentList"]
    assert cube.stats()["received"] == 0
    # And for csss it is as it was
    assert gateway.post(TWO_TEXTS).status == 200


@pytest.mark.parametrize(
    "entry",
    [CSSS | ENTRY, {"remark": "none"}, ENTRY | {"private_key": KEY.public}, ENTRY | {"private_key": "kX7 is no key"}],
    ids=["both", "neither", "public", "no key"],
)
def test_bad_entry_is_told_without_a_value_and_stops_no_other(
    cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed], entry: Any
) -> None:
    gateway.set_entries(spoiled=entry, default=CSSS, fleet=ENTRY)
    bodies = [MESSAGE | {"account": account} for account in ("spoiled", "default", "fleet")]
    event = gateway.deliver(queue_event(*bodies))
    # When
    assert gateway.consume(event) == [event["Records"][0]["messageId"]]
    # Then
    assert cube.stats()["accepted"] == 2
    output = printed()
    (line,) = [log for log in output.logs if log["correlation_id"] == event["Records"][0]["messageId"]]
    assert "account 'spoiled': " in line["error"]
    shown = json.dumps([output.logs, output.metrics])
    secrets = [SECRET, "kX7", *KEY.private.splitlines()[1:-1], *KEY.public.splitlines()[1:-1]]
    assert not [hidden for hidden in secrets if hidden in shown]


@pytest.mark.parametrize("code", ["CB-01-0001", "CB-04-9999", "CB-77-0001"])
def test_only_a_code_that_nobody_knows_counts_against_its_account(
    cube: CubeSimulator, gateway: Deployment, code: str
) -> None:
    # Given an account that gets one and the same code for everything
    gateway.set_entries(default=ENTRY)
    gateway.configure(CUBE_MAX_QPS="1000")
    cube.configure(faults={f"rejected:{code}": 1})
    # When many messages come
    statuses = [gateway.post_in_turn(MESSAGE | {"requestId": f"order-{number}"}).status for number in range(21)]
    # Then the account is closed if the code may mean that it is not well
    assert statuses == [422] * 20 + ([503] if code == "CB-77-0001" else [422])
