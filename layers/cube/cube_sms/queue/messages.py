"""A message of a batch: the request in it, and the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from cube_sms.request import InvalidRequestError, parse_send_request, unwrap

from .dead_letters import REQUEST_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cube_sms.delivery import Outcome
    from cube_sms.request import SendRequest


class QueueMessage(NamedTuple):
    """A message of a batch.

    Parameters
    ----------
    record : Mapping[str, Any]
        The record of Lambda's SQS event.
    request : SendRequest or Exception
        The request in it, or its fault.
    group : str
        The group within which a FIFO queue keeps the order. Groups of a standard queue have no order: there it is the
        message's own id.
    """

    record: Mapping[str, Any]
    request: SendRequest | Exception
    group: str

    @property
    def account(self) -> str | None:
        """The account of the request, if there is a request."""
        return None if isinstance(self.request, Exception) else self.request.account

    @property
    def is_bulk(self) -> bool:
        """Whether it is a bulk message."""
        return not isinstance(self.request, Exception) and self.request.priority == "bulk"

    @property
    def identity(self) -> str:
        """What the copies of one message share."""
        if isinstance(self.request, Exception):
            return f"invalid {self.record['messageId']}"
        return self.request.message_id

    @property
    def sent_at(self) -> float | None:
        """When it came onto the queue, in seconds since the epoch."""
        sent = self.record.get("attributes", {}).get("SentTimestamp")
        return int(sent) / 1000 if sent else None

    @property
    def receives(self) -> int:
        """How often it has been received."""
        return int(self.record.get("attributes", {}).get("ApproximateReceiveCount", 1))

    def attribute(self, name: str) -> str | None:
        """Return one of the message's own attributes."""
        return _attribute(self.record, name)


class Consumed(msgspec.Struct, kw_only=True):
    """The result of one message of a batch.

    Parameters
    ----------
    record_id : str
        The SQS message id.
    receives : int
        How often it has been received.
    queue_age : float
        Seconds since it was enqueued.
    request : SendRequest, optional
        The request, if the message was one.
    outcome : Outcome, optional
        The outcome of sending it.
    fault : Exception, optional
        Why it could not be sent, or not be settled with the queue.
    dead_letter_reason : str, optional
        Why it went to the dead-letter queue, if it did.
    acknowledged : bool
        Whether the message has ended and can be deleted from the queue.
    forwarded : bool
        Whether it was forwarded to the group of its device, and comes again.
    put_back_until : float, optional
        Seconds since the epoch: when it may be sent, if it returned to the queue untried. Zero if the only reason was
        that the invocation ended.
    """

    record_id: str
    receives: int = 0
    queue_age: float = 0.0
    request: SendRequest | None = None
    outcome: Outcome | None = None
    fault: Exception | None = None
    dead_letter_reason: str | None = None
    acknowledged: bool = False
    forwarded: bool = False
    put_back_until: float | None = None


def read_message(record: Mapping[str, Any], *, is_fifo: bool, max_content_length: int) -> QueueMessage:
    """Read a record of Lambda's SQS event.

    Parameters
    ----------
    record : Mapping[str, Any]
        The record.
    is_fifo : bool
        Whether the queue keeps the order of groups.
    max_content_length : int
        The most characters of a text.

    Returns
    -------
    QueueMessage
        The message. A fault in it is handled later, in the order of the batch.
    """
    own_id = record["messageId"]
    attributes = record.get("attributes", {}) if is_fifo else {}
    group = str(attributes.get("MessageGroupId", own_id))
    try:
        body, event_id = unwrap(record["body"].encode("utf-8", "surrogatepass"))
        own_id = event_id or own_id
        request = parse_send_request(
            body, request_id=_attribute(record, REQUEST_ID), max_content_length=max_content_length
        ).identified(own_id)
    except InvalidRequestError as error:
        error.request_id = error.request_id or own_id
        return QueueMessage(record, error, group)
    except Exception as error:  # noqa: BLE001 - handled in the order of the batch
        return QueueMessage(record, error, group)
    return QueueMessage(record, request, group)


def _attribute(record: Mapping[str, Any], name: str) -> str | None:
    value: str | None = record.get("messageAttributes", {}).get(name, {}).get("stringValue")
    return value
