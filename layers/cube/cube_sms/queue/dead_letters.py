"""Dead letters and rejected messages: each goes onto a queue with attributes that say why.

SQS limits the size of a message with its attributes. If the whole is too large, the body is cut, and an attribute says
how long it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cube_sms.platform import FAILED_CLAIM, MAX_MESSAGE_BYTES, message_size, put_copy, sendable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

REQUEST_ID = "requestId"
CUT_FROM = "cutFrom"
REASON = "reason"
DETAIL = "detail"
ACCOUNT = "account"
ATTEMPTS = "attempts"
LAST_CODE = "lastCode"

# The attributes that are no longer true if the same message comes here again. That its body is cut stays true.
OWN = frozenset({REQUEST_ID, FAILED_CLAIM, REASON, DETAIL, ACCOUNT, ATTEMPTS, LAST_CODE})

# The longest value of an attribute. SQS counts attributes as a part of the message's size.
MAX_VALUE_LENGTH = 1024


class DeadLetterQueue:
    """A queue for messages that cannot be sent, or for those that the provider rejected.

    Parameters
    ----------
    sqs : SQSClient
        boto3's client.
    queue_url : str
        URL of the queue.
    """

    def __init__(self, sqs: SQSClient, queue_url: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url

    def put(self, record: Mapping[str, Any], *, request_id: str, reason: str, **why: str | int | None) -> None:
        """Put a copy of a message onto the queue.

        Parameters
        ----------
        record : Mapping[str, Any]
            The message as a record of Lambda's SQS event. As many of its own attributes are kept as fit.
        request_id : str
            The message's identity, which a redriven message keeps.
        reason : str
            Why, in one word such as ``AttemptsUsedUp``.
        **why : str or int, optional
            Further attributes. If all is too large, a `detail` is cut first, then the body.
        """
        attributes = {
            name: _attribute(value)
            for name, value in {REQUEST_ID: request_id, REASON: reason, **why}.items()
            if value is not None and value != ""
        }
        # The message was redriven: the attributes of that time are no longer true.
        old = OWN if REASON in record.get("messageAttributes", {}) else frozenset()
        body = _fit(record["body"], attributes)
        put_copy(self._sqs, self._queue_url, {**record, "body": body}, attributes, without=old)


def _attribute(value: str | int) -> MessageAttributeValueTypeDef:
    text = sendable(str(value))[:MAX_VALUE_LENGTH]
    return {"DataType": "Number" if isinstance(value, int) else "String", "StringValue": text}


def _fit(whole: str, attributes: dict[str, MessageAttributeValueTypeDef]) -> str:
    """Return as much of a body as SQS takes with these attributes. The detail is cut before it."""
    body = sendable(whole)
    too_much = message_size(body, attributes) - MAX_MESSAGE_BYTES
    if too_much > 0 and (detail := attributes.pop(DETAIL, None)):
        kept = _first(detail["StringValue"], len(detail["StringValue"].encode()) - too_much)
        if kept:
            attributes[DETAIL] = {**detail, "StringValue": kept}
        elif message_size(body, attributes) > MAX_MESSAGE_BYTES:
            # The body has to be cut in any case, so that the detail stays whole.
            attributes[DETAIL] = detail
    if body != whole or message_size(body, attributes) > MAX_MESSAGE_BYTES:
        attributes[CUT_FROM] = _attribute(len(whole.encode("utf-8", "surrogatepass")))
        body = _first(body, MAX_MESSAGE_BYTES - message_size("", attributes))
    return body


def _first(text: str, size: int) -> str:
    return text.encode()[: max(size, 0)].decode(errors="ignore")
