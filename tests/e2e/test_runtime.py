"""The built functions in Lambda's own runtime interface: what is not in a layer is missing, and time runs out.

`local/lambda_runtime.py` says what this needs of a machine. If it gives no mounts, the functions run without
them. The first lines of pytest show which it is.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import pytest

from cube_sms.delivery.states import State
from local.lambda_runtime import FunctionError, FunctionTimeoutError, LambdaRuntime, why_no_mounts
from local.paths import BUILD
from tests.e2e.aws_proxy import FINISH, AwsCall, AwsProxy, Rule
from tests.e2e.http_proxy import HangUp
from tests.e2e.verdicts import (
    AT_LEAST_ONCE,
    DELIVERIES,
    SENT_ONCE,
    SENT_TWICE,
    UNKNOWN_SENT,
    Message,
    Verdict,
    verdicts,
)
from tests.support import load_event

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from local.stack import LocalStack
    from tests.e2e.http_proxy import Answer

QUEUE_FUNCTION = "SendFromQueueFunction"
API_FUNCTION = "SendFromApiFunction"

IN_PLACE = bool(why_no_mounts())

# Seconds that no function needs.
TIMEOUT = 60


class Queue(NamedTuple):
    """A queue that no worker polls, so that a test decides what happens to its messages."""

    stack: LocalStack
    url: str

    @classmethod
    def make(cls, stack: LocalStack) -> Queue:
        """Make a queue with the visibility timeout of the send queue."""
        name = f"runtime-{uuid4().hex}"
        answer = stack.sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "360"})
        return cls(stack, answer["QueueUrl"])

    def put(self, messages: Sequence[Message]) -> None:
        """Put messages onto it."""
        for message in messages:
            self.stack.sqs.send_message(QueueUrl=self.url, MessageBody=message.json)

    def receive(self) -> dict[str, Any]:
        """Return what is visible on it, as the event that Lambda makes of it."""
        (template,) = load_event("sqs-text")["Records"]
        received = self.stack.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        records = [
            template
            | {"messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": message["Body"]}
            for message in received.get("Messages", [])
        ]
        return {"Records": records}


def runtime(stack: LocalStack, function: str, timeout: int, **variables: str) -> LambdaRuntime:
    """Return a function with the environment that it is deployed with, and changes to it."""
    functions: Any = stack.aws.client("lambda")
    deployed = functions.get_function_configuration(FunctionName=stack.outputs[f"{function}Name"])
    environment = deployed["Environment"]["Variables"] | {
        "AWS_ENDPOINT_URL": stack.aws.url,
        "CUBE_MAX_QPS": "0",
        "CUBE_DAILY_QUOTA": "0",
        **variables,
    }
    return LambdaRuntime(BUILD / function, environment, timeout, handler=deployed["Handler"], in_place=IN_PLACE)


def warm_up(function: LambdaRuntime) -> None:
    """Start it, so that what follows has all of an invocation's time."""
    assert function.invoke({"Records": []}) == {"batchItemFailures": []}


def left_in_queue(event: dict[str, Any], answer: dict[str, Any]) -> set[str]:
    """Return the request ids of the messages that the function's answer leaves in the queue."""
    failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
    return {json.loads(record["body"])["requestId"] for record in event["Records"] if record["messageId"] in failed}


def request_ids(messages: Sequence[Message]) -> set[str]:
    return {message.request_id for message in messages}


def endings(stack: LocalStack, messages: Sequence[Message]) -> list[object]:
    return [verdict.ending for verdict in verdicts(stack, messages)]


def end_leases(stack: LocalStack, claimed: Sequence[Verdict], at: float) -> None:
    """Let the leases of claimed messages end at a time (Unix, in seconds), however long a test takes."""
    for verdict in claimed:
        stack.aws.client("dynamodb").update_item(
            TableName=stack.outputs["MessagesTableName"],
            Key={"messageId": {"S": verdict.message.message_id}},
            UpdateExpression="SET leaseUntil = :at",
            ConditionExpression="attribute_exists(leaseUntil)",
            ExpressionAttributeValues={":at": {"N": f"{at:.3f}"}},
        )


