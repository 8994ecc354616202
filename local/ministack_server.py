"""MiniStack, with what the stack needs of it beyond what it does itself.

An invocation's output is in the log once it is answered, and processes share their layers. A map of Step Functions
takes `MaxConcurrencyPath`, its children have a history, and they end with their execution. Who may put one message
onto a queue may put ten, as on AWS. A standard queue is fair to the groups of its messages. It gives a function more
than ten messages, and does not wait for them. And a nested stack can be updated.

MiniStack itself takes what a thread has read within 50 ms. On a busy machine that is too early: the lines come with the
next invocation of the same process, or never. It unpacks all layers again for each process of a function, which takes
longer than the process needs to start. And its standard queues know no groups. Usage, in MiniStack's own environment:
``python -P FILE``.
"""

from __future__ import annotations

import hashlib
import os
import select
import tempfile
import threading
import time
import zipfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack.app import main
from ministack.core import iam_actions, lambda_runtime
from ministack.services import cloudformation, sqs, stepfunctions
from ministack.services.cloudformation import provisioners

_update_resource = provisioners._update_resource


class Worker(lambda_runtime.Worker):  # type: ignore[misc] # nothing of MiniStack's environment is in ours
    """A process of a function, whose output is read to its end before an invocation is answered."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._reading = threading.Lock()
        self._pipe: Any = None
        self._rest = b""

    def _read_stderr(self) -> None:
        """Read while the function runs, so that it never waits for a full pipe."""
        self._pipe = pipe = self._proc.stderr
        while _is_readable(pipe, timeout=None):
            if not self._read(pipe):
                return

    def _drain_stderr(self) -> str:
        # A function writes its lines before its answer: all of them are in the pipe, or have been read from it.
        if self._pipe:
            self._read(self._pipe)
        return str(super()._drain_stderr())

    def _drain_stderr_bounded(self, **_: float) -> str:
        return self._drain_stderr()

    def _read(self, pipe: Any) -> bool:
        """Take the lines that are there, and return whether there can be more."""
        with self._reading:
            while _is_readable(pipe, timeout=0):
                if not (chunk := os.read(pipe.fileno(), 65536)):
                    return False
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                for line in lines:
                    self._stderr_queue.put(line.decode(errors="replace"))
        return True


class Archive(zipfile.ZipFile):
    """An archive of a function or a layer. A layer is unpacked once, and each process has links to it."""

    _one_at_a_time = threading.Lock()

    def extractall(self, path: Any = None, *arguments: Any) -> None:
        """Unpack it into a folder."""
        if not Path(path).name.startswith("layer_"):
            super().extractall(path, *arguments)
            return
        contents = repr([(entry.filename, entry.CRC) for entry in self.infolist()])
        unpacked = Path(tempfile.gettempdir(), f"layer-{hashlib.sha256(contents.encode()).hexdigest()}")
        with self._one_at_a_time:
            if not unpacked.exists():
                folder = tempfile.mkdtemp()
                super().extractall(folder)
                Path(folder).rename(unpacked)
        for entry in unpacked.iterdir():
            Path(path, entry.name).symlink_to(entry)


class FairQueues:
    """Whose messages a standard queue hands out first: those of tenants that are no noisy neighbours.

    As https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues-detailed.html has it:
    a tenant is a message group, or a message without one. It is noisy with over a tenth of the messages in flight, if
    those are 30, or of the recent processing time. This ends when none of its messages waits, or five minutes after its
    last one.
    """

    share = 0.1
    least_in_flight = 30
    quiet_after = 300.0
    # AWS does not say what is recent.
    recent = 60.0

    def __init__(self) -> None:
        self._collect = sqs._collect_msgs
        self._lock = threading.Lock()
        # Of each queue, when it was last looked at, and the processing time of its tenants.
        self._seen_at: dict[str, float] = {}
        self._times: dict[str, Counter[str]] = {}

    def collect(self, queue: dict[str, Any], most: int, visibility_timeout: int) -> list[dict[str, Any]]:
        """Hand out messages, for ReceiveMessage and for Lambda."""
        if not queue["is_fifo"] and any(message.get("group_id") for message in queue["messages"]):
            with self._lock:
                queue = {**queue, "messages": self._fairly(queue["attributes"]["QueueArn"], queue["messages"])}
        return list(self._collect(queue, most, visibility_timeout))

    def _fairly(self, arn: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return messages in the order in which they are handed out."""
        now = time.time()
        tenants = [message.get("group_id") or message["id"] for message in messages]
        is_visible = [message.get("visible_at", now) <= now for message in messages]
        in_flight = Counter(
            tenant
            for tenant, message, is_there in zip(tenants, messages, is_visible, strict=True)
            if not is_there and message.get("receive_count")
        )
        elapsed = now - self._seen_at.get(arn, now)
        self._seen_at[arn] = now
        before = self._times.get(arn, Counter())
        times = self._times[arn] = Counter(
            {
                tenant: before[tenant] * max(0.0, 1 - elapsed / self.recent) + in_flight[tenant] * elapsed
                for tenant in {*before, *in_flight}
            }
        )
        newest: dict[str, float] = {}
        for tenant, message, is_there in zip(tenants, messages, is_visible, strict=True):
            if is_there:
                newest[tenant] = max(newest.get(tenant, 0.0), message.get("sent_at", now))
        noisy = {
            tenant
            for tenant, sent_at in newest.items()
            if now - sent_at < self.quiet_after
            and (
                (in_flight[tenant] >= self.least_in_flight and in_flight[tenant] > self.share * sum(in_flight.values()))
                or times[tenant] > self.share * sum(times.values())
            )
        }
        self._times[arn] = Counter({tenant: seconds for tenant, seconds in times.items() if seconds > 0.001})
        # Of several noisy ones, those with the fewest messages in flight come first.
        order = {tenant: (tenant in noisy, in_flight[tenant] * (tenant in noisy)) for tenant in tenants}
        return [message for _, message in sorted(zip(tenants, messages, strict=True), key=lambda pair: order[pair[0]])]


