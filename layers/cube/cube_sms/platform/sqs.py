"""Putting messages onto a queue, standard or FIFO."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef


# SQS takes this many attributes of a message.
MAX_ATTRIBUTES = 10

FAILED_CLAIM = "failedClaim"
"""The attribute of a message that starts over one which has ended: it names the claim that ended that."""

# 1 MiB, which a queue takes by default:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_MESSAGE_BYTES = 1_048_576

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_REFUSED_BY_SQS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def is_fifo(queue_url: str) -> bool:
    """Return whether a queue keeps the messages of each group in order. SQS wants it in the name.

    Examples
    --------
    >>> is_fifo("https://sqs.eu-central-1.amazonaws.com/123456789012/cube-sms-SendQueue-1A2B.fifo")
    True
    """
    return queue_url.endswith(".fifo")


def sendable(text: str) -> str:
    r"""Return a text with a question mark for each character that SQS refuses.

    Examples
    --------
    >>> sendable("a\x00b")
    'a?b'
    """
    return _REFUSED_BY_SQS.sub("?", text)


def message_size(body: str, attributes: Mapping[str, MessageAttributeValueTypeDef]) -> int:
    """Return the bytes of a message as SQS counts them: its body, and the name, type and value of each attribute.

    Examples
    --------
    >>> message_size("é", {"reason": {"DataType": "String", "StringValue": "Conflict"}})
    22
    """
    size = len(body.encode())
    for name, attribute in attributes.items():
        size += len(f"{name}{attribute['DataType']}{attribute.get('StringValue', '')}".encode())
        binary: Any = attribute.get("BinaryValue", b"")
        size += len(binary)
    return size


def put_copy(
    sqs: SQSClient,
    queue_url: str,
    record: Mapping[str, Any],
    attributes: Mapping[str, MessageAttributeValueTypeDef],
    *,
    group: str | None = None,
    without: Collection[str] = (),
) -> None:
    """Put a copy of a message onto a queue.

    Parameters
    ----------
    sqs : SQSClient
        boto3's client.
    queue_url : str
        URL of the queue.
    record : Mapping[str, Any]
        The message as a record of Lambda's SQS event. Its own attributes are kept, as many as fit.
    attributes : Mapping[str, MessageAttributeValueTypeDef]
        Further attributes, which go before its own.
    group : str, optional
        Its group where the queue is FIFO, if not the one it came under.
    without : collection of str
        Attributes of its own that are not kept.
    """
    copied = dict(attributes)
    room = MAX_MESSAGE_BYTES - message_size(record["body"], copied)
    for name, original in record.get("messageAttributes", {}).items():
        attribute = _as_sent(original)
        size = message_size("", {name: attribute})
        if len(copied) < MAX_ATTRIBUTES and size <= room and name not in copied and name not in without:
            copied[name] = attribute
            room -= size
    order: Any = {}
    if is_fifo(queue_url):
        # SQS drops a second copy of the same message: a worker that tries again may have put one there already.
        order = {
            "MessageGroupId": group or record["attributes"]["MessageGroupId"],
            "MessageDeduplicationId": record["messageId"],
        }
    sqs.send_message(QueueUrl=queue_url, MessageBody=record["body"], MessageAttributes=copied, **order)


def _as_sent(attribute: Mapping[str, Any]) -> MessageAttributeValueTypeDef:
    # Lambda's events spell attributes in camel case, with binary values in Base64.
    if (binary := attribute.get("binaryValue")) is not None:
        return {"DataType": attribute["dataType"], "BinaryValue": base64.b64decode(binary)}
    return {"DataType": attribute["dataType"], "StringValue": sendable(attribute.get("stringValue", ""))}
