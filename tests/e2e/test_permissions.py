"""Each permission of each function is needed: without it something fails that a caller or an operator notices."""

from __future__ import annotations

import json
import math
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from cube_sms.pacing import Pause, end_pause, order_pause
from cube_sms.pacing.gate_item import GATE_KEY
from local.stack import ACCESS_CODE, SECRET, wait_until
from local.workflows import EventConsumer, Execution, create_state_machine
from tests.e2e.aws_proxy import change_environment
from tests.e2e.outcomes import wait_until_not_published
from tests.e2e.test_send import a_device, dead_letter, send_request, states
from tests.e2e.verdicts import set_visibility_timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from local.stack import LocalStack

LOCAL_MD = Path(__file__).parents[2] / "docs" / "local.md"

ROLES = ("SendFromQueueRole", "SendFromApiRole", "ShowMessageRole", "PublishOutcomesRole")
# What all of them may, beside their own.
SHARED = "FunctionPolicy"

# How long the queue hides a message here whose worker could not say when to try again; six minutes as deployed.
VISIBILITY_TIMEOUT = 3


class Permission(NamedTuple):
    """An action that a statement of a role allows, or of the policy that all share."""

    role: str
    sid: str
    action: str


NOTHING_IS_ALLOWED = {"Effect": "Deny", "Action": "*", "Resource": "arn:aws:s3:::none"}

# Statements about more than the stack has: X-Ray and ListStreams know no resources, and workflows are anybody's.
BEYOND_THE_STACK = {"WriteTraces", "ListStreams", "AnswerTasks"}

# What MiniStack does itself or not at all, whatever a role says. Without a role it writes functions' logs, polls queues
# and streams, and reports to a queue what it gives up. It keeps no traces.
NOT_ENFORCED = {
    *(
        Permission(role, "WriteLogs", f"logs:{action}")
        for role in ROLES
        for action in ("CreateLogStream", "PutLogEvents")
    ),
    *(Permission(SHARED, "WriteTraces", f"xray:{action}") for action in ("PutTraceSegments", "PutTelemetryRecords")),
    *(
        Permission("SendFromQueueRole", "ConsumeSendQueue", f"sqs:{action}")
        for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
    ),
    *(
        Permission("PublishOutcomesRole", "ReadStream", f"dynamodb:{action}")
        for action in ("DescribeStream", "GetRecords", "GetShardIterator")
    ),
    Permission("PublishOutcomesRole", "ListStreams", "dynamodb:ListStreams"),
    Permission("PublishOutcomesRole", "PutUnpublished", "sqs:SendMessage"),
}


@pytest.fixture(scope="module")
def stack(guarded_stack: LocalStack) -> Iterator[LocalStack]:
    set_visibility_timeout(guarded_stack, VISIBILITY_TIMEOUT)
    yield guarded_stack
    set_visibility_timeout(guarded_stack, 360)
    # Their credentials have been changed, and other tests count POSTs.
    change_environment(guarded_stack, RESTARTED_AFTER=__name__)


def statements(stack: LocalStack, owner: str) -> list[dict[str, Any]]:
    """Return the statements as deployed: of a role, in the one policy of its own, or of the one that all share."""
    iam, name = stack.aws.client("iam"), stack.physical_id(owner)
    found: list[dict[str, Any]]
    if owner == SHARED:
        version = iam.get_policy(PolicyArn=name)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=name, VersionId=version)["PolicyVersion"]["Document"]["Statement"]
        return found
    (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
    (attached,) = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert attached["PolicyArn"] == stack.physical_id(SHARED)
    found = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]["Statement"]
    return found


def actions(statement: dict[str, Any]) -> list[str]:
    return [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]


@contextmanager
def without(stack: LocalStack, *permissions: Permission) -> Iterator[None]:
    """Withdraw permissions for as long as this context. The local AWS knows of it at once."""
    before = {role: statements(stack, role) for role in {permission.role for permission in permissions}}
    try:
        for role, found in before.items():
            left = [
                {**statement, "Action": kept}
                for statement in found
                if (kept := [a for a in actions(statement) if Permission(role, statement["Sid"], a) not in permissions])
            ]
            put_statements(stack, role, left)
        yield
    finally:
        for role, found in before.items():
            put_statements(stack, role, found)


