"""Workflows around the local stack: events and their consumers, tasks that wait, schedules, campaigns."""

from __future__ import annotations

import csv
import io
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from local.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.stack import LocalStack

STATE_MACHINES = Path(__file__).parents[1] / "statemachine"


class EventConsumer:
    """A queue, and a rule that puts the events of the stack's bus onto it.

    Parameters
    ----------
    stack : LocalStack
        The stack.
    pattern : Mapping[str, Any]
        Which events.
    """

    def __init__(self, stack: LocalStack, pattern: Mapping[str, Any]) -> None:
        name, bus = f"consumer-{uuid.uuid4().hex[:8]}", stack.outputs["EventBusName"]
        self._sqs, events = stack.sqs, stack.aws.client("events")
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])
        self._events: list[dict[str, Any]] = []

    def events(self) -> list[dict[str, Any]]:
        """Return all events that have come, in the order in which they were received."""
        while received := self.receive():
            self._events += received
        return self._events

    def receive(self, patience: int = 0) -> list[dict[str, Any]]:
        """Return some events that have come, or wait for some for so many seconds."""
        answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=patience)
        messages = answer.get("Messages", [])
        if messages:
            received: Any = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
            self._sqs.delete_message_batch(QueueUrl=self._url, Entries=received)
        return [json.loads(message["Body"]) for message in messages]

    def details(self, request_id: str) -> list[dict[str, Any]]:
        """Return the details of the events about a message."""
        return [event["detail"] for event in self.events() if event["detail"].get("requestId") == request_id]

    def wait_for(self, count: int, **members: str) -> list[dict[str, Any]]:
        """Wait until there are as many events whose details have these members, and return them."""

        def found() -> list[dict[str, Any]]:
            events = [event for event in self.events() if members.items() <= event["detail"].items()]
            return events if len(events) >= count else []

        return wait_until(f"{count} events with {members}", found)


def put_request_event(stack: LocalStack, detail: Mapping[str, Any]) -> str:
    """Put a send request onto the stack's bus, and return the event's id."""
    answer = stack.aws.client("events").put_events(
        Entries=[
            {
                "EventBusName": stack.outputs["EventBusName"],
                "Source": "orders",
                "DetailType": "SMS Requested",
                "Detail": json.dumps(detail),
            }
        ]
    )
    return str(answer["Entries"][0]["EventId"])


def schedule(stack: LocalStack, request: Mapping[str, Any], at: datetime) -> str:
    """Have EventBridge Scheduler put a send request onto the send queue, and return the schedule's name.

    The local one looks every ten seconds for what is due.
    """
    name = f"message-{uuid.uuid4().hex[:8]}"
    is_fifo = stack.outputs["SendQueueUrl"].endswith(".fifo")
    stack.aws.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression=f"at({at.astimezone(UTC):%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target={
            "Arn": stack.outputs["SendQueueArn"],
            "RoleArn": sender_role(stack, "scheduler"),
            "Input": json.dumps(request),
            **({"SqsParameters": {"MessageGroupId": request["deviceId"]}} if is_fifo else {}),
        },
    )
    return name


def sender_role(stack: LocalStack, service: str) -> str:
    """Make a role with which a service may put messages onto the send queue, and return its ARN."""
    name, iam = f"{service}-{uuid.uuid4().hex[:8]}", stack.aws.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
    send = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": stack.outputs["SendQueueArn"]}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))["Role"]
    iam.put_role_policy(RoleName=name, PolicyName="Send", PolicyDocument=_policy(send))
    return str(role["Arn"])


def _policy(statement: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class Execution(NamedTuple):
    """An execution of a state machine.

    Parameters
    ----------
    states
        boto3's client of Step Functions.
    arn : str
        Its ARN.
    """

    states: Any
    arn: str

    @classmethod
    def start(cls, stack: LocalStack, state_machine: str, data: Mapping[str, Any]) -> Execution:
        """Start one."""
        states = stack.aws.client("stepfunctions")
        return cls(
            states, states.start_execution(stateMachineArn=state_machine, input=json.dumps(data))["executionArn"]
        )

    @property
    def name(self) -> str:
        """Its name."""
        return self.arn.rpartition(":")[2]

    def ended(self) -> dict[str, Any] | None:
        """Return what Step Functions says of it, its output parsed; None while it runs."""
        found: dict[str, Any] = self.states.describe_execution(executionArn=self.arn)
        if found["status"] == "RUNNING":
            return None
        return {**found, "output": json.loads(found.get("output") or "null")}


def create_state_machine(stack: LocalStack, name: str = "send-and-wait") -> str:
    """Create the state machine of an example, such as ``statemachine/send-and-wait.asl.json``, and return its ARN."""
    definition = (STATE_MACHINES / f"{name}.asl.json").read_text("utf-8")
    for variable, value in {"Partition": "aws", "SendQueueUrl": stack.outputs["SendQueueUrl"]}.items():
        definition = definition.replace(f"${{{variable}}}", value)
    states = stack.aws.client("stepfunctions")
    answer = states.create_state_machine(name=name, definition=definition, roleArn=sender_role(stack, "states"))
    return str(answer["stateMachineArn"])


def start_campaign(stack: LocalStack, rows: str, data: Mapping[str, Any]) -> Execution:
    """Put a CSV file under the key of an execution's input, and start the execution."""
    stack.aws.client("s3").put_object(
        Bucket=stack.outputs["CampaignBucketName"], Key=data["key"], Body=rows.encode("utf-8")
    )
    return Execution.start(stack, stack.outputs["CampaignStateMachineArn"], data)


def campaign_result(stack: LocalStack, key: str) -> list[dict[str, str]]:
    """Return the rows of the result of a campaign's file; none while there is no result."""
    s3, bucket = stack.aws.client("s3"), stack.outputs["CampaignBucketName"]
    result_key = f"{key.removesuffix('.csv')}.outcomes.csv"
    if not s3.list_objects_v2(Bucket=bucket, Prefix=result_key)["KeyCount"]:
        return []
    body = s3.get_object(Bucket=bucket, Key=result_key)["Body"].read()
    return list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline="")))
