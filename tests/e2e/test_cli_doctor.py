"""`cube-sms doctor`: a stack that is well, and each fault that it finds in one that is not."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.pacing.gate_item import GATE_KEY
from cube_sms.pacing.quota import day_of
from cube_sms.platform import key_to
from local.stack import ACCESS_CODE, SECRET, LocalStack
from tests.e2e.command import cube_sms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

TOPIC = "arn:aws:sns:eu-central-1:000000000000:on-call"
QUOTA = 100


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Return a stack of its own, whose alarms have a subscriber."""
    with LocalStack({"AlarmTopicArn": TOPIC, "CubeDailyQuota": str(QUOTA)}) as stack:
        stack.sqs.create_queue(QueueName="on-call")
        stack.aws.client("sns").create_topic(Name="on-call")
        subscribe(stack)
        yield stack


def subscribe(stack: LocalStack) -> None:
    queue = TOPIC.replace(":sns:", ":sqs:")
    stack.aws.client("sns").subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=queue)


def findings(stack: LocalStack, status: int) -> list[dict[str, str]]:
    told = cube_sms(stack, "doctor", "--json")
    assert told.status == status, told.err
    found: list[dict[str, str]] = told.json
    return found


def test_stack_that_is_well(stack: LocalStack) -> None:
    # When the doctor looks at it
    found = findings(stack, 0)

    # Then all is well, and what AWS can be asked for here was asked for
    assert {each["status"] for each in found} == {"ok"}, found
    assert [each["check"] for each in found] == [
        "AWS",
        "clock",
        "stack",
        "version",
        "secret",
        "secret",
        "Cube",
        "queues",
        "consumers",
        "gate",
        "quota",
        "letters",
        "alarms",
        "alarm topic",
        "concurrency",
    ]
    # And people see the same, and no credentials
    told = cube_sms(stack, "doctor")
    assert (told.status, told.err) == (0, "")
    assert told.out.splitlines()[-1] == "15 ok"
    assert all(each["detail"] in told.out for each in found)
    assert SECRET not in told.out
    assert ACCESS_CODE not in told.out


@contextmanager
def credentials(stack: LocalStack, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[None]:
    secret = stack.aws.client("secretsmanager").get_secret_value(SecretId=stack.outputs["CubeSecretId"])
    before = json.loads(secret["SecretString"])
    stack.put_credentials(change(before))
    yield
    stack.put_credentials(before)


def secret_with_white_space(stack: LocalStack) -> AbstractContextManager[None]:
    return credentials(stack, lambda before: {**before, "eu": {"access_code": "P1", "secret": "Zebra-1\n"}})


def secret_of_another_shape(stack: LocalStack) -> AbstractContextManager[None]:
    return credentials(stack, lambda before: before["default"])


@contextmanager
def attributes(stack: LocalStack, queue: str, **changed: str) -> Iterator[None]:
    url = stack.outputs[queue]
    before = stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(changed))["Attributes"]
    stack.sqs.set_queue_attributes(QueueUrl=url, Attributes=changed)
    yield
    stack.sqs.set_queue_attributes(QueueUrl=url, Attributes=before)


def queue_without_its_policy(stack: LocalStack) -> AbstractContextManager[None]:
    nothing = {"Version": "2012-10-17", "Statement": []}
    return attributes(stack, "SendQueueUrl", Policy=json.dumps(nothing))


def queue_with_another_dead_letter_queue(stack: LocalStack) -> AbstractContextManager[None]:
    url = stack.outputs["RejectedQueueUrl"]
    other = stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = {"deadLetterTargetArn": other, "maxReceiveCount": 1000}
    return attributes(stack, "SendQueueUrl", RedrivePolicy=json.dumps(redrive))


@contextmanager
def consumer_that_is_off(stack: LocalStack) -> Iterator[None]:
    client = stack.aws.client("lambda")
    (mapping,) = client.list_event_source_mappings(EventSourceArn=stack.outputs["SendQueueArn"])["EventSourceMappings"]
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    yield
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@contextmanager
def gate(stack: LocalStack, **values: dict[str, str]) -> Iterator[None]:
    table = {"TableName": stack.outputs["MessagesTableName"]}
    client = stack.aws.client("dynamodb")
    client.put_item(**table, Item={**key_to(GATE_KEY), **values})
    yield
    client.delete_item(**table, Key=key_to(GATE_KEY))


def closed_gate(stack: LocalStack) -> AbstractContextManager[None]:
    return gate(stack, closedUntil={"N": f"{time.time() + 600:.0f}"}, closedFor={"S": "throttled"})


def paused(stack: LocalStack) -> AbstractContextManager[None]:
    return gate(stack, paused={"S": f"{time.time():.0f} inf a drill"})


def closed_account(stack: LocalStack) -> AbstractContextManager[None]:
    now = time.time()
    run = f"closed 20 {now:.3f} {now + 600:.3f} abcd 9403"
    return gate(stack, **{"account-default": {"S": run}})


def used(queries: int) -> Callable[[LocalStack], AbstractContextManager[None]]:
    return lambda stack: gate(stack, day={"N": str(day_of(time.time()))}, used={"N": str(queries)})


