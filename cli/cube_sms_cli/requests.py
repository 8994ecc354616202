"""A send request of the operator's, on its way by the API or by the queue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import HTTPClientError

from cube_sms.platform import is_fifo
from cube_sms.request import InvalidRequestError, parse_send_request, refuse_too_large

from .errors import OperatorError, sentence
from .problems import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_sqs import SQSClient

    from .stack import ApiAnswer, Stack


def post(stack: Stack, members: Mapping[str, Any], *, is_queued: bool, hint: str) -> ApiAnswer:
    """Have the API send a message, or queue it.

    Parameters
    ----------
    stack : Stack
        The stack.
    members : Mapping[str, Any]
        The request.
    is_queued : bool
        Whether the API is to queue it.
    hint : str
        The command line that shows the state of the message.

    Raises
    ------
    OperatorError
        If the answer was lost.
    """
    try:
        return stack.call_api("POST", "/messages", members, **({"Prefer": "respond-async"} if is_queued else {}))
    except HTTPClientError as error:
        said = sentence(error).rstrip(".")
        raise OperatorError(f"The answer was lost, and the message may be sent: {said}. Look at it: {hint}") from None


def enqueue(stack: Stack, members: Mapping[str, Any]) -> str:
    """Put a message onto the send queue, in the group of its device if the queue is FIFO, and return SQS's id of it.

    Parameters
    ----------
    stack : Stack
        The stack.
    members : Mapping[str, Any]
        The request.

    Raises
    ------
    OperatorError
        If the request is not valid.
    """
    sqs: SQSClient = stack.client("sqs")
    url = stack.output("SendQueueUrl")
    try:
        most = int(stack.parameters["MaxContentLength"])
        request = parse_send_request(json.dumps(members).encode(), max_content_length=most)
        body = request.to_json().decode()
        refuse_too_large(request, body)
    except InvalidRequestError as error:
        raise OperatorError(invalid(map(str, error.faults), error.more)) from None
    # A FIFO queue drops the same body within five minutes. The whole request is in it: a conflict is none.
    order: Any = {"MessageGroupId": request.device_id} if is_fifo(url) else {}
    return sqs.send_message(QueueUrl=url, MessageBody=body, **order)["MessageId"]
