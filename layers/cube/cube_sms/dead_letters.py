"""The dead-letter queue: a message that cannot be sent goes there whole, with attributes that say why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .queues import put_copy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

REQUEST_ID = "requestId"
FAILED_CLAIM = "failedClaim"
INVALID_REQUEST = "InvalidRequest"
CONFLICT = "Conflict"
ATTEMPTS_USED_UP = "AttemptsUsedUp"
SPOILED_RECORD = "SpoiledRecord"

# The attributes of a letter.
OWN = frozenset({REQUEST_ID, FAILED_CLAIM, "reason", "detail", "attempts", "lastCode"})

MAX_VALUE_LENGTH = 1024

# What SQS refuses in a value, after https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_REFUSED_BY_SQS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class DeadLetterQueue:
    """Where messages go that cannot be sent.

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
        """Put a copy of a message there.

        Parameters
        ----------
        record : Mapping[str, Any]
            The message as a record of Lambda's SQS event. Its own attributes are kept, as many as fit.
        request_id : str
            The message's identity, which a redriven message keeps.
        reason : str
            Why, in one word such as `INVALID_REQUEST`.
        **why : str or int, optional
            Further attributes.
        """
        attributes: dict[str, MessageAttributeValueTypeDef] = {}
        for name, value in {REQUEST_ID: request_id, "reason": reason, **why}.items():
            if value is not None and value != "":
                text = _REFUSED_BY_SQS.sub("?", str(value))[:MAX_VALUE_LENGTH]
                attributes[name] = {
                    "DataType": "Number" if isinstance(value, int) else "String",
                    "StringValue": text,
                }
        # Those of an earlier letter say nothing of this one.
        old = OWN if "reason" in record.get("messageAttributes", {}) else frozenset()
        put_copy(self._sqs, self._queue_url, record, attributes, without=old)