def put_statements(stack: LocalStack, owner: str, kept: list[dict[str, Any]]) -> None:
    iam, name = stack.aws.client("iam"), stack.physical_id(owner)
    # IAM takes no policy that says nothing.
    document = json.dumps({"Version": "2012-10-17", "Statement": kept or [NOTHING_IS_ALLOWED]})
    if owner == SHARED:
        former = iam.get_policy(PolicyArn=name)["Policy"]["DefaultVersionId"]
        iam.create_policy_version(PolicyArn=name, PolicyDocument=document, SetAsDefault=True)
        iam.delete_policy_version(PolicyArn=name, VersionId=former)
        return
    (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
    iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=document)


type Withdrawn = Callable[[], AbstractContextManager[None]]
type Probe = Callable[[LocalStack, Withdrawn], None]


def wait_until_sent_once(stack: LocalStack, device: str, request_id: str) -> None:
    wait_until(f"{request_id} to be sent", lambda: states(stack, request_id)[-1:] == ["SENT"])
    assert sum(post["accepted"] for post in stack.cube.requests(device)) == 1


def wait_for_an_error(stack: LocalStack, message_id: str) -> None:
    def logged() -> bool:
        return any(
            entry["correlation_id"] == message_id and entry["message"] == "unexpected error"
            for entry in stack.outcomes()
        )

    wait_until(f"an error about {message_id}", logged)


@contextmanager
def rotated(stack: LocalStack) -> Iterator[None]:
    """Give the account another secret, so that the functions have to read it, and its first one in the end."""
    secret = f"secret-{uuid4()}"
    stack.cube.configure(accounts={ACCESS_CODE: secret})
    stack.put_credentials({"default": {"access_code": ACCESS_CODE, "secret": secret}})
    try:
        yield
    finally:
        stack.cube.configure(accounts={ACCESS_CODE: SECRET})
        stack.put_credentials({"default": {"access_code": ACCESS_CODE, "secret": SECRET}})


def nothing_from_the_queue_is_posted(stack: LocalStack, withdrawn: Withdrawn) -> None:
    device, request_id = a_device(), f"unrecorded-{uuid4()}"
    with withdrawn():
        stack.enqueue(send_request(device, requestId=request_id))
        wait_until("it to be put off", lambda: states(stack, request_id)[:1] == ["RETRYING"])
        assert stack.cube.requests(device) == []
    wait_until_sent_once(stack, device, request_id)


def a_retry_has_no_time_of_its_own(stack: LocalStack, withdrawn: Withdrawn) -> None:
    device, request_id = a_device(), f"impatient-{uuid4()}"
    stack.cube.configure(device_faults={device: "status:503*1"})
    with withdrawn():
        wait_for_an_error(stack, stack.enqueue(send_request(device, requestId=request_id)))
    wait_until_sent_once(stack, device, request_id)


def there_is_no_dead_letter(stack: LocalStack, withdrawn: Withdrawn) -> None:
    request_id = f"invalid-{uuid4()}"
    with withdrawn():
        wait_for_an_error(stack, stack.enqueue(send_request("not-an-iccid", requestId=request_id)))
        assert [letter for letter in stack.dead_letters() if letter.get("requestId") == request_id] == []
    assert dead_letter(stack, request_id)["reason"] == "InvalidRequest"


def what_cube_rejected_is_not_kept(stack: LocalStack, withdrawn: Withdrawn) -> None:
    device, request_id = a_device(), f"rejected-{uuid4()}"
    stack.cube.configure(device_faults={device: "rejected:9404*1"})
    with withdrawn():
        wait_for_an_error(stack, stack.enqueue(send_request(device, requestId=request_id)))
        assert [letter for letter in stack.rejected() if letter["requestId"] == request_id] == []
    wait_until("its letter", lambda: request_id in [letter["requestId"] for letter in stack.rejected()])


