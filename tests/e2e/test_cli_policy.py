"""docs/operator-policy.json with IAM enforced: a group may do what its commands need, and needs all that it may do."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cube_sms_cli.policies import EVERY, GROUPS, policies
from local.stack import LocalStack, wait_until
from tests.e2e.command import environment, run
from tests.unit.test_command_line import paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.processes import Ended

# Its check digit is wrong, and Cube does not know it.
DEVICE = "89314404000939952299"
KNOWN = "89314404000939952215"
TOPIC = "arn:aws:sns:eu-central-1:000000000000:on-call"
CAMPAIGN = "spring-2026"
SPARE = {"access_code": "P002277", "secret": "spare-secret"}
FILE = Path(__file__).parents[2] / "events" / "campaign.csv"
DENIED = "You have no permission for "

type Prepare = Callable[[LocalStack], None]


class Needed(NamedTuple):
    """A permission, and a command that cannot do without it.

    Parameters
    ----------
    group, action : str
        The permission.
    line : str
        The command.
    prepare : Callable[[LocalStack], None], optional
        What has to be there for it.
    said : str
        What the command says without it.
    """

    group: str
    action: str
    line: str
    prepare: Prepare | None = None
    said: str = DENIED


def a_dead_letter(stack: LocalStack) -> None:
    stack.sqs.send_message(QueueUrl=stack.outputs["DeadLetterQueueUrl"], MessageBody='{"deviceId": "x"}')


def a_message(stack: LocalStack) -> None:
    stack.enqueue(json.dumps({"deviceId": KNOWN, "content": "Hello", "requestId": "order-1"}))
    wait_until("a record", lambda: stack.call_api("GET", "/messages/order-1").body.get("state") == "SENT")


def a_campaign(stack: LocalStack) -> None:
    told = run(environment(stack), "campaign", "start", str(FILE), "--name", CAMPAIGN, "--text", "Hello")
    assert told.status == 0, told.err


def a_spare_account(stack: LocalStack) -> None:
    secret = stack.aws.client("secretsmanager").get_secret_value(SecretId=stack.outputs["CubeSecretId"])
    stack.put_credentials({**json.loads(secret["SecretString"]), "spare": SPARE})


def a_rotation(stack: LocalStack) -> None:
    a_spare_account(stack)
    told = run(environment(stack), "account", "rotate", "spare", given=json.dumps(SPARE))
    assert told.status == 0, told.err


def what_lambda_gave_up(stack: LocalStack) -> None:
    """Put on the queue of the unpublished what Lambda tells of records that are in the stream."""
    a_message(stack)
    streams, table = stack.aws.client("dynamodbstreams"), stack.outputs["MessagesTableName"]
    (stream,) = streams.list_streams(TableName=table)["Streams"]
    (shard, *_) = streams.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]["Shards"]
    first = streams.get_shard_iterator(
        StreamArn=stream["StreamArn"], ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )
    records = streams.get_records(ShardIterator=first["ShardIterator"])["Records"]
    number = records[0]["dynamodb"]["SequenceNumber"]
    info = {
        "streamArn": stream["StreamArn"],
        "shardId": shard["ShardId"],
        "startSequenceNumber": number,
        "endSequenceNumber": number,
        "approximateArrivalOfFirstRecord": "2026-01-01T00:00:00Z",
        "approximateArrivalOfLastRecord": "2026-01-01T00:00:00Z",
        "batchSize": 1,
    }
    body = {"requestContext": {"condition": "RetryAttemptsExhausted"}, "DDBStreamBatchInfo": info}
    stack.sqs.send_message(QueueUrl=stack.outputs["UnpublishedQueueUrl"], MessageBody=json.dumps(body))


NEEDED = [
    Needed(EVERY, "cloudformation:DescribeStacks", "doctor"),
    Needed("look", "cloudformation:ListStackResources", "doctor"),
    Needed("look", "cloudwatch:DescribeAlarms", "doctor"),
    Needed("look", "cloudwatch:GetMetricStatistics", "doctor"),
    Needed("look", "sns:ListSubscriptionsByTopic", "doctor"),
    Needed("look", "lambda:GetAccountSettings", "doctor"),
    Needed("look", "lambda:ListEventSourceMappings", "doctor"),
    Needed("look", "sqs:GetQueueAttributes", "doctor"),
    Needed("look", "dynamodb:GetItem", "doctor"),
    Needed("look", "logs:FilterLogEvents", "top --once"),
    Needed("look", "sqs:ReceiveMessage", "show order-1", a_dead_letter),
    Needed("look", "dynamodb:Query", f"messages --device {KNOWN}"),
    Needed("look", "dynamodb:BatchGetItem", f"messages --device {KNOWN}", a_message),
    Needed("send", "execute-api:Invoke", f"send {KNOWN} Hello", said="You may not call the API"),
    Needed("send", "sqs:SendMessage", f"send {KNOWN} Hello --queue"),
    Needed("campaigns", "s3:PutObject", "campaign check {file} --text Hello"),
    Needed("campaigns", "s3:DeleteObject", "campaign check {file} --text Hello"),
    Needed("campaigns", "states:StartExecution", "campaign check {file} --text Hello"),
    Needed("campaigns", "states:DescribeExecution", "campaign check {file} --text Hello"),
    Needed("campaigns", "s3:ListBucket", "campaign list"),
    Needed("campaigns", "lambda:InvokeFunction", f"campaign watch {CAMPAIGN}", a_campaign),
    Needed("campaigns", "s3:GetObject", f"campaign result {CAMPAIGN} --output -", a_campaign),
    Needed("letters", "sqs:GetQueueAttributes", "dlq list"),
    Needed("letters", "sqs:ReceiveMessage", "dlq list", a_dead_letter),
    Needed("letters", "sqs:SendMessage", "dlq redrive --all --wait 0", a_dead_letter),
    Needed("letters", "sqs:DeleteMessage", "dlq redrive --all --wait 0", a_dead_letter),
    Needed("letters", "dynamodb:GetShardIterator", "outcomes replay", what_lambda_gave_up),
    Needed("letters", "dynamodb:GetRecords", "outcomes replay", what_lambda_gave_up),
    Needed("letters", "dynamodb:Scan", "outcomes rebuild --since 2026-01-01T00:00:00Z"),
    Needed("letters", "lambda:InvokeFunction", "outcomes rebuild --since 2026-01-01T00:00:00Z", a_message),
    Needed("pause", "dynamodb:UpdateItem", "pause --reason test --for 1m"),
    Needed("pause", "dynamodb:GetItem", "resume"),
    Needed("accounts", "secretsmanager:GetSecretValue", "account check default"),
    Needed("accounts", "secretsmanager:DescribeSecret", "account list"),
    Needed("accounts", "secretsmanager:PutSecretValue", "account remove spare --yes", a_spare_account),
    Needed("accounts", "secretsmanager:UpdateSecretVersionStage", "account remove spare --yes", a_spare_account),
    Needed("accounts", "logs:FilterLogEvents", "account rotate spare --finish", a_rotation),
    Needed("probe", "secretsmanager:GetSecretValue", f"probe default --device {DEVICE}"),
]

# What nothing fails without on a local stack, and why.
NOT_PROVEN = {
    (EVERY, "kms:Decrypt"): "there is no KMS",
    (EVERY, "kms:GenerateDataKey"): "there is no KMS",
    ("campaigns", "s3:AbortMultipartUpload"): "no upload is given up",
    ("look", "sqs:ChangeMessageVisibility"): "a letter comes back by itself, later",
    ("letters", "sqs:ChangeMessageVisibility"): "a letter comes back by itself, later",
}


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Return a stack with all that an operator can have, whose IAM is enforced."""
    parameters = {"AlarmTopicArn": TOPIC, "Campaigns": "true", "DeviceHistory": "true"}
    with LocalStack(parameters, authenticate=True, unknown_device=DEVICE) as stack:
        stack.sqs.create_queue(QueueName="on-call")
        sns = stack.aws.client("sns")
        sns.create_topic(Name="on-call")
        sns.subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=TOPIC.replace(":sns:", ":sqs:"))
        yield stack


