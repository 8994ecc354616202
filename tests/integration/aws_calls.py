"""The functions' calls of AWS: counted, let fail, and made one at a time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from tests.sqs_limits import refuse_as_sqs

if TYPE_CHECKING:
    from collections.abc import Callable


class AwsCalls:
    """Sees every call of the clients that are made from now on, until `stop`.

    One call is made at a time, because moto is not safe under threads.
    """

    def __init__(self) -> None:
        self.operations: list[str] = []
        # For how many seconds each message was hidden when it last returned to the queue, by its receipt handle.
        self.hidden: dict[str, int] = {}
        self._failures: dict[str, list[bool]] = {}
        self._actions: dict[tuple[str, int], Callable[[], object]] = {}
        self._one_at_a_time = threading.RLock()
        assert boto3.DEFAULT_SESSION, "set while AWS is simulated"
        self._events = boto3.DEFAULT_SESSION.events
        self._events.register("before-call", self._before)
        self._events.register("after-call", self._after)
        self._events.register("after-call-error", self._after)
        self._events.register("provide-client-params.sqs.SendMessage", refuse_as_sqs)
        self._events.register("provide-client-params.sqs.ChangeMessageVisibility", self._note_hidden)
        self._events.register("provide-client-params.sqs.ChangeMessageVisibilityBatch", self._note_hidden)

    def stop(self) -> None:
        """Leave clients alone that are made later."""
        self._events.unregister("before-call", self._before)
        self._events.unregister("after-call", self._after)
        self._events.unregister("after-call-error", self._after)
        self._events.unregister("provide-client-params.sqs.SendMessage", refuse_as_sqs)
        self._events.unregister("provide-client-params.sqs.ChangeMessageVisibility", self._note_hidden)
        self._events.unregister("provide-client-params.sqs.ChangeMessageVisibilityBatch", self._note_hidden)

    def clear(self) -> None:
        """Forget the calls that were made."""
        self.operations.clear()

    def fail(self, operation: str, *, after: int = 0, times: int = 1000) -> None:
        """Answer the next calls of an operation but the first `after` with HTTP 500, and do nothing else about them."""
        self._failures[operation] = [False] * after + [True] * times

    def before(self, operation: str, call: int, action: Callable[[], object]) -> None:
        """Let something else happen right before a certain call of an operation, counted from 1."""
        self._actions[operation, call] = action

    def recover(self) -> None:
        """Let no call fail any more."""
        self._failures.clear()

    def _note_hidden(self, params: dict[str, Any], **_: Any) -> None:
        for entry in params.get("Entries", [params]):
            self.hidden[entry["ReceiptHandle"]] = entry["VisibilityTimeout"]

    def _before(self, model: Any, params: dict[str, Any], **_: Any) -> Any:
        self._one_at_a_time.acquire()
        self.operations.append(model.name)
        if action := self._actions.get((model.name, self.operations.count(model.name))):
            action()
        failures = self._failures.get(model.name)
        if not (failures and failures.pop(0)):
            return None
        error = {"Error": {"Code": "InternalServerError", "Message": "away"}, "ResponseMetadata": {}}
        return AWSResponse(params["url"], 500, HTTPHeaders(), None), error

    def _after(self, **_: Any) -> None:
        self._one_at_a_time.release()