PROBE = """
import importlib.util, json, os, sys

import aws_lambda_powertools, boto3, botocore, cube_sms, msgspec, urllib3

def is_writable(folder):
    try:
        with open(f"{folder}/probe", "w"):
            return True
    except OSError:
        return False

def handler(event, context):
    importable = {name: spec.origin for name in event if (spec := importlib.util.find_spec(name))}
    folders = ("/", "/opt", "/opt/python", "/var/task", "/var/runtime", "/tmp")
    return {
        "origins": importable, "path": sys.path, "folder": os.getcwd(), "environment": dict(os.environ),
        "writable": [folder for folder in folders if is_writable(folder)], "var": sorted(os.listdir("/var")),
        "timeLeft": context.get_remaining_time_in_millis(),
    }
"""


def test_a_function_finds_its_layers_and_nothing_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a variable and packages of our own, and a function that looks for them
    monkeypatch.setenv("CUBE_SMS_OF_THIS_MACHINE", "1")
    (tmp_path / "app.py").write_text(PROBE)
    layered = ["aws_lambda_powertools", "boto3", "botocore", "cube_sms", "jmespath", "msgspec", "urllib3"]

    # When it runs
    with LambdaRuntime(tmp_path, {"GIVEN": "yes"}, timeout=TIMEOUT, in_place=IN_PLACE) as function:
        found = function.invoke([*layered, "pytest", "moto", "pip", "local", "tests"])

    # Then it has what Lambda would give it, where Lambda has it
    root = function.root
    assert found["origins"].keys() == set(layered)
    assert all(origin.startswith(f"{root}/opt/python/") for origin in found["origins"].values())
    folders = ["/var/task", "/opt/python/lib/python3.13/site-packages", "/opt/python", "/var/runtime"]
    assert found["path"][:4] == [f"{root}{folder}" for folder in folders]
    assert all(path.startswith(f"{root}/var/lang/lib/python3") for path in found["path"][4:])
    assert found["folder"] == f"{root}/var/task"
    # And without mounts it is the tests' own user, who sees more of this machine and may write there
    if not IN_PLACE:
        assert found["var"] == ["lang", "rapid", "runtime", "task"]
        assert found["writable"] == ["/tmp"]
    assert found["environment"]["GIVEN"] == "yes"
    assert found["environment"]["LAMBDA_TASK_ROOT"] == f"{root}/var/task"
    assert not {"CUBE_SMS_OF_THIS_MACHINE", "HOME", "VIRTUAL_ENV"} & found["environment"].keys()
    assert 0 < found["timeLeft"] <= TIMEOUT * 1000


def test_what_is_in_no_layer_is_missing(tmp_path: Path) -> None:
    # Given a function that needs what only this machine has
    (tmp_path / "app.py").write_text("import pytest\n")

    # When it is invoked, then it says so, as it would on Lambda
    with (
        LambdaRuntime(tmp_path, {}, timeout=TIMEOUT, in_place=IN_PLACE) as function,
        pytest.raises(FunctionError, match=r"ImportModuleError: .*No module named 'pytest'"),
    ):
        function.invoke({})


def test_the_queue_function_sends_a_message(stack: LocalStack) -> None:
    # Given a message on a queue
    message = Message.make()
    queue = Queue.make(stack)
    queue.put([message])

    # When the function gets it, twice: with its first breath, and when it is warm
    with runtime(stack, QUEUE_FUNCTION, 60, SEND_QUEUE_URL=queue.url) as function:
        event = queue.receive()
        answers = [function.invoke(event) for _ in range(2)]

        # Then it is sent once, and done with both times
        assert answers == [{"batchItemFailures": []}] * 2, function.log()
    assert endings(stack, [message]) == [SENT_ONCE]


def test_the_api_function_sends_a_message_and_shows_its_record(stack: LocalStack) -> None:
    # Given a call that posts a message, and one that asks what became of it
    message = Message.make()
    post = load_event("api-post-text") | {"body": message.json}
    get = load_event("api-post-text") | {
        "resource": "/messages/{requestId}",
        "path": f"/messages/{message.request_id}",
        "httpMethod": "GET",
        "pathParameters": {"requestId": message.request_id},
        "body": None,
    }

    # When the function gets them
    with runtime(stack, API_FUNCTION, 29) as function:
        posted, got = function.invoke(post), function.invoke(get)

        # Then it has sent the message, and says so
        assert [answer["statusCode"] for answer in (posted, got)] == [200, 200], function.log()
    assert [json.loads(answer["body"])["state"] for answer in (posted, got)] == ["SENT", "SENT"]
    assert endings(stack, [message]) == [SENT_ONCE]


