"""A deployment with every option of security, and what is left of it when the stack is deleted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from samtranslator.yaml_helper import yaml_parse

from local.ministack import REGION, MiniStack
from local.stack import STACK_NAME, LocalStack, wait_until
from tests.e2e.test_send import a_device, dead_letter, send_request, wait_for_states

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "template.yaml"
SECURITY_MD = ROOT / "docs" / "security.md"

LOGS = (
    "SendFromQueueLogs",
    "SendFromApiLogs",
    "ShowMessageLogs",
    "PublishOutcomesLogs",
    "ApiLogs",
    "ReceiveCallbackLogs",
    "CallbackApiLogs",
)
QUEUES = (
    "SendQueue",
    "DeadLetterQueue",
    "RejectedQueue",
    "UndeliveredRequestsQueue",
    "UnpublishedQueue",
    "UnknownCallbacksQueue",
)

# The local AWS deletes all that a nested stack has made, whatever its policies say.
NESTED = {"UnknownCallbacksQueue"}

# What each role may have done with the key, and by which service.
USES = {
    "SendFromQueueRole": {
        ("kms:Decrypt", "sqs"),
        ("kms:Decrypt", "dynamodb"),
        ("kms:Decrypt", "secretsmanager"),
        ("kms:GenerateDataKey", "sqs"),
    },
    "SendFromApiRole": {
        ("kms:Decrypt", "sqs"),
        ("kms:Decrypt", "dynamodb"),
        ("kms:Decrypt", "secretsmanager"),
        ("kms:GenerateDataKey", "sqs"),
    },
    "ShowMessageRole": {("kms:Decrypt", "dynamodb")},
    # The tokens, and the queue of callbacks that are not understood.
    "ReceiveCallbackRole": {
        ("kms:Decrypt", "dynamodb"),
        ("kms:Decrypt", "secretsmanager"),
        ("kms:Decrypt", "sqs"),
        ("kms:GenerateDataKey", "sqs"),
    },
    # The table's stream, and the queue to which Lambda reports what it gives up.
    "PublishOutcomesRole": {("kms:Decrypt", "dynamodb"), ("kms:Decrypt", "sqs"), ("kms:GenerateDataKey", "sqs")},
}


@pytest.fixture(scope="module")
def aws() -> Iterator[MiniStack]:
    with MiniStack(authenticate=True) as aws:
        yield aws


def key_policy() -> str:
    """Return the policy of a key that the docs show."""
    (policy,) = re.findall(r"key-policy\.json <<EOF\n(.*?)\nEOF\n", SECURITY_MD.read_text(), re.DOTALL)
    for name, value in (("region", REGION), ("account", "000000000000"), ("stack", STACK_NAME)):
        policy = policy.replace(f"${name}", value)
    return str(policy)


@pytest.fixture(scope="module")
def key(aws: MiniStack) -> str:
    """Return a key with the policy that the docs show."""
    return str(aws.client("kms").create_key(Policy=key_policy())["KeyMetadata"]["Arn"])


@pytest.fixture(scope="module")
def topics(aws: MiniStack) -> tuple[str, str]:
    """Return a topic that may send, and one that may not."""
    sns = aws.client("sns")
    allowed, other = (sns.create_topic(Name=name)["TopicArn"] for name in ("allowed", "other"))
    return allowed, other


@pytest.fixture(scope="module")
def stack(aws: MiniStack, key: str, topics: tuple[str, str]) -> Iterator[LocalStack]:
    parameters = {
        "KmsKeyArn": key,
        "SendQueueSourceArns": topics[0],
        "ApiAccessLogs": "true",
        "Replies": "callback",
    }
    with LocalStack(parameters, is_limited=False, aws=aws) as stack:
        yield stack


def queue_attributes(stack: LocalStack, logical_id: str) -> dict[str, str]:
    found: dict[str, str] = stack.sqs.get_queue_attributes(
        QueueUrl=stack.physical_id(logical_id), AttributeNames=["All"]
    )["Attributes"]
    return found


def log_group(stack: LocalStack, logical_id: str) -> dict[str, Any]:
    name = stack.physical_id(logical_id)
    groups = stack.aws.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    (found,) = [group for group in groups if group["logGroupName"] == name]
    return dict(found)


def test_everything_that_holds_data_is_encrypted_with_the_key(stack: LocalStack, key: str) -> None:
    queues = [queue_attributes(stack, logical_id) for logical_id in QUEUES]
    secret = stack.aws.client("secretsmanager").describe_secret(SecretId=stack.physical_id("CubeSecret"))

    assert [(queue["KmsMasterKeyId"], queue["SqsManagedSseEnabled"]) for queue in queues] == [(key, "false")] * len(
        QUEUES
    )
    assert secret["KmsKeyId"] == key
    assert {log_group(stack, logical_id).get("kmsKeyId") for logical_id in LOGS} == {key}


def test_the_table_is_encrypted_with_the_key() -> None:
    # The local AWS forgets how a table that CloudFormation makes is encrypted, so the template has to do
    table = yaml_parse(TEMPLATE.read_text())["Resources"]["MessagesTable"]["Properties"]

    condition, with_key, without_key = table["SSESpecification"]["Fn::If"]

    assert condition == "HasKmsKey"
    assert with_key == {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": {"Ref": "KmsKeyArn"}}
    # DynamoDB's own key: one of AWS's in KMS would be charged for
    assert without_key == {"Ref": "AWS::NoValue"}


def test_the_key_lets_in_the_services_that_have_no_role() -> None:
    # The local AWS encrypts nothing, so the policy has to do: EventBridge sends to encrypted queues
    statements = json.loads(key_policy())["Statement"]
    services = {each["Principal"]["Service"]: each for each in statements if "Service" in each["Principal"]}

    assert services.keys() == {f"logs.{REGION}.amazonaws.com", "events.amazonaws.com"}
    events = services["events.amazonaws.com"]
    assert set(events["Action"]) == {"kms:GenerateDataKey", "kms:Decrypt"}
    assert events["Condition"] == {"StringEquals": {"aws:SourceAccount": "000000000000"}}


@pytest.mark.parametrize("role", USES)
def test_a_role_may_use_the_key_through_its_services_alone(stack: LocalStack, key: str, role: str) -> None:
    iam, name = stack.aws.client("iam"), stack.physical_id(role)
    document = iam.get_role_policy(RoleName=name, PolicyName="EncryptionKey")["PolicyDocument"]

    uses = set()
    for statement in document["Statement"]:
        assert (statement["Effect"], statement["Resource"]) == ("Allow", key)
        services = statement["Condition"]["StringEquals"]["kms:ViaService"]
        for service in [services] if isinstance(services, str) else services:
            service_name, _, rest = service.partition(".")
            assert rest == f"{REGION}.amazonaws.com"
            uses.add((statement["Action"], service_name))

    assert uses == USES[role]


def test_messages_are_sent_and_dead_lettered(stack: LocalStack) -> None:
    request_id, invalid = f"encrypted-{uuid4()}", f"invalid-{uuid4()}"

    stack.enqueue(send_request(a_device(), requestId=request_id))
    stack.enqueue(send_request("not-an-iccid", requestId=invalid))

    wait_for_states(stack, request_id, ["SENT"])
    assert dead_letter(stack, invalid)["reason"] == "InvalidRequest"
    assert stack.call_api("GET", f"/messages/{request_id}").body["state"] == "SENT"


@pytest.mark.parametrize("is_raw", ["true", "false"])
def test_topics_that_are_named_may_send(stack: LocalStack, topics: tuple[str, str], is_raw: str) -> None:
    # Given the send queue as a subscriber of both topics
    sns, devices, subscriptions = stack.aws.client("sns"), (a_device(), a_device()), []
    for topic, device in zip(topics, devices, strict=True):
        endpoint = stack.outputs["SendQueueArn"]
        subscribed = sns.subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=endpoint, Attributes={"RawMessageDelivery": is_raw}
        )
        subscriptions.append(subscribed["SubscriptionArn"])

        # When a message is published to each
        sns.publish(TopicArn=topic, Message=send_request(device))

    # Then the one of the topic that is named is sent, and the other one never came
    allowed, other = devices
    wait_until("a message to be sent", lambda: stack.cube.requests(allowed))
    assert stack.cube.requests(other) == []
    for subscription in subscriptions:
        sns.unsubscribe(SubscriptionArn=subscription)


def test_dead_letters_are_kept_for_two_weeks(stack: LocalStack) -> None:
    for queue in set(QUEUES) - {"SendQueue"}:
        assert queue_attributes(stack, queue)["MessageRetentionPeriod"] == str(14 * 86400)


def test_what_holds_data_outlives_the_stack(stack: LocalStack) -> None:
    # Given a stack with records and messages, and the names of what it is made of
    kept = set(QUEUES) - NESTED
    names = {
        logical_id: stack.physical_id(logical_id)
        for logical_id in (*kept, "MessagesTable", "CubeSecret", "SendFromQueueFunction")
    }
    cloudformation, dynamodb = stack.aws.client("cloudformation"), stack.aws.client("dynamodb")

    # When somebody deletes its table, which an operator has protected, then DynamoDB refuses
    dynamodb.update_table(TableName=names["MessagesTable"], DeletionProtectionEnabled=True)
    with pytest.raises(ClientError, match="protect"):
        dynamodb.delete_table(TableName=names["MessagesTable"])

    # When the stack is deleted
    cloudformation.delete_stack(StackName=STACK_NAME)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=STACK_NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )

    # Then the functions are gone, and messages, records and credentials are there
    with pytest.raises(ClientError, match="ResourceNotFound"):
        stack.aws.client("lambda").get_function(FunctionName=names["SendFromQueueFunction"])
    for queue in kept:
        stack.sqs.get_queue_attributes(QueueUrl=names[queue], AttributeNames=["QueueArn"])
    records = stack.aws.client("dynamodb").scan(TableName=names["MessagesTable"])
    assert records["Count"] > 0
    assert stack.aws.client("secretsmanager").get_secret_value(SecretId=names["CubeSecret"])["SecretString"]
