"""What goes wrong while outcomes are published: entries that are refused, and publishers that are killed."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.e2e.aws_proxy import AwsProxy, Rule
from tests.e2e.http_proxy import Answer, HangUp
from tests.e2e.workers import Workers, kill

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.stack import LocalStack
    from tests.e2e.aws_proxy import AwsCall
    from tests.e2e.http_proxy import Call

PUT_EVENTS = "PutEvents"
ANSWER_TASK = ("SendTaskSuccess", "SendTaskFailure")


class EventsProxy(AwsProxy):
    """A proxy in front of the local AWS, behind which EventBridge may not take every entry of a call."""

    def __init__(self) -> None:
        super().__init__()
        self.is_taken: Callable[[dict[str, Any]], bool] = lambda _entry: True
        self.entries: Counter[bool] = Counter()
        """How many entries were taken, and how many were not."""

    def handle(self, call: Call) -> Answer:
        """Answer a call, and keep from EventBridge the entries that it does not take."""
        if not call.headers.get("X-Amz-Target", "").endswith(f".{PUT_EVENTS}"):
            return super().handle(call)
        entries = json.loads(call.body)["Entries"]
        taken = [self.is_taken(entry) for entry in entries]
        passed_on = [entry for entry, is_taken in zip(entries, taken, strict=True) if is_taken]
        headers = {name: value for name, value in call.headers.items() if name.lower() != "content-length"}
        answer = super().handle(call._replace(headers=headers, body=json.dumps({"Entries": passed_on}).encode()))
        if answer.status != 200:
            return answer
        self.entries.update(taken)
        results = iter(json.loads(answer.body)["Entries"])
        refused = {"ErrorCode": "InternalFailure", "ErrorMessage": "told to"}
        body = {
            "FailedEntryCount": taken.count(False),
            "Entries": [next(results) if is_taken else refused for is_taken in taken],
        }
        return Answer(200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode())


class PublisherReaper:
    """Kills the process that publishes, at random: before its call reaches AWS, or before it has the answer.

    Parameters
    ----------
    stack : LocalStack
        The stack of the process.
    rate : float
        The probability of a kill, for each call and each of both moments.
    seed : int
        The seed of the random choices.
    """

    def __init__(self, stack: LocalStack, rate: float, seed: int) -> None:
        self._workers = Workers(stack, stack.outputs["PublishOutcomesFunctionName"])
        self._rate = rate
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def rules(self) -> list[Rule]:
        """Return the rules of a proxy between the function and AWS by which it kills."""
        return [
            Rule(operation, self._strike, is_forwarded=is_forwarded)
            for operation in (PUT_EVENTS, *ANSWER_TASK)
            for is_forwarded in (False, True)
        ]

    def _strike(self, call: AwsCall) -> Answer | None:
        with self._lock:
            is_due = self._random.random() < self._rate
        pid = self._workers.with_port(call.port) if is_due else None
        if not pid:
            return None
        kill(pid)
        raise HangUp