def the_queue_function_has_no_credentials(stack: LocalStack, withdrawn: Withdrawn) -> None:
    device, request_id = a_device(), f"unsigned-{uuid4()}"
    with rotated(stack):
        with withdrawn():
            stack.enqueue(send_request(device, requestId=request_id))
            wait_until("it to be put off", lambda: states(stack, request_id)[:1] == ["RETRYING"])
            assert not any(post["accepted"] for post in stack.cube.requests(device))
        wait_until_sent_once(stack, device, request_id)


def a_campaign_is_in_the_way_of_callers(stack: LocalStack, withdrawn: Withdrawn) -> None:
    table, key = stack.aws.client("dynamodb"), {"messageId": {"S": GATE_KEY}}
    gate = {"TableName": stack.outputs["MessagesTableName"], "Key": key}

    def is_left_a_lane() -> bool:
        """Wait for a lane while a bulk message is sent, and return whether one was left."""
        device, request_id = a_device(), f"bulk-{uuid4()}"
        asked = {"Action": "PUT", "Value": {"S": f"{time.time() + 1.9:.2f} caller"}}
        table.update_item(**gate, AttributeUpdates={"wanted": asked})
        stack.enqueue(send_request(device, requestId=request_id, priority="bulk"))
        wait_until_sent_once(stack, device, request_id)
        return "wanted" not in table.get_item(**gate)["Item"]

    change_environment(stack, CUBE_MAX_QPS="10")
    try:
        with withdrawn():
            assert not is_left_a_lane()
        # The mark is valid for two seconds, which a busy machine may need for other things.
        wait_until("a lane to be left", is_left_a_lane)
    finally:
        change_environment(stack, CUBE_MAX_QPS="0")


def the_api_does_not_know_of_a_pause(stack: LocalStack, withdrawn: Withdrawn) -> None:
    # Without limits only this read shows the API that there is a pause.
    table, name = stack.aws.client("dynamodb"), stack.outputs["MessagesTableName"]

    def answer() -> int:
        return stack.call_api("POST", "/messages", send_request(a_device())).status

    order_pause(table, name, Pause(time.time(), math.inf, "a drill"))
    try:
        with withdrawn():
            wait_until("the API to send all the same", lambda: answer() == 200)
        wait_until("it to know of the pause", lambda: answer() == 503)
    finally:
        end_pause(table, name)
    wait_until("it to send again", lambda: answer() == 200)


def the_api_sends_nothing(stack: LocalStack, withdrawn: Withdrawn) -> None:
    device, key = a_device(), f"unrecorded-{uuid4()}"
    with withdrawn():
        assert stack.call_api("POST", "/messages", send_request(device), Idempotency_Key=key).status == 503
        assert stack.cube.requests(device) == []
        assert stack.call_api("DELETE", f"/messages/{uuid4()}").status == 503
    assert stack.call_api("POST", "/messages", send_request(device), Idempotency_Key=key).status == 200


def the_api_queues_nothing(stack: LocalStack, withdrawn: Withdrawn) -> None:
    device, key = a_device(), f"unqueued-{uuid4()}"
    headers = {"Prefer": "respond-async", "Idempotency_Key": key}
    with withdrawn():
        assert stack.call_api("POST", "/messages", send_request(device), **headers).status >= 500
    assert stack.call_api("POST", "/messages", send_request(device), **headers).status == 202
    wait_until_sent_once(stack, device, key)


def the_api_has_no_credentials(stack: LocalStack, withdrawn: Withdrawn) -> None:
    device, key = a_device(), f"unsigned-{uuid4()}"

    def status() -> int:
        return stack.call_api("POST", "/messages", send_request(device), Idempotency_Key=key).status

    with rotated(stack):
        with withdrawn():
            assert status() in (502, 503)
        # It asks Secrets Manager again after some seconds.
        wait_until("the API to send", lambda: status() == 200)


def the_api_shows_nothing(stack: LocalStack, withdrawn: Withdrawn) -> None:
    key = f"unshown-{uuid4()}"
    stack.call_api("POST", "/messages", send_request(a_device()), Idempotency_Key=key)
    with withdrawn():
        assert stack.call_api("GET", f"/messages/{key}").status == 503
    assert stack.call_api("GET", f"/messages/{key}").body["state"] == "SENT"