class Operator:
    """Somebody with a policy.

    Parameters
    ----------
    stack : LocalStack
        The stack.
    statements : list of dict
        What the policy says.
    """

    def __init__(self, stack: LocalStack, statements: list[dict[str, Any]]) -> None:
        self._stack = stack
        self._iam, self._name = stack.aws.client("iam"), f"operator-{uuid.uuid4()}"
        self._iam.create_user(UserName=self._name)
        self.may(statements)
        key = self._iam.create_access_key(UserName=self._name)["AccessKey"]
        own = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        self._environment = environment(stack, **own)

    def may(self, statements: list[dict[str, Any]]) -> None:
        """Give another policy."""
        document = {"Version": "2012-10-17", "Statement": statements}
        self._iam.put_user_policy(UserName=self._name, PolicyName="own", PolicyDocument=json.dumps(document))

    def run(self, line: str) -> Ended:
        """Run a command."""
        return run(self._environment, *line.format(file=FILE).split())


def granted(stack: LocalStack, *groups: str) -> list[dict[str, Any]]:
    """Return what the command itself writes for these groups."""
    told = run(environment(stack), "policy", *groups)
    assert told.status == 0, told.err
    # The local AWS does not know of what item a call is (docs/local.md), and so refuses who has to say so.
    unknown = {"Null": {"dynamodb:LeadingKeys": "false"}}
    return [
        {**each, "Condition": {name: of for name, of in each["Condition"].items() if {name: of} != unknown}}
        if "Condition" in each
        else each
        for each in told.json["Statement"]
    ]


