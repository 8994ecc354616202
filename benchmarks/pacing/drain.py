"""One run: a burst on the queue, API calls while it drains, and what is known afterwards."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from local.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from local.stack import LocalStack

_SQS_BATCH = 10
_WARM_UP_SECONDS = 120.0
_SECOND = 1.1
_DEPTHS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")


class ApiCall(NamedTuple):
    """A synchronous call.

    Parameters
    ----------
    device : str
        The device of its message.
    seconds : float
        Until the answer.
    status : int
        Of the answer.
    """

    device: str
    seconds: float
    status: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run has left.

    Parameters
    ----------
    start : float
        When the queue's messages began to be taken, in seconds since the epoch.
    end : float
        When the queue was empty, or the run was cut off.
    devices : sequence of str
        Those of the burst, a message each.
    calls : sequence of ApiCall
        The API calls.
    posts : sequence of mapping
        The provider's books.
    left : int
        Messages left on the queue.
    dead : sequence of str
        The devices of those on its dead-letter queue.
    """

    start: float
    end: float
    devices: Sequence[str]
    calls: Sequence[ApiCall]
    posts: Sequence[Mapping[str, Any]]
    left: int
    dead: Sequence[str]


def drain(stack: LocalStack, messages: int, *, invocations: int, api_every: float, limit: float) -> Run:
    """Drain a burst.

    Parameters
    ----------
    stack : LocalStack
        The gateway.
    messages : int
        Size of the burst.
    invocations : int
        How many batches are under way at once, so many workers to start beforehand.
    api_every : float
        Seconds from one API call to the next, 0 for none.
    limit : float
        Seconds after which the run is cut off.

    Returns
    -------
    Run
        What it has left.
    """
    sqs = stack.aws.client("sqs")
    queue = stack.outputs["SendQueueUrl"]
    devices = [f"8931{number:016d}" for number in range(messages)]
    calls: list[ApiCall] = []
    _warm_up(stack, sqs, queue, invocations)
    # The burst is there before the first message is taken: what drains it does not compete with what brings it.
    with stack.queue_paused():
        _enqueue(sqs, queue, devices)
    start = time.time()
    with _calling(stack, calls, api_every):
        while (left := _depth(sqs, queue)) and time.time() < start + limit:
            time.sleep(0.5)
        end = time.time()
    return Run(
        start=start,
        end=end,
        devices=devices,
        calls=calls,
        posts=stack.cube.requests(),
        left=left,
        dead=_dead_letters(sqs, stack.outputs["DeadLetterQueueUrl"]),
    )


def _warm_up(stack: LocalStack, sqs: Any, queue: str, invocations: int) -> None:
    """Start every worker, under no limit of the provider's, and forget it."""
    limits = {"qps": 0, "connections": 0}
    restored = {name: value for name, value in stack.cube.configure().items() if name in limits}
    stack.cube.configure(**limits)
    with stack.queue_paused():
        _enqueue(sqs, queue, [f"8930{number:016d}" for number in range(invocations * _SQS_BATCH)])
    stack.call_api("POST", "/messages", _body("89309999999999999999"))
    wait_until("the workers to be warm", lambda: not _depth(sqs, queue), timeout=_WARM_UP_SECONDS)
    # What was sent in the last second would still count.
    time.sleep(_SECOND)
    stack.cube.configure(**restored)
    stack.cube.reset()


@contextmanager
def _calling(stack: LocalStack, calls: list[ApiCall], every: float) -> Iterator[None]:
    stopped = threading.Event()

    def call() -> None:
        number = 0
        while every and not stopped.is_set():
            device = f"8932{number:016d}"
            begin = time.monotonic()
            answer = stack.call_api("POST", "/messages", _body(device))
            seconds = time.monotonic() - begin
            calls.append(ApiCall(device, seconds, answer.status))
            number += 1
            stopped.wait(every - seconds)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _body(device: str) -> str:
    return json.dumps({"deviceId": device, "content": "Report your position"})


def _enqueue(sqs: Any, queue: str, devices: Sequence[str]) -> None:
    for begin in range(0, len(devices), _SQS_BATCH):
        batch = devices[begin : begin + _SQS_BATCH]
        sqs.send_message_batch(
            QueueUrl=queue, Entries=[{"Id": device, "MessageBody": _body(device)} for device in batch]
        )


def _depth(sqs: Any, queue: str) -> int:
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=list(_DEPTHS))["Attributes"]
    return sum(int(attributes[name]) for name in _DEPTHS)


def _dead_letters(sqs: Any, queue: str) -> list[str]:
    devices = []
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=_SQS_BATCH).get("Messages"):
        devices += [json.loads(message["Body"])["deviceId"] for message in messages]
    return devices