def the_api_shows_no_history(stack: LocalStack, withdrawn: Withdrawn) -> None:
    device = a_device()
    stack.call_api("POST", "/messages", send_request(device))
    path = f"/devices/{device}/messages"
    with withdrawn():
        assert stack.call_api("GET", path).status == 503
    (entry,) = stack.call_api("GET", path).body["entries"]
    assert (entry["kind"], entry["state"]) == ("message", "SENT")


def an_outcome_is_not_published(stack: LocalStack, withdrawn: Withdrawn) -> None:
    request_id, later = f"unpublished-{uuid4()}", f"published-{uuid4()}"
    consumer = EventConsumer(stack, {"source": ["cube-sms"]})
    with withdrawn():
        stack.enqueue(send_request(a_device(), requestId=request_id))
        wait_until_not_published(stack, request_id)
    stack.enqueue(send_request(a_device(), requestId=later))
    wait_until("an event", lambda: consumer.details(later))
    assert consumer.details(request_id) == []


@contextmanager
def for_all_resources(stack: LocalStack, role: str, sid: str) -> Iterator[None]:
    """Have a statement of a role allow for all resources what it allows, for as long as this context.

    AWS asks for tasks with the ARN of their state machine, the local one with none.
    """
    before = statements(stack, role)
    put_statements(
        stack, role, [{**statement, **({"Resource": "*"} if statement["Sid"] == sid else {})} for statement in before]
    )
    try:
        yield
    finally:
        put_statements(stack, role, before)


def a_task_is_not_answered(expected: str, **fields: Any) -> Probe:
    """Return the probe of a workflow that waits on although its message has ended, and should end so."""

    def probe(stack: LocalStack, withdrawn: Withdrawn) -> None:
        step_functions, workflow = stack.aws.client("stepfunctions"), create_state_machine(stack)
        consumer = EventConsumer(stack, {"source": ["cube-sms"]})
        request = json.loads(send_request(a_device(), **fields))
        with for_all_resources(stack, "PublishOutcomesRole", "AnswerTasks"):
            with withdrawn():
                waiting = Execution.start(stack, workflow, request)
                # Tasks are answered before the event is put.
                wait_until("an event", lambda: consumer.details(waiting.name))
                assert waiting.ended() is None
            answered = Execution.start(stack, workflow, request)
            ended = wait_until("a workflow to go on", answered.ended) or {}
        assert ended["status"] == expected
        step_functions.stop_execution(executionArn=waiting.arn)
        step_functions.delete_state_machine(stateMachineArn=workflow)

    return probe


NEEDED: dict[Permission, Probe] = {
    Permission("SendFromQueueRole", "ConsumeSendQueue", "sqs:ChangeMessageVisibility"): a_retry_has_no_time_of_its_own,
    Permission("SendFromQueueRole", "WriteRecords", "dynamodb:UpdateItem"): nothing_from_the_queue_is_posted,
    Permission("SendFromQueueRole", "ReadGate", "dynamodb:GetItem"): a_campaign_is_in_the_way_of_callers,
    Permission("SendFromQueueRole", "PutDeadLetters", "sqs:SendMessage"): there_is_no_dead_letter,
    Permission("SendFromQueueRole", "PutRejected", "sqs:SendMessage"): what_cube_rejected_is_not_kept,
    Permission(
        "SendFromQueueRole", "ReadCredentials", "secretsmanager:GetSecretValue"
    ): the_queue_function_has_no_credentials,
    Permission("SendFromApiRole", "WriteRecords", "dynamodb:UpdateItem"): the_api_sends_nothing,
    Permission("SendFromApiRole", "ReadGate", "dynamodb:GetItem"): the_api_does_not_know_of_a_pause,
    Permission("SendFromApiRole", "PutOnSendQueue", "sqs:SendMessage"): the_api_queues_nothing,
    Permission("SendFromApiRole", "ReadCredentials", "secretsmanager:GetSecretValue"): the_api_has_no_credentials,
    Permission("ShowMessageRole", "ReadRecords", "dynamodb:GetItem"): the_api_shows_nothing,
    Permission("ShowMessageRole", "ListRecords", "dynamodb:Query"): the_api_shows_no_history,
    Permission("ShowMessageRole", "ReadListed", "dynamodb:BatchGetItem"): the_api_shows_no_history,
    Permission("PublishOutcomesRole", "PublishOutcomes", "events:PutEvents"): an_outcome_is_not_published,
    Permission("PublishOutcomesRole", "AnswerTasks", "states:SendTaskSuccess"): a_task_is_not_answered("SUCCEEDED"),
    Permission("PublishOutcomesRole", "AnswerTasks", "states:SendTaskFailure"): a_task_is_not_answered(
        "FAILED", expiresAt="2020-01-01T00:00:00Z"
    ),
}


