"""EventBridge and Step Functions over HTTP: what they took, what they refuse, and when they are unavailable."""

from __future__ import annotations

import io
import json
from collections import deque
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

if TYPE_CHECKING:
    from collections.abc import Iterable

# What Step Functions says of a task that takes no answer, after Step Functions' API reference.
REFUSALS = (
    "TaskTimedOut",
    "TaskDoesNotExist",
    "InvalidToken",
    "KmsAccessDeniedException",
    "ValidationException",
    "AccessDeniedException",
)

# Errors that are AWS's own.
_STATUS = {"InternalFailure": 500, "ServiceUnavailable": 503}

type Fault = str | int | Exception | set[int]
"""What becomes of a call: an error by its code, a status without a body, an exception of the network; for PutEvents the
entries that are not taken."""


class EventServices:
    """Answers the calls of botocore's clients, in place of the network, until `stop`.

    Parameters
    ----------
    events
        The hooks of a session, or of a client.
    """

    def __init__(self, events: Any) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.taken: list[dict[str, Any]] = []
        """The entries of PutEvents that were taken."""
        self.told: list[tuple[str, str, dict[str, Any]]] = []
        """What tasks were told: their tokens, ``Sent`` or the error, and output or cause."""
        self.refused: dict[str, str] = {}
        """The error that each of these tokens is refused with."""
        self._faults: dict[str, deque[Fault | None]] = {}
        self._hooks = events
        for service in ("eventbridge", "sfn"):
            self._hooks.register_first(f"before-send.{service}", self._answer)

    def reset(self) -> None:
        """Forget what was called, and be well again."""
        for each in (self.calls, self.taken, self.told, self.refused, self._faults):
            each.clear()

    def stop(self) -> None:
        """Answer no more."""
        for service in ("eventbridge", "sfn"):
            self._hooks.unregister(f"before-send.{service}", self._answer)

    def fail(self, operation: str, *faults: Fault | None) -> None:
        """Let the next calls of an operation fail so; None lets one through."""
        self._faults[operation] = deque(faults)

    def count(self, operation: str) -> int:
        """Return how many calls of an operation there have been."""
        return sum(called == operation for called, _ in self.calls)

    @property
    def details(self) -> list[dict[str, Any]]:
        """The details of the events that were taken."""
        return [json.loads(entry["Detail"]) for entry in self.taken]

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        operation = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
        body = json.loads(request.body)
        self.calls.append((operation, body))
        planned = self._faults.get(operation)
        fault = planned.popleft() if planned else None
        if isinstance(fault, Exception):
            raise fault
        if isinstance(fault, int):
            return _response(request.url, fault, {})
        if isinstance(fault, str):
            return _response(request.url, _STATUS.get(fault, 400), {"__type": fault, "message": json.dumps(body)})
        if operation == "PutEvents":
            return _response(request.url, 200, self._put(body["Entries"], fault or set()))
        if error := self.refused.get(body["taskToken"]):
            return _response(request.url, 400, {"__type": error, "message": json.dumps(body)})
        outcome = "Sent" if operation == "SendTaskSuccess" else body["error"]
        self.told.append((body["taskToken"], outcome, json.loads(body.get("output") or body["cause"])))
        return _response(request.url, 200, {})

    def _put(self, entries: list[dict[str, Any]], not_taken: Iterable[int]) -> dict[str, Any]:
        assert 1 <= len(entries) <= 10, "what EventBridge takes at once"
        results = []
        for index, entry in enumerate(entries):
            if index in not_taken:
                results.append({"ErrorCode": "InternalFailure", "ErrorMessage": entry["Detail"]})
            else:
                self.taken.append(entry)
                results.append({"EventId": str(len(self.taken))})
        return {"FailedEntryCount": len(list(not_taken)), "Entries": results}


class _Body(io.BytesIO):
    def stream(self, **_: Any) -> Iterable[bytes]:
        yield self.read()


def _response(url: str, status: int, body: dict[str, Any]) -> AWSResponse:
    return AWSResponse(url, status, HTTPHeaders(), _Body(json.dumps(body).encode()))
