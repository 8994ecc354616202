"""A load that shows on the dashboard whatever there is to show: a burst, an outage, refusals, a lower limit."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from local.stack import ACCESS_CODE, SECRET

if TYPE_CHECKING:
    from local.stack import LocalStack

QUOTA = 1500

_UNKNOWN_DEVICE = "89314404000939952299"
_BROKEN_DEVICE = "89314404000939952288"
_LOST_DEVICE = "89314404000939952277"
_EVERYDAY_FAULTS = {"rejected:1004": 0.02, "delay:0.4": 0.06, "delay:1.2": 0.015}


class Look(NamedTuple):
    """What the queues hold at a moment."""

    at: float
    waiting: float
    hidden: float
    dead_letters: float


class Load:
    """Sends for a few minutes, and looks at the queues every second.

    Parameters
    ----------
    stack : LocalStack
        The stack to send to.
    """

    SECONDS = 280.0

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self.looks: list[Look] = []
        self.enqueued: dict[str, float] = {}
        """When each message was put onto the queue, by its SQS message id."""

    def run(self) -> None:
        """Send, as the plan below has it."""
        cube = self._stack.cube
        everyday = {"faults": _EVERYDAY_FAULTS, "device_faults": {_BROKEN_DEVICE: "status:500", _LOST_DEVICE: "lost"}}
        cube.configure(unknown_devices=[_UNKNOWN_DEVICE], **everyday)
        started = time.time()
        for second in range(int(self.SECONDS)):
            time.sleep(max(0.0, started + second - time.time()))
            self._look()
            if second < self.SECONDS - 30:
                self._send_a_little(second)
            if second == 50:
                self._enqueue(count=400)
            elif second == 110:
                cube.configure(faults={"status:503": 1.0})
            elif second == 140:
                cube.configure(**everyday)
            elif second == 190:
                cube.configure(accounts={ACCESS_CODE: "another"})
            elif second == 200:
                cube.configure(accounts={ACCESS_CODE: SECRET})
            elif second == 220:
                cube.configure(qps=2)
            elif second == 230:
                cube.configure(qps=10)

    def _send_a_little(self, second: int) -> None:
        self._enqueue(count=3)
        if second % 5 == 0:
            self._stack.call_api("POST", "/messages", _request())
        if second % 20 == 7:
            self._enqueue(_BROKEN_DEVICE)
            self._enqueue(_UNKNOWN_DEVICE)
            self._enqueue(_LOST_DEVICE, delivery="at-most-once")
        if second % 30 == 11:
            self._enqueue(expiresAt="2020-01-01T00:00:00Z")
            self._enqueue(content="")
            request_id = f"twice-{second}"
            self._enqueue(requestId=request_id, deviceId="89314404000939952215")
            self._enqueue(requestId=request_id, deviceId="89314404000939952215")

    def _enqueue(self, device_id: str | None = None, *, count: int = 1, **fields: str) -> None:
        for _ in range(count):
            self.enqueued[self._stack.enqueue(_request(device_id, **fields))] = time.time()

    def _look(self) -> None:
        at = time.time()
        send_queue, dead_letters = (
            self._stack.sqs.get_queue_attributes(QueueUrl=self._stack.outputs[name], AttributeNames=["All"])[
                "Attributes"
            ]
            for name in ("SendQueueUrl", "DeadLetterQueueUrl")
        )
        waiting, hidden = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
        self.looks.append(Look(at, *map(float, (send_queue[waiting], send_queue[hidden], dead_letters[waiting]))))


def _request(device_id: str | None = None, **fields: str) -> str:
    device = device_id or f"8931{uuid4().int % 10**16:016d}"
    return json.dumps({"deviceId": device, "content": "Report your position", **fields})
