"""Whether a request fits onto a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cube_sms.platform import MAX_MESSAGE_BYTES, Fault, message_size

from .errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

    from .models import SendRequest


def refuse_too_large(
    request: SendRequest, body: str, attributes: Mapping[str, MessageAttributeValueTypeDef] | None = None
) -> None:
    """Refuse a request that does not fit onto a queue.

    Parameters
    ----------
    request : SendRequest
        The request.
    body : str
        The body of its message.
    attributes : Mapping[str, MessageAttributeValueTypeDef], optional
        The attributes that its message must have.

    Raises
    ------
    InvalidRequestError
        If together they are more than SQS takes.
    """
    if (size := message_size(body, attributes or {})) > MAX_MESSAGE_BYTES:
        fault = Fault("$", f"must have at most {MAX_MESSAGE_BYTES} bytes to be put onto the send queue, has {size}")
        raise InvalidRequestError([fault], request.request_id or None, request.task_token or None, request.priority)
