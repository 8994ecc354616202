"""Workers that are killed in the middle of a message: the steps, and what kills them."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from tests.e2e.aws_proxy import CLAIM, FINISH, Rule
from tests.e2e.http_proxy import Answer, Call, HangUp, HttpProxy
from tests.e2e.workers import kill

if TYPE_CHECKING:
    from types import TracebackType

    from tests.e2e.aws_proxy import AwsCall
    from tests.e2e.verdicts import Message
    from tests.e2e.workers import Workers


class Step(StrEnum):
    """The step at which a worker is killed, in the order in which a message takes them."""

    BEFORE_CLAIM = "before the claim is written"
    CLAIM_WRITTEN = "the claim is written, its answer not read"
    CONNECTING = "the connection to Cube is being made"
    CONNECTED = "the connection to Cube is made"
    REQUEST_LEFT = "the request has left and is lost"
    REQUEST_ACCEPTED = "Cube has accepted it, its answer not read"
    ANSWERED = "Cube's answer is read, and not recorded"
    RECORDED = "the outcome is recorded, and the message still on the queue"


class Reaper:
    """Kills the worker of each message at the step that is planned for it, the first time it gets there.

    Parameters
    ----------
    workers : Workers
        The function's processes.
    """

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self.killed: dict[str, int] = {}
        self._plan: dict[str, Step] = {}
        self._attempt: dict[str, int] = {}
        self._by_device: dict[str, str] = {}
        self._held_by: dict[int, str] = {}
        self._lock = threading.Lock()

    def plan(self, message: Message, step: Step, *, attempt: int = 1) -> None:
        """Kill the worker of a message at a step of an attempt."""
        self._by_device[message.device_id] = message.message_id
        self._attempt[message.message_id] = attempt
        self._plan[message.message_id] = step

    def due(self, *steps: Step) -> list[str]:
        """Return the messages whose worker is still to be killed, at one of these steps."""
        return [each for each, step in self._plan.items() if step in steps and each not in self.killed]

    def rules(self) -> list[Rule]:
        """Return what a proxy in front of AWS has to do."""
        return [
            Rule(CLAIM, lambda call: self._at(call, Step.BEFORE_CLAIM)),
            Rule(CLAIM, lambda call: self._at(call, Step.CLAIM_WRITTEN), is_forwarded=True),
            Rule(FINISH, lambda call: self._at(call, Step.ANSWERED)),
            Rule(FINISH, lambda call: self._at(call, Step.RECORDED), is_forwarded=True),
        ]

    def strike_connecting(self, port: int) -> None:
        """Kill the workers that wait for a connection to this port."""
        for pid in self.workers.connecting_to(port):
            self._strike(Step.CONNECTING, self._held_by.get(pid), pid)

    def strike_connected(self, port: int) -> bool:
        """Kill the worker that has just connected with this port of its own, where that is planned."""
        pid = self.workers.with_port(port) if self.due(Step.CONNECTED) else None
        return pid is not None and self._strike(Step.CONNECTED, self._held_by.get(pid), pid)

    def strike_device(self, step: Step, device: str, port: int) -> bool:
        """Kill the worker that posts to a device, where that is planned."""
        message_id = self._by_device.get(device)
        return message_id in self.due(step) and self._strike(step, message_id, self.workers.with_port(port))

    def _at(self, call: AwsCall, step: Step) -> Answer | None:
        if call.message_id in self._plan and call.n >= self._attempt[call.message_id]:
            pid = self.workers.with_port(call.port)
            if pid and call.kind == CLAIM:
                self._held_by[pid] = call.message_id
            if self._strike(step, call.message_id, pid):
                raise HangUp
        return None

    def _strike(self, step: Step, message_id: str | None, pid: int | None) -> bool:
        with self._lock:
            if not message_id or not pid or message_id not in self.due(step):
                return False
            kill(pid)
            self.killed[message_id] = pid
            return True


class Relay(HttpProxy):
    """A proxy in front of the provider, at which workers are killed. Each POST has a connection of its own."""

    def __init__(self) -> None:
        super().__init__(keep_alive=False)
        self.reaper: Reaper | None = None

    def connected(self, port: int) -> None:
        """Kill the worker that has just connected."""
        if self.reaper and self.reaper.strike_connected(port):
            raise HangUp

    def before(self, call: Call) -> Answer | None:
        """Kill the worker whose request has arrived here, and lose it."""
        self._strike(Step.REQUEST_LEFT, call)
        return None

    def after(self, call: Call, answer: Answer) -> Answer:
        """Kill the worker whose answer is on its way."""
        self._strike(Step.REQUEST_ACCEPTED, call)
        return answer

    def _strike(self, step: Step, call: Call) -> None:
        body = json.loads(call.body)
        device = body["sim_ids"][0] if "sim_ids" in body else body["deviceId"]
        if self.reaper and self.reaper.strike_device(step, device, call.port):
            raise HangUp


class Unconnectable:
    """A port on 127.0.0.1 to which no connection can be made: it neither accepts nor refuses one."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        # The backlog holds one connection, which is never accepted. Linux drops the handshake of each further one.
        self._fillers = [socket.socket() for _ in range(2)]
        for filler in self._fillers:
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", self.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (*self._fillers, self._listener):
            each.close()


def environment(url: str) -> dict[str, Any]:
    """Return the variables that send the functions' POSTs to a server."""
    return dict.fromkeys(["CUBE_BASE_URL", "CUBE_V4_BASE_URL"], f"{url}/cube/v4")
