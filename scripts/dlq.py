"""List the dead-letter queue with its reasons, or put chosen messages back onto the send queue.

A message keeps its identity: one whose attempts were used up starts over with fresh attempts, one that has been sent in
the meantime is not sent again.

Usage: ``python scripts/dlq.py [--stack NAME] [--queue URL] list``, or ``redrive --all``, ``--reason REASON``,
``--request-id ID``. Of a FIFO queue it lists ten letters of a device, and SQS shows no more until those are put back.
boto3's own environment (``AWS_PROFILE``, ``AWS_DEFAULT_REGION``, ``AWS_ENDPOINT_URL``) says where.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

# How long a message that is looked at stays hidden from others, at the most.
LOOK_SECONDS = 60


def main() -> None:
    """Run the command."""
    arguments = parse_arguments()
    sqs = boto3.client("sqs")
    outputs = stack_outputs(arguments.stack)
    dead_letters, send_queue = arguments.queue or outputs["DeadLetterQueueUrl"], outputs["SendQueueUrl"]
    count = redriven = 0
    kept = []
    for message in receive(sqs, dead_letters):
        count += 1
        print("\t".join(describe(message)))
        if arguments.command == "redrive" and is_chosen(message, arguments):
            # First the one, then the other: between them the message is there twice, which its record allows.
            sqs.send_message(
                QueueUrl=send_queue,
                MessageBody=message["Body"],
                MessageAttributes=attributes_to_send(message),
                **place(message, send_queue),
            )
            sqs.delete_message(QueueUrl=dead_letters, ReceiptHandle=message["ReceiptHandle"])
            redriven += 1
        else:
            kept.append(message["ReceiptHandle"])
    for handle in kept:
        sqs.change_message_visibility(QueueUrl=dead_letters, ReceiptHandle=handle, VisibilityTimeout=0)
    print(f"{count} dead letters, {redriven} put back onto the send queue")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="List the dead-letter queue, or put messages back.")
    parser.add_argument("--stack", default="cube-sms", help="name of the CloudFormation stack (cube-sms)")
    parser.add_argument("--queue", help="URL of another dead-letter queue, such as one of an earlier QueueType")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="request id, reason, attempts, last code and detail of each")
    redrive = commands.add_parser("redrive", help="put messages back onto the send queue")
    choice = redrive.add_mutually_exclusive_group(required=True)
    choice.add_argument("--all", action="store_true", help="every message")
    choice.add_argument("--reason", help="those with this reason, such as AttemptsUsedUp")
    choice.add_argument("--request-id", action="append", help="the message with this id; may be repeated")
    return parser.parse_args()


def stack_outputs(name: str) -> dict[str, str]:
    """Return the outputs of a stack."""
    (stack,) = boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def receive(sqs: SQSClient, queue_url: str) -> Iterator[MessageTypeDef]:
    """Yield the messages of a queue, each once."""
    while messages := sqs.receive_message(
        QueueUrl=queue_url,
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["MessageGroupId"],
        VisibilityTimeout=LOOK_SECONDS,
        WaitTimeSeconds=1,
    ).get("Messages"):
        yield from messages


def value_of(message: MessageTypeDef, name: str) -> str:
    """Return an attribute's value, "-" where it has none."""
    attributes = message.get("MessageAttributes", {})
    return attributes[name].get("StringValue", "-") if name in attributes else "-"


def describe(message: MessageTypeDef) -> list[str]:
    """Return what is known of a dead letter; one without a reason was put there by SQS itself."""
    return [value_of(message, name) for name in ("requestId", "reason", "attempts", "lastCode", "detail")]


def is_chosen(message: MessageTypeDef, arguments: argparse.Namespace) -> bool:
    """Return whether a message is to be put back."""
    if arguments.request_id:
        return value_of(message, "requestId") in arguments.request_id
    return bool(arguments.all or value_of(message, "reason") == arguments.reason)


def attributes_to_send(message: MessageTypeDef) -> dict[str, Any]:
    """Return the attributes as they were: the message's identity is among them, and the claim that failed."""
    known = ("DataType", "StringValue", "BinaryValue")
    return {
        name: {key: value for key, value in attribute.items() if key in known}
        for name, attribute in message.get("MessageAttributes", {}).items()
    }


def place(message: MessageTypeDef, queue_url: str) -> dict[str, Any]:
    """Return what a FIFO queue wants to know: a group, and an id by which it drops the letter that it has already.

    A letter without a group gets one that is no device's: the queue function puts it among the messages of its own.
    """
    if not queue_url.endswith(".fifo"):
        return {}
    group = message.get("Attributes", {}).get("MessageGroupId", "redriven")
    return {"MessageGroupId": group, "MessageDeduplicationId": message["MessageId"]}


if __name__ == "__main__":
    main()