@pytest.mark.parametrize("permission", NEEDED, ids=lambda permission: f"{permission.role}-{permission.action}")
def test_without_this_permission(stack: LocalStack, permission: Permission) -> None:
    # What fails without it, and works again with it, is in the probe
    NEEDED[permission](stack, lambda: without(stack, permission))


def test_every_permission_is_needed_or_not_enforced_here(stack: LocalStack) -> None:
    deployed = {
        Permission(role, statement["Sid"], action)
        for role in (*ROLES, SHARED)
        for statement in statements(stack, role)
        for action in actions(statement)
    }

    assert deployed == NEEDED.keys() | NOT_ENFORCED


def test_what_is_not_enforced_here_is_so_and_is_told() -> None:
    told = LOCAL_MD.read_text()

    assert [permission for permission in NOT_ENFORCED if f"`{permission.action}`" not in told] == []


def test_what_is_not_enforced_here_is_not_missed(stack: LocalStack) -> None:
    # Given roles without all that the local AWS does not ask for
    device, request_id = a_device(), f"unasked-{uuid4()}"
    consumer = EventConsumer(stack, {"source": ["cube-sms"]})
    with without(stack, *NOT_ENFORCED):
        # When a message is sent, and shown
        stack.enqueue(send_request(device, requestId=request_id))
        answer = stack.call_api("POST", "/messages", send_request(a_device()))
        shown = stack.call_api("GET", f"/messages/{answer.body['requestId']}")

        # Then nothing is missed. If this fails, the local AWS now checks these permissions: add them to those needed
        assert (answer.status, shown.status) == (200, 200)
        wait_until_sent_once(stack, device, request_id)
        wait_until("an event", lambda: consumer.details(request_id))


@pytest.mark.parametrize("role", ROLES)
def test_every_statement_is_about_resources_of_the_stack(stack: LocalStack, role: str) -> None:
    resources = stack.aws.client("cloudformation").describe_stack_resources(StackName="cube-sms")["StackResources"]
    # A queue's id is its URL.
    names = {resource["PhysicalResourceId"].rpartition("://")[2].rpartition("0/")[2] for resource in resources}

    for statement in statements(stack, role):
        if statement["Sid"] not in BEYOND_THE_STACK:
            arn = statement["Resource"]
            assert isinstance(arn, str)
            named = arn.split(":", 5)[5].removesuffix(":*").removeprefix("table/").partition("/stream/")[0]
            named = named.removeprefix("event-bus/").partition("/index/")[0]
            named = named.removeprefix("log-group:").removeprefix("secret:")
            assert named in names or named.rpartition("-")[0] in names


def test_a_queue_takes_nothing_over_plain_http(stack: LocalStack) -> None:
    # Given a sender with every permission, whose connection is not encrypted as far as the local AWS knows
    sqs = stack.aws.client("sqs")
    sqs.meta.events.register(
        "before-sign.sqs", lambda request, **_: request.headers.add_header("X-Forwarded-Proto", "http")
    )

    for queue in (
        "SendQueueUrl",
        "DeadLetterQueueUrl",
        "RejectedQueueUrl",
        "UndeliveredRequestsQueueUrl",
        "UnpublishedQueueUrl",
    ):
        # When it sends a message, then it is refused
        with pytest.raises(ClientError, match="AccessDenied"):
            sqs.send_message(QueueUrl=stack.outputs[queue], MessageBody="{}")
