"""A stack whose send queue is FIFO: the order of each device's messages among faults, crashes and detours."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from local.stack import ACCESS_CODE, SECRET, STACK_NAME, LocalStack, wait_until
from tests.e2e.aws_proxy import change_environment
from tests.e2e.scripts import run_script
from tests.e2e.test_dead_letters import letters, record_state
from tests.e2e.test_permissions import NEEDED, NOT_ENFORCED, Permission, actions, statements, wait_for_an_error, without
from tests.e2e.test_releases import change, live
from tests.e2e.test_send import a_device, dead_letter, send_request, states
from tests.e2e.verdicts import queued, set_visibility_timeout, wait_until_the_queue_is_empty
from tests.e2e.workers import Workers, kill

if TYPE_CHECKING:
    from collections.abc import Iterator

# A claim's lease is 2 * (1 + 1) + 10 seconds, and a worker's message comes back after that.
PARAMETERS = {"QueueType": "fifo", "MaxAttempts": "20"}
SETTINGS = {"CUBE_CONNECT_TIMEOUT": "1", "CUBE_READ_TIMEOUT": "1", "QUEUE_SEND_CONCURRENCY": "2"}
VISIBILITY_TIMEOUT = 16

# A quarter of all POSTs. The answer that is late comes after the read timeout.
FAULTS = {
    "status:503": 0.06,
    "status:429": 0.04,
    "reset": 0.04,
    "lost": 0.04,
    "delay:1.2": 0.03,
    "status-after:500": 0.04,
}

FORWARD = Permission("SendFromQueueRole", "ForwardToGroups", "sqs:SendMessage")
RULE = "events"


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with LocalStack(PARAMETERS, is_limited=False, seed=int(os.environ["CUBE_SMS_SEED"])) as stack:
        change_environment(stack, **SETTINGS)
        set_visibility_timeout(stack, VISIBILITY_TIMEOUT)
        yield stack


@pytest.fixture(scope="module")
def guarded() -> Iterator[LocalStack]:
    """Return such a stack whose functions may do what their roles allow and nothing else."""
    with LocalStack(PARAMETERS, is_limited=False, authenticate=True) as stack:
        # How long a message is hidden whose worker could not say when to try again.
        set_visibility_timeout(stack, 3)
        yield stack


@pytest.fixture(autouse=True)
def _recovers(stack: LocalStack) -> Iterator[None]:
    yield
    stack.cube.configure(faults={}, device_faults={})


def enqueue(stack: LocalStack, *devices: str, **options: Any) -> None:
    """Put a message for each of these devices onto the queue; the contents number those of one device."""
    numbers: Counter[str] = Counter()
    for device in devices:
        stack.enqueue(send_request(device, content=str(numbers[device])), **options)
        numbers[device] += 1


def accepted(stack: LocalStack, device: str) -> list[int]:
    """Return the messages that Cube accepted for a device, in its order; those it accepted again as well."""
    return [int(post["contents"][0]) for post in stack.cube.requests(device) if post["accepted"]]


def test_queues_are_fifo_and_each_group_counts_for_itself(stack: LocalStack) -> None:
    def attributes(output: str) -> dict[str, str]:
        found: dict[str, str] = stack.sqs.get_queue_attributes(QueueUrl=stack.outputs[output], AttributeNames=["All"])[
            "Attributes"
        ]
        return found

    expected = {
        "FifoQueue": "true",
        "ContentBasedDeduplication": "true",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
    }
    assert expected.items() <= attributes("SendQueueUrl").items()
    assert attributes("DeadLetterQueueUrl")["FifoQueue"] == "true"
    assert attributes("RejectedQueueUrl")["FifoQueue"] == "true"
    assert json.loads(attributes("SendQueueUrl")["RedrivePolicy"])["deadLetterTargetArn"].endswith(".fifo")


def test_each_device_gets_its_messages_in_order_whatever_fails(stack: LocalStack) -> None:
    # Given a provider that fails at random, and always for one device
    devices, doomed = [a_device() for _ in range(8)], a_device()
    stack.cube.configure(faults=FAULTS, device_faults={doomed: "status:503"})

    # When there are ten messages for each
    enqueue(stack, *[doomed, *devices] * 10)

    # Then all others have theirs while the one is still being retried
    wait_until("the others", lambda: all(len(set(accepted(stack, d))) == 10 for d in devices), timeout=200)
    assert {post["contents"][0] for post in stack.cube.requests(doomed)} == {"0"}
    assert accepted(stack, doomed) == []

    # And it has its own when it recovers
    stack.cube.configure(faults={}, device_faults={})
    wait_until_the_queue_is_empty(stack, timeout=200)
    for device in [doomed, *devices]:
        numbers = accepted(stack, device)
        assert numbers == sorted(numbers)
        assert len(set(numbers)) == 10
    assert stack.dead_letters() == []


def test_order_outlives_a_worker(stack: LocalStack) -> None:
    # Given a batch for two devices, one of which answers late
    slow, other = a_device(), a_device()
    stack.cube.configure(device_faults={slow: "delay:0.4"})
    workers = Workers(stack, stack.outputs["SendFromQueueFunctionName"])
    with stack.queue_paused():
        enqueue(stack, *[slow, other] * 5)

    # When the worker is killed in the middle of it
    wait_until("the batch to be under way", lambda: len(accepted(stack, slow)) >= 2)
    for pid in workers.pids():
        kill(pid)
    assert queued(stack) == 10

    # Then another one goes on, in order, and none is missing
    wait_until_the_queue_is_empty(stack)
    for device in (slow, other):
        numbers = accepted(stack, device)
        assert numbers == sorted(numbers)
        assert set(numbers) == set(range(5))


def test_messages_of_a_rule_are_forwarded_to_their_devices(stack: LocalStack) -> None:
    # Given messages that came under one group, as EventBridge has it
    devices = [a_device() for _ in range(3)]
    stack.cube.configure(device_faults={devices[0]: "status:503*1"})
    with stack.queue_paused():
        enqueue(stack, *devices * 3, group=RULE)

    # Then each device gets its own, in order
    wait_until_the_queue_is_empty(stack)
    assert [accepted(stack, device) for device in devices] == [[0, 1, 2]] * 3


def test_request_event_is_sent(stack: LocalStack) -> None:
    device = a_device()
    event = {
        "EventBusName": stack.outputs["EventBusName"],
        "Source": "orders",
        "DetailType": "SMS Requested",
        "Detail": send_request(device, content="7"),
    }
    assert stack.aws.client("events").put_events(Entries=[event])["FailedEntryCount"] == 0
    wait_until("it to be sent", lambda: accepted(stack, device) == [7])


def test_without_permission_to_forward_messages_stay(guarded: LocalStack) -> None:
    device = a_device()
    with without(guarded, FORWARD):
        # When a message comes under another group
        wait_for_an_error(guarded, guarded.enqueue(send_request(device, content="0"), group=RULE))
        assert guarded.cube.requests(device) == []
    # Then it is sent when the role may forward it
    wait_until("it to be sent", lambda: accepted(guarded, device) == [0])


def test_order_needs_this_permission_and_no_other(guarded: LocalStack) -> None:
    deployed = {
        Permission(FORWARD.role, statement["Sid"], action)
        for statement in statements(guarded, FORWARD.role)
        for action in actions(statement)
    }
    usual = {permission for permission in NEEDED.keys() | NOT_ENFORCED if permission.role == FORWARD.role}
    assert deployed == usual | {FORWARD}


def test_letters_of_a_device_are_redriven_in_order(stack: LocalStack) -> None:
    # Given messages of an account that is not known yet
    device, ids = a_device(), [f"late-{uuid4()}" for _ in range(3)]
    for number, request_id in enumerate(ids):
        stack.enqueue(send_request(device, content=str(number), requestId=request_id, account="late"))
    for request_id in ids:
        assert dead_letter(stack, request_id)["reason"] == "InvalidRequest"

    # When the workers know it, and they are redriven
    stack.put_credentials({name: {"access_code": ACCESS_CODE, "secret": SECRET} for name in ("default", "late")})
    probe = a_device()

    def is_known() -> bool:
        stack.enqueue(send_request(probe, content="0", account="late"))
        return bool(accepted(stack, probe))

    wait_until("the account to be known", is_known)
    wait_until_the_queue_is_empty(stack)
    listed = letters(stack, "dlq", "list", "--examples", "1000")
    assert [line.split()[0] for line in listed.splitlines() if line.startswith("late-")] == ids
    letters(stack, "dlq", "redrive", "--all", "--wait", "0")

    # Then they are sent in their order
    wait_until("them to be sent", lambda: accepted(stack, device) == [0, 1, 2])


def test_message_queued_by_the_api_twice_is_sent_once_and_another_one_is_a_conflict(stack: LocalStack) -> None:
    device, key = a_device(), f"queued-{uuid4()}"
    headers = {"Prefer": "respond-async", "Idempotency_Key": key}

    for content in ("0", "0", "1"):
        assert stack.call_api("POST", "/messages", send_request(device, content=content), **headers).status == 202

    assert dead_letter(stack, key)["reason"] == "Conflict"
    assert record_state(stack, key) == ("SENT", 1)
    assert accepted(stack, device) == [0]
    # SQS has dropped the second.
    assert states(stack, key) == ["SENT"]


def test_queue_of_another_type_is_another_queue_and_nothing_on_the_old_one_is_lost() -> None:
    with LocalStack(is_limited=False) as stack:
        device, old_queue = a_device(), stack.outputs["SendQueueUrl"]
        with stack.queue_paused():
            # Given a message that is still on the queue
            message_id = stack.enqueue(send_request(device, content="0"))

            # When the queue's type is changed
            executed = run_script(
                stack, "change_set", "--stack", STACK_NAME, "execute", change(stack, QueueType="fifo")
            )
            assert executed.status == 0, executed.out + executed.err
            (described,) = stack.aws.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"]
            stack.outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}

            # Then what is called knows the new queue, and the old one is as it was
            for function in ("SendFromQueueFunctionName", "SendFromApiFunctionName"):
                known = live(stack, function)["Environment"]["Variables"]["SEND_QUEUE_URL"]
                assert known == stack.outputs["SendQueueUrl"]
                assert known.endswith(".fifo")
            kept = stack.sqs.get_queue_attributes(QueueUrl=old_queue, AttributeNames=["ApproximateNumberOfMessages"])
            assert kept["Attributes"]["ApproximateNumberOfMessages"] == "1"

        # And while the old mapping may read it, its messages are forwarded, with their identity
        wait_until("it to be sent", lambda: accepted(stack, device) == [0])
        assert record_state(stack, message_id) == ("SENT", 1)
