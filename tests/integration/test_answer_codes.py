"""A provider whose answers all come with HTTP 200: the deployment defines what its codes mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.states import State
from tests.integration.wire import FAILURE, Wire, answer
from tests.support import ACCESS_CODE, DEVICE, SECRET, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment
    from tests.support import Printed

CODES = '{"authentication": ["9401", "9403"], "throttled": ["9429"], "unavailable": ["9500", "HTTP 502"]}'
MESSAGE = {"requestId": "order-1", "deviceId": DEVICE, "content": "Wake up"}


@pytest.fixture
def terse(cube: CubeSimulator, gateway: Deployment) -> CubeSimulator:
    """A provider that refuses with its codes alone, which the deployment knows."""
    cube.configure(envelope_only=True)
    gateway.configure(CUBE_ANSWER_CODES=CODES)
    return cube


def test_code_that_is_not_listed_is_a_rejection(cube: CubeSimulator, gateway: Deployment) -> None:
    # Given the same provider, and a deployment that knows nothing of its codes
    cube.configure(envelope_only=True, accounts={ACCESS_CODE: "another-secret"})
    assert gateway.consume(queue_event(MESSAGE)) == []
    record = gateway.record("order-1")
    assert (record.state, record.code, cube.stats()["received"]) == (State.REJECTED, "9403", 1)


@pytest.mark.parametrize("known", [(ACCESS_CODE, "the-secret-of-before"), ("P000001", SECRET)])
def test_credentials_that_are_refused_by_a_code_are_fetched_afresh(
    terse: CubeSimulator, gateway: Deployment, known: tuple[str, str]
) -> None:
    # Given a worker that holds credentials from before a rotation
    gateway.set_accounts(default=known)
    terse.configure(accounts={known[0]: known[1]})
    gateway.consume(queue_event(MESSAGE | {"requestId": "before"}))
    terse.configure(accounts={ACCESS_CODE: SECRET})
    gateway.set_accounts(default=(ACCESS_CODE, SECRET))
    # When
    assert gateway.consume(queue_event(MESSAGE)) == []
    # Then the POST was repeated once
    assert [post["accepted"] for post in terse.requests(DEVICE)] == [True, False, True]
    record = gateway.record("order-1")
    assert (record.state, record.attempts, record.possibly_duplicated) == (State.SENT, 2, False)


def test_credentials_that_are_refused_for_good_are_told(
    terse: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
) -> None:
    terse.configure(accounts={ACCESS_CODE: "another-secret"})
    assert gateway.post(MESSAGE).status == 502
    record = gateway.record("order-1")
    assert (record.state, record.code, terse.stats()["received"]) == (State.RETRYING, "9403", 2)
    assert printed().values("CubeAuthenticationFailed") == [1]


def test_throttling_by_a_code_closes_the_gate(
    terse: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
) -> None:
    # Given a provider that allows no second query today, and says so with HTTP 200
    terse.configure(quota=1)
    gateway.configure(CUBE_MAX_QPS="10")
    gateway.consume(queue_event(MESSAGE | {"requestId": "before"}))
    # When two more come
    assert gateway.post(MESSAGE).status == 429
    assert gateway.post(MESSAGE | {"requestId": "order-2"}).status == 429
    # Then the second was not posted
    assert (gateway.record("order-1").state, gateway.record("order-1").code) == (State.RETRYING, "9429")
    assert terse.stats()["received"] == 2
    assert printed().values("CubeThrottled") == [1]


@pytest.mark.parametrize("fault", ["rejected:9500", "status:502"])
@pytest.mark.parametrize("delivery", ["at-least-once", "at-most-once"])
def test_what_is_listed_as_unavailable_was_not_processed(
    terse: CubeSimulator, gateway: Deployment, fault: str, delivery: str
) -> None:
    terse.configure(next_faults=[fault])
    event = gateway.deliver(queue_event(MESSAGE | {"delivery": delivery}))
    # When
    assert len(gateway.consume(event)) == 1
    # Then it is tried again, at most once too
    record = gateway.record("order-1")
    assert (record.state, record.unsettled) == (State.RETRYING, False)
    assert gateway.consume(event) == []
    record = gateway.record("order-1")
    assert (record.state, record.attempts, record.possibly_duplicated) == (State.SENT, 2, False)


@pytest.mark.parametrize(
    ("body", "state", "attempts"),
    [
        (b'\xef\xbb\xbf{"code":"0000","data":null,"message":"success","success":true}', State.SENT, 1),
        ('{"code":"9404","message":"设备不存在","success":false}'.encode("gbk"), State.REJECTED, 1),
    ],
    ids=["success after a byte order mark", "rejection in GBK"],
)
def test_answer_that_is_legible_ends_the_message_at_once(
    gateway: Deployment, body: bytes, state: State, attempts: int
) -> None:
    with Wire(answer(body, Content_Type="application/json;charset=GBK")) as wire:
        gateway.configure(CUBE_BASE_URL=wire.url)
        assert [gateway.consume(queue_event(MESSAGE)) for _ in range(3)] == [[], [], []]
        assert len(wire.requests) == attempts
    assert gateway.record("order-1").state == state


@pytest.mark.parametrize("status", [502, 503])
def test_servers_that_break_close_the_gate_whatever_became_of_the_requests(gateway: Deployment, status: int) -> None:
    # Given a gateway before the provider that loses its answers
    bodies: list[dict[str, Any]] = [MESSAGE | {"requestId": f"order-{n}"} for n in range(8)]
    with Wire(answer(FAILURE, status)) as wire:
        gateway.configure(CUBE_BASE_URL=wire.url, CUBE_MAX_QPS="1000", MAX_ATTEMPTS="8")
        # When messages come one by one
        statuses = [gateway.post(body | {"delivery": "at-most-once"}).status for body in bodies]
        # Then those of five are unknown, and the others are not posted
        assert statuses == [504] * 5 + [503] * 3
        assert len(wire.requests) == 5