class States(dict[str, Any]):
    """The states of a child of a map: each that it enters is in its history, and it enters none once it is aborted.

    Parameters
    ----------
    states : dict
        The states.
    execution : dict
        The execution that enters them.
    """

    def __init__(self, states: dict[str, Any], execution: dict[str, Any]) -> None:
        super().__init__(states)
        self._execution = execution

    def get(self, name: str, default: Any = None) -> Any:
        """Return the state that is entered."""
        run = stepfunctions._map_runs.get(self._execution.get("mapRunArn"))
        parent = stepfunctions._executions[run["executionArn"]] if run else self._execution
        if parent["status"] != "RUNNING":
            raise stepfunctions._ExecutionError("States.Aborted", "The execution was stopped")
        state = super().get(name, default)
        if run and state:
            details = {"stateEnteredEventDetails": {"name": name}}
            stepfunctions._add_event(self._execution, f"{state['Type']}StateEntered", details)
        return state


_extract_iam_action = iam_actions.extract_iam_action
_receive_for_function = sqs._receive_messages_for_esm
_run_sub_machine = stepfunctions._run_sub_machine
_run_distributed_map = stepfunctions._run_distributed_map


def extract_iam_action(*arguments: Any, **options: Any) -> Any:
    """Return which permission a call needs."""
    action = _extract_iam_action(*arguments, **options)
    return "sqs:SendMessage" if action == "sqs:SendMessageBatch" else action


def receive_for_function(queue_url: str, most: int) -> list[dict[str, Any]]:
    """Receive messages for a function: more than ten if its batches are larger, of those that have gathered."""
    received: list[dict[str, Any]] = []
    while some := _receive_for_function(queue_url, most - len(received)):
        received += some
        if len(received) >= most:
            break
    return received


def run_sub_machine(states: Any, start_at: Any, data: Any, execution: Any, context: Any) -> Any:
    """Run the states of a branch, or of a child of a map."""
    return _run_sub_machine(States(states, execution), start_at, data, execution, context)


def run_distributed_map(state: Any, raw: Any, effective: Any, iterator: Any, execution: Any, context: Any) -> Any:
    """Run a map with as many children at a time as its input says."""
    if path := state.get("MaxConcurrencyPath"):
        state = {**state, "MaxConcurrency": stepfunctions._resolve_path(path, effective)}
    return _run_distributed_map(state, raw, effective, iterator, execution, context)


def _is_readable(pipe: Any, *, timeout: int | None) -> bool:
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(timeout))


def update_resource(
    kind: str, physical_id: str, old: Any, new: Any, stack: str, name: str | None = None, attributes: Any = None
) -> Any:
    """Update a resource. One of a nested stack keeps its attributes if it stays as it is, and a function its name."""
    if attributes is None and name:
        attributes = cloudformation._stacks[stack]["_resources"].get(name, {}).get("Attributes")
    if kind == "AWS::Lambda::Function":
        old, new = ({"FunctionName": physical_id, **properties} for properties in (old, new))
    return _update_resource(kind, physical_id, old, new, stack, name, attributes)


if __name__ == "__main__":
    provisioners._update_resource = update_resource
    sqs._collect_msgs = FairQueues().collect
    sqs._receive_messages_for_esm = receive_for_function
    lambda_runtime.Worker = Worker
    lambda_runtime.zipfile = SimpleNamespace(**vars(zipfile) | {"ZipFile": Archive})
    iam_actions.extract_iam_action = extract_iam_action
    stepfunctions._run_sub_machine = run_sub_machine
    stepfunctions._run_distributed_map = run_distributed_map
    main()