def test_messages_that_a_worker_was_cut_off_with_are_settled_by_a_later_one(stack: LocalStack) -> None:
    # Given a batch, and DynamoDB that does not answer writes of its outcomes, except for the first message.
    # With these timeouts no message is begun in the last seven seconds of an invocation.
    batch = [Message.make(DELIVERIES[n % 2]) for n in range(8)]
    queue = Queue.make(stack)
    queue.put(batch)
    event = queue.receive()
    is_cut_off = threading.Event()

    def hang(call: AwsCall) -> Answer | None:
        if call.message_id == batch[0].message_id:
            return None
        is_cut_off.wait(30)
        raise HangUp

    def state_of_each() -> dict[State | None, list[Verdict]]:
        found: dict[State | None, list[Verdict]] = {}
        for verdict in verdicts(stack, batch):
            found.setdefault(verdict.state, []).append(verdict)
        return found

    timeouts = {"CUBE_CONNECT_TIMEOUT": "1", "CUBE_READ_TIMEOUT": "1", "QUEUE_SEND_CONCURRENCY": "2"}
    with AwsProxy(stack.aws.url) as proxy:
        timeouts |= {"AWS_ENDPOINT_URL_DYNAMODB": proxy.url, "SEND_QUEUE_URL": queue.url}
        with runtime(stack, QUEUE_FUNCTION, 11, **timeouts) as function:
            warm_up(function)
            # When the function is cut off
            with proxy.applying(Rule(FINISH, hang)):
                try:
                    with pytest.raises(FunctionTimeoutError, match=r"after 11\.00 seconds"):
                        function.invoke(event)
                finally:
                    is_cut_off.set()

            # Then some messages have no worker, and only Cube knows their outcomes. The last were not begun
            found = state_of_each()
            held, untouched = found[State.SENDING], found[None]
            assert [verdict.message for verdict in found[State.SENT]] == batch[:1]
            assert {verdict.message.delivery for verdict in held} == set(DELIVERIES)
            assert [verdict.accepted for verdict in held + untouched] == [1] * len(held) + [0] * len(untouched)

            # When the batch comes back while the leases last
            warm_up(function)
            end_leases(stack, held, at=time.time() + 3600)
            answer = function.invoke(event)

            # Then what was not begun is sent, and what is held has to wait
            assert left_in_queue(event, answer) == request_ids([verdict.message for verdict in held]), function.log()
            found = state_of_each()
            assert request_ids([verdict.message for verdict in found[State.SENDING]]) == left_in_queue(event, answer)

            # When it comes back after the leases
            end_leases(stack, held, at=time.time())
            answer = function.invoke(event)

    # Then everything is settled: sent again where that is wanted, and never where it is not
    assert answer == {"batchItemFailures": []}
    held_ids = request_ids([verdict.message for verdict in held])
    again = {AT_LEAST_ONCE: SENT_TWICE}
    assert endings(stack, batch) == [
        again.get(message.delivery, UNKNOWN_SENT) if message.request_id in held_ids else SENT_ONCE for message in batch
    ]


def test_messages_that_there_is_no_time_for_are_handed_back(stack: LocalStack) -> None:
    # Given a batch that is sent one by one, and Cube that takes a second for each message. With these timeouts none is
    # begun in the last nine seconds of an invocation.
    batch = [Message.make() for _ in range(10)]
    queue = Queue.make(stack)
    queue.put(batch)
    event = queue.receive()
    variables = {"CUBE_CONNECT_TIMEOUT": "1", "CUBE_READ_TIMEOUT": "2", "SEND_QUEUE_URL": queue.url}
    variables["QUEUE_SEND_CONCURRENCY"] = "1"
    try:
        stack.cube.configure(device_faults={message.device_id: "delay:1" for message in batch})
        with runtime(stack, QUEUE_FUNCTION, 14, **variables) as function:
            warm_up(function)
            # When the function gets it
            answer = function.invoke(event)

            # Then it has sent some, answers with all others, and was not cut off in the middle of one
            unsent = left_in_queue(event, answer)
            assert 0 < len(unsent) < len(batch), function.log()
            for message, verdict in zip(batch, verdicts(stack, batch), strict=True):
                expected = (None, 0) if message.request_id in unsent else (State.SENT, 1)
                assert (verdict.state, verdict.accepted) == expected, str(verdict)

            # And those come back at once, and are sent then
            stack.cube.configure(device_faults={})
            returned = queue.receive()
            assert {json.loads(record["body"])["requestId"] for record in returned["Records"]} == unsent
            assert function.invoke(returned) == {"batchItemFailures": []}, function.log()
    finally:
        stack.cube.configure(device_faults={})
    assert endings(stack, batch) == [SENT_ONCE] * len(batch)