def actions(statement: dict[str, Any]) -> list[str]:
    found = statement["Action"]
    return [found] if isinstance(found, str) else found


def without(statements: list[dict[str, Any]], group: str, action: str) -> list[dict[str, Any]]:
    """Return the statements without an action of a group."""
    return [
        {**each, "Action": left}
        for each in statements
        if (left := [a for a in actions(each) if not (a == action and each["Sid"].startswith(group.title()))])
    ]


@pytest.mark.parametrize("needed", NEEDED, ids=lambda needed: f"{needed.group}-{needed.action}-{needed.line}")
def test_permission_is_needed_and_enough(stack: LocalStack, needed: Needed) -> None:
    # Given somebody who may use the commands of a group, but for one permission
    groups = () if needed.group == EVERY else (needed.group,)
    whole = granted(stack, *(groups or ("look",)))
    if needed.prepare:
        needed.prepare(stack)
    operator = Operator(stack, without(whole, needed.group, needed.action))

    # When a command needs it, then it says so
    told = operator.run(needed.line)
    assert needed.said in told.out + told.err
    assert "Traceback" not in told.err

    # And when it is given, then nothing of what the group may do is missing
    operator.may(whole)
    told = operator.run(needed.line)
    others = "GetSecretValue"
    assert DENIED not in (told.out + told.err).replace(f"{DENIED}{others}", "" if needed.group != "probe" else DENIED)


def test_every_permission_is_proven_or_there_is_a_reason() -> None:
    written = {(group, action) for group, found in policies().items() for each in found for action in actions(each)}

    assert written == {(each.group, each.action) for each in NEEDED} | NOT_PROVEN.keys()


def test_every_command_is_in_one_group() -> None:
    listed = [command for commands in GROUPS.values() for command in commands]

    assert sorted(listed) == sorted({" ".join(path) for path in paths()})
    assert policies().keys() == {EVERY, *GROUPS}


def test_what_a_stack_does_not_have_is_left_out(stack: LocalStack) -> None:
    statements = granted(stack, *GROUPS)

    assert "${" not in json.dumps(statements)
    assert not any("kms:Decrypt" in actions(each) for each in statements)
    assert len({each["Sid"] for each in statements}) == len(statements)


def test_groups_are_told() -> None:
    told = run({}, "policy", "--json")

    assert (told.status, told.json) == (0, {name: ", ".join(commands) for name, commands in GROUPS.items()})
    assert run({}, "policy", "everything").status == 2
