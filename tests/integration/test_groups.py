"""Messages that share a query: which go together, and which are left out."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from cube_sms.delivery.states import State
from cube_sms.request.parsing import parse_send_request
from tests.integration.deployment import Deployment
from tests.integration.fleet import ACCOUNT, Fleet, device, messages
from tests.integration.worker import Worker
from tests.support import queue_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.support import Clock, Printed


@pytest.fixture
def fleet(cube: CubeSimulator, gateway: Deployment) -> Fleet:
    return Fleet(gateway, cube)


@pytest.mark.parametrize(
    ("number", "queries"), [(1, [1]), (2, [2]), (100, [100]), (250, [100, 100, 50])], ids=["1", "2", "100", "250"]
)
def test_messages_of_one_text_share_queries(fleet: Fleet, number: int, queries: list[int]) -> None:
    # When
    assert fleet.gateway.consume(messages(number)) == []
    # Then each was sent once, with as few queries as there can be
    assert fleet.queries() == queries
    assert fleet.accepted() == {device(each): 1 for each in range(number)}
    # And each has a record of its own, with the job of its query
    jobs = {post["deviceId"]: post["jobId"] for post in fleet.cube.requests()}
    for record in fleet.records(number):
        assert (record.state, record.attempts, record.unsettled) == (State.SENT, 1, False)
        assert record.job_id == jobs[str(record.device_id)]
    assert fleet.gateway.get("order-0", account=ACCOUNT).json["jobId"] == jobs[device(0)]


def test_a_message_costs_two_writes_and_a_query_one_at_the_gate(fleet: Fleet) -> None:
    # Given a warm function, and a provider that takes far longer than the simulated AWS
    fleet.cube.configure(latency=1)
    fleet.gateway.configure(CUBE_MAX_QPS="100")
    assert fleet.gateway.consume(messages([1000])) == []
    fleet.gateway.aws_calls.clear()
    # When
    assert fleet.gateway.consume(messages(5)) == []
    # Then
    assert fleet.gateway.aws_calls.operations == ["UpdateItem"] * (2 * 5 + 1)


def test_what_differs_in_more_than_the_device_does_not_share(fleet: Fleet) -> None:
    # Given two messages of each kind, one after the other
    kinds = [
        {},
        {"content": "Go to sleep"},
        {"content": "00ff", "messageType": "Binary"},
        {"delivery": "at-most-once"},
        {"priority": "bulk"},
    ]
    events = [messages([2 * number, 2 * number + 1], **fields) for number, fields in enumerate(kinds)]
    batch = {"Records": [event["Records"][place] for place in range(2) for event in events]}
    # When
    assert fleet.gateway.consume(batch) == []
    # Then they went two by two
    assert fleet.queries() == [2] * len(kinds)
    pairs = {tuple(sorted(post["deviceId"] for post in fleet.cube.requests() if post["n"] == n)) for n in range(1, 6)}
    assert pairs == {(device(2 * number), device(2 * number + 1)) for number in range(len(kinds))}


def test_a_device_is_once_in_a_query(fleet: Fleet) -> None:
    # Given three messages for one device among others, and one message twice
    more = [messages([1], requestId="order-again"), messages([1], requestId="order-once-more"), messages([2])]
    event = messages(3)
    event["Records"] += [record for each in more for record in each["Records"]]
    # When
    assert fleet.gateway.consume(event) == []
    # Then each message was sent, and the copy was not
    assert sorted(fleet.queries()) == [1, 1, 3]
    assert fleet.accepted() == {device(0): 1, device(1): 3, device(2): 1}


def test_accounts_that_speak_csss_send_one_message_with_a_query(fleet: Fleet) -> None:
    assert fleet.gateway.consume(messages(12, account="default")) == []
    assert fleet.queries() == [1] * 12


def test_who_cannot_go_drops_out_and_is_settled_alone(fleet: Fleet) -> None:
    # Given messages of which some cannot be sent
    gateway = fleet.gateway
    gateway.consume(messages([0]))
    gateway.cancel("order-1", account=ACCOUNT)
    held = messages([2])["Records"][0]["body"]
    gateway.store().claim(parse_send_request(held.encode()))
    lapsed = messages([3], delivery="at-most-once")["Records"][0]["body"]
    gateway.store(ago=3600).claim(parse_send_request(lapsed.encode()))
    gateway.consume(messages([4], content="Go to sleep"))
    fleet.cube.reset()
    batch = gateway.deliver(
        {
            "Records": [
                *messages(5)["Records"],
                *messages([5], expiresAt="2020-01-01T00:00:00Z")["Records"],
                *messages([6], messageType="Picture")["Records"],
                *messages(range(7, 10))["Records"],
                *queue_event(lapsed)["Records"],
            ]
        }
    )
    # When
    failures = gateway.consume(batch)
    # Then the others shared one query
    assert fleet.queries() == [3]
    assert fleet.accepted() == {device(each): 1 for each in range(7, 10)}
    # And each that did not go has its own end; another worker's stays on the queue
    states = [fleet.gateway.record(f"order-{each}", ACCOUNT).state for each in (0, 1, 2, 4, 5)]
    assert states == [State.SENT, State.CANCELLED, State.SENDING, State.SENT, State.EXPIRED]
    assert failures == [batch["Records"][2]["messageId"]]
    reasons = sorted(letter.attributes["reason"] for letter in gateway.dead_letters())
    assert reasons == ["Conflict", "Conflict", "InvalidRequest"]


@pytest.mark.usefixtures("_aws")
def test_messages_of_a_fifo_queue_share_queries_in_their_order(
    cube: CubeSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Deployment(monkeypatch, cube.url, is_fifo=True)
    fleet = Fleet(gateway, cube)
    # Given two texts for each of five devices, one device after the other
    event = queue_event(
        *(
            {"requestId": f"order-{number}-{text}", "deviceId": device(number), "account": ACCOUNT, "content": text}
            for number in range(5)
            for text in ("first", "second")
        )
    )
    for record in event["Records"]:
        record["attributes"]["MessageGroupId"] = json.loads(record["body"])["deviceId"]
    # When
    assert gateway.consume(gateway.deliver(event)) == []
    # Then the first ones went together, and then the second ones
    assert fleet.queries() == [5, 5]
    assert [post["contents"] for post in cube.requests()] == [["first"]] * 5 + [["second"]] * 5
    gateway.delete()


def test_a_query_is_counted_once_and_its_messages_one_by_one(fleet: Fleet, printed: Callable[[], Printed]) -> None:
    fleet.gateway.configure(CUBE_MAX_QPS="100")
    assert fleet.gateway.consume(messages(30)) == []
    output = printed()
    counted = {name: output.values(name, ACCOUNT) for name in ("MessagesSent", "CubeLatency", "GateWait", "QueueAge")}
    assert {name: len(values) for name, values in counted.items()} == {
        "MessagesSent": 1,
        "CubeLatency": 1,
        "GateWait": 1,
        "QueueAge": 30,
    }
    assert counted["MessagesSent"] == [30]
    # And each message has its line, which says with how many others it went
    lines = [log for log in output.logs if log["message"] == "message SENT"]
    assert [log["recipients"] for log in lines] == [30] * 30
    assert len({log["request_id"] for log in lines}) == 30
    own = [{name: value for name, value in log.items() if not name.startswith("function_")} for log in lines]
    assert max(len(json.dumps(log)) for log in own) <= 500


class TestSlowClaims:
    def test_the_others_go_without_those_whose_claims_take_too_long(self, fleet: Fleet, clock: Clock) -> None:
        # Given a table that takes longer for the fourth claim than a quarter of the lease
        lease = 12.0
        fleet.gateway.configure(CUBE_READ_TIMEOUT="1")
        worker = Worker(clock, lease=lease)
        calls = fleet.gateway.aws_calls
        calls.before("UpdateItem", 4, lambda: time.sleep(lease / 3))
        event = fleet.gateway.deliver(messages(8))
        # When
        consumed = worker.consume_all(event)
        # Then those that were claimed by then have gone without the others
        assert fleet.queries() == [3]
        # And the others have used up nothing, and are sent the next time
        found = sorted((record.state, record.attempts) for record in fleet.records(8))
        assert found == [(State.RETRYING, 0)] * 5 + [(State.SENT, 1)] * 3
        assert sum(each.acknowledged for each in consumed) == 3
        assert all(each.acknowledged for each in worker.consume_all(event))
        assert fleet.accepted() == {device(each): 1 for each in range(8)}
        worker.provider.close()
