"""The receiver of callbacks is killed at each step of a reply that a workflow waits for, and is called again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

import pytest

from local.stack import LocalStack
from tests.e2e.aws_proxy import AwsProxy, Rule, route
from tests.e2e.http_proxy import Answer, HangUp
from tests.e2e.test_ask_and_wait import TEXT, Asking, ended, made
from tests.e2e.test_send import a_device
from tests.e2e.workers import Workers, kill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.aws_proxy import AwsCall


class Step(NamedTuple):
    """The step at which the receiver is killed: its n-th call of an operation, before or after AWS takes the call."""

    operation: str
    n: int
    is_taken: bool


# Whose the reply is, the event, the task, and that the task is answered
STEPS = [
    Step(operation, n, is_taken)
    for operation, n in (("UpdateItem", 1), ("PutEvents", 1), ("SendTaskSuccess", 1), ("UpdateItem", 2))
    for is_taken in (False, True)
]


class Asked(NamedTuple):
    """A stack whose receiver can be killed."""

    asking: Asking
    proxy: AwsProxy
    receivers: Workers


class Reaper:
    """Kills a process of a function at a step, once."""

    def __init__(self, workers: Workers, step: Step) -> None:
        self._workers, self._step = workers, step
        self._calls, self._lock = 0, threading.Lock()
        self.killed = 0

    @property
    def rule(self) -> Rule:
        """What a proxy in front of AWS has to do."""
        return Rule(self._step.operation, self._strike, is_forwarded=self._step.is_taken)

    def _strike(self, call: AwsCall) -> Answer | None:
        with self._lock:
            pid = self._workers.with_port(call.port)
            self._calls += pid is not None
            if not pid or self.killed or self._calls < self._step.n:
                return None
            kill(pid)
            self.killed = pid
        raise HangUp


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    with AwsProxy() as proxy, LocalStack({"Replies": "callback"}, is_limited=False) as stack:
        proxy.upstream = stack.aws.url
        route(stack, proxy, "DYNAMODB", "EVENTBRIDGE", "SFN")
        yield Asked(made(stack), proxy, Workers(stack, stack.physical_id("ReceiveCallbackFunction")))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: "-".join(map(str, step)))
def test_a_reply_outlives_its_receiver(asked: Asked, step: Step) -> None:
    # Given a workflow that waits for a device
    device, reaper = a_device(), Reaper(asked.receivers, step)
    execution = asked.asking.ask(device)
    asked.asking.wait_until_sent(execution)
    # When the receiver of its answer is killed
    with asked.proxy.applying(reaper.rule):
        asked.asking.call_back({"deviceId": device})
        # Then the workflow goes on with it
        assert ended(execution)["output"]["content"] == TEXT
    assert reaper.killed
    # And its events have one id, and say whose answer it is
    replies = asked.asking.replies(device)
    assert len({each["eventId"] for each in replies}) == 1
    assert {each["inReplyTo"] for each in replies} == {execution.name}