@contextmanager
def dead_letter(stack: LocalStack) -> Iterator[None]:
    url = stack.outputs["DeadLetterQueueUrl"]
    stack.sqs.send_message(QueueUrl=url, MessageBody="{}")
    yield
    stack.sqs.purge_queue(QueueUrl=url)


@contextmanager
def alarm_that_sounds(stack: LocalStack) -> Iterator[None]:
    client, name = stack.aws.client("cloudwatch"), "cube-sms-dead-letters"
    client.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    yield
    client.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")


@contextmanager
def alarm_of_another_stack_that_sounds(stack: LocalStack) -> Iterator[None]:
    client, name = stack.aws.client("cloudwatch"), "cube-sms-uat-dead-letters"
    client.put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SQS",
        MetricName="NumberOfMessagesSent",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        Statistic="Sum",
        ComparisonOperator="GreaterThanThreshold",
    )
    client.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    yield
    client.delete_alarms(AlarmNames=[name])


@contextmanager
def topic_without_a_subscription(stack: LocalStack) -> Iterator[None]:
    sns = stack.aws.client("sns")
    (subscription,) = sns.list_subscriptions_by_topic(TopicArn=TOPIC)["Subscriptions"]
    sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    yield
    subscribe(stack)


@contextmanager
def topic_that_is_gone(stack: LocalStack) -> Iterator[None]:
    sns = stack.aws.client("sns")
    sns.delete_topic(TopicArn=TOPIC)
    yield
    sns.create_topic(Name="on-call")
    subscribe(stack)


@pytest.mark.parametrize(
    ("broken", "status", "check", "words"),
    [
        (secret_with_white_space, "fault", "secret", "account 'eu': secret must not begin or end with white space."),
        (secret_of_another_shape, "fault", "secret", "must be a JSON object of accounts"),
        (queue_without_its_policy, "fault", "queues", "SendQueue has no TakeRequestEvents and TlsOnly in its policy."),
        (queue_with_another_dead_letter_queue, "fault", "queues", "SendQueue has another dead-letter queue, or none."),
        (consumer_that_is_off, "fault", "consumers", "Messages on the send queue wait: the event source"),
        (paused, "warning", "gate", "All sending is paused until an operator ends it (a drill)."),
        (closed_gate, "warning", "gate", ": throttled."),
        (closed_account, "fault", "gate", "It is closed for account default: Cube answers 9403 to all its messages."),
        (used(QUOTA - 5), "warning", "quota", "95 of 100 queries of today (UTC) are used."),
        (used(QUOTA), "fault", "quota", "messages wait until tomorrow."),
        (dead_letter, "warning", "letters", "About 1 messages could not be sent."),
        (alarm_that_sounds, "fault", "alarms", "cube-sms-dead-letters: Messages could not be sent and are on the"),
        (topic_without_a_subscription, "fault", "alarm topic", "The topic has no subscription: alarms show only"),
        (topic_that_is_gone, "fault", "alarm topic", f"There is no topic {TOPIC}: alarms show only"),
    ],
)
def test_what_is_wrong_is_found(
    stack: LocalStack,
    broken: Callable[[LocalStack], AbstractContextManager[None]],
    status: str,
    check: str,
    words: str,
) -> None:
    # Given a stack in which one thing is wrong
    with broken(stack):
        # When the doctor looks at it
        found = findings(stack, int(status == "fault"))

    # Then it reports that, with what to do, and all else is well
    told = [each for each in found if each["check"] == check]
    wrong = [each for each in told if words in each["detail"]]
    assert [each["status"] for each in wrong] == [status], told
    assert wrong[0]["advice"]
    assert {each["status"] for each in found if each not in wrong} == {"ok"}
    assert "Zebra" not in json.dumps(found)


def test_another_stack_is_none_of_its_business(stack: LocalStack) -> None:
    with alarm_of_another_stack_that_sounds(stack):
        assert {each["status"] for each in findings(stack, 0)} == {"ok"}


def test_stack_that_does_not_exist_is_a_fault_and_nothing_else_is_checked(stack: LocalStack) -> None:
    told = cube_sms(stack, "doctor", "--json", "--stack", "no-such-stack")

    assert told.status == 1
    found = {each["check"]: each for each in told.json}
    assert found["stack"]["detail"].startswith("There is no stack no-such-stack in eu-central-1.")
    assert {found[name]["status"] for name in ("AWS", "clock")} == {"ok"}
    assert {each["status"] for name, each in found.items() if name not in ("AWS", "clock", "stack")} == {"not checked"}


def test_aws_that_cannot_be_reached_is_a_fault(stack: LocalStack) -> None:
    told = cube_sms(stack, "doctor", AWS_ENDPOINT_URL="http://127.0.0.1:9")

    assert told.status == 1
    assert "AWS cannot be reached" in told.out
    assert told.err == ""


def test_cube_that_is_away_is_a_fault(stack: LocalStack) -> None:
    # Given a provider that is not started again: this test is the last one
    stack.cube.stop()

    (cube,) = [each for each in findings(stack, 1) if each["check"] == "Cube"]

    assert cube["status"] == "fault"
    assert cube["detail"].endswith("cannot be reached from here (ConnectionRefusedError).")
