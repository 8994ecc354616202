"""A proxy in front of the local AWS that knows its calls. It counts each kind of call, and fails those it should.

A function calls the proxy if `AWS_ENDPOINT_URL_DYNAMODB` or a similar variable has its address. `route` sets them.
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.e2e.http_proxy import Answer, Call, HttpProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.stack import LocalStack

CLAIM = "claim"
NOTE = "note"
FINISH = "finish"


class AwsCall(NamedTuple):
    """A call of an AWS API.

    Parameters
    ----------
    kind : str
        `CLAIM` and `FINISH` for the two writes of a record, `NOTE` for word that a message waits, otherwise the
        operation, such as ``GetItem``.
    operation : str
        The operation.
    message_id : str or None
        The record's key, where it is about one.
    n : int
        The how many-th of its kind it is, for this message where it is about one; from 1 on.
    port : int
        The client's port.
    """

    kind: str
    operation: str
    message_id: str | None
    n: int
    port: int


type Act = Callable[[AwsCall], Answer | None]


@dataclass(frozen=True, eq=False)
class Rule:
    """What is done to the calls of a kind.

    Parameters
    ----------
    kind : str
        Their kind, or their operation.
    act : Callable[[AwsCall], Answer | None]
        Called for each; an answer replaces AWS's.
    is_forwarded : bool
        Whether it is called after AWS has processed the call, instead of before AWS knows of it.
    """

    kind: str
    act: Act
    is_forwarded: bool = False


class AwsProxy(HttpProxy):
    """A proxy in front of the local AWS."""

    def __init__(self, upstream: str = "") -> None:
        super().__init__(upstream)
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._numbers: Counter[tuple[str, str | None]] = Counter()
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    @contextmanager
    def applying(self, *rules: Rule) -> Iterator[None]:
        """Apply rules for as long as this context."""
        self._rules = [*self._rules, *rules]
        try:
            yield
        finally:
            self._rules = [rule for rule in self._rules if rule not in rules]

    def calls(self, kind: str, message_id: str) -> int:
        """Return how many calls of a kind there have been about a message."""
        return self._numbers[kind, message_id]

    def handle(self, call: Call) -> Answer:
        """Answer a call as the rules want it."""
        aws_call = self._read(call)
        answer = self._apply(aws_call, is_forwarded=False)
        if not answer:
            answer = super().handle(call)
            answer = self._apply(aws_call, is_forwarded=True) or answer
        return answer

    def _apply(self, call: AwsCall, *, is_forwarded: bool) -> Answer | None:
        for rule in self._rules:
            applies = rule.kind in (call.kind, call.operation) and rule.is_forwarded is is_forwarded
            if applies and (answer := rule.act(call)):
                with self._lock:
                    self.failures[call.kind] += 1
                return answer
        return None

    def _read(self, call: Call) -> AwsCall:
        operation = call.headers.get("X-Amz-Target", "").rpartition(".")[2]
        kind, message_id = operation, None
        if operation == "UpdateItem":
            body = json.loads(call.body)
            kind = FINISH if "REMOVE leaseUntil" in body["UpdateExpression"] else CLAIM
            kind = NOTE if "SET #state = :queued" in body["UpdateExpression"] else kind
            message_id = body["Key"]["messageId"]["S"]
        with self._lock:
            self.counts[operation] += 1
            self._numbers[kind, message_id] += 1
            return AwsCall(kind, operation, message_id, self._numbers[kind, message_id], call.port)


class Proxied(NamedTuple):
    """A stack, and the proxy between its functions and AWS."""

    stack: LocalStack
    proxy: AwsProxy


def aws_error(code: str, status: int = 400) -> Answer:
    """Return an error as AWS's JSON protocols spell it."""
    body = json.dumps({"__type": f"com.amazonaws#{code}", "message": "told to"}).encode()
    return Answer(status, {"Content-Type": "application/x-amz-json-1.0"}, body)


INTERNAL_ERROR = aws_error("InternalServerError", 500)
ACCESS_DENIED = aws_error("AccessDeniedException")
THROTTLED = aws_error("ThrottlingException")
THROUGHPUT_EXCEEDED = aws_error("ProvisionedThroughputExceededException")


def always(answer: Answer) -> Act:
    """Answer every call so."""
    return lambda _call: answer


def first(times: int, answer: Answer) -> Act:
    """Answer the first calls of each message so."""
    return lambda call: answer if call.n <= times else None


def at_random(rate: float, seed: int, *answers: Answer) -> Act:
    """Answer calls so at a rate, as the seed has it."""
    generator = random.Random(seed)
    return lambda _call: generator.choice(answers) if generator.random() < rate else None


def route(stack: LocalStack, proxy: AwsProxy, *services: str, **variables: str) -> None:
    """Let the functions talk to services through a proxy, and change further variables of their environment."""
    change_environment(stack, **{f"AWS_ENDPOINT_URL_{service}": proxy.url for service in services}, **variables)


def change_environment(stack: LocalStack, **variables: str) -> None:
    """Change variables of the functions' environment."""
    functions: Any = stack.aws.client("lambda")
    names = ["SendFromQueueFunction", "SendFromApiFunction", "ShowMessageFunction", "PublishOutcomesFunction"]
    if "CallbackUrl" in stack.outputs:
        names.append("ReceiveCallbackFunction")
    if "FollowUpFunctionName" in stack.outputs:
        names.append("FollowUpFunction")
    for function in names:
        name = stack.physical_id(function)
        environment = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        functions.update_function_configuration(
            FunctionName=name, Environment={"Variables": {**environment, **variables}}
        )
        functions.get_waiter("function_updated_v2").wait(
            FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        # Queue, API and stream call the published version that the alias names.
        version = functions.publish_version(FunctionName=name)["Version"]
        for alias in functions.list_aliases(FunctionName=name)["Aliases"]:
            functions.update_alias(FunctionName=name, Name=alias["Name"], FunctionVersion=version)
