"""Send requests in an envelope: as EventBridge delivers them, and as SNS does."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from typing import Literal

import msgspec

from .lenient_json import decode_leniently
from .models import RequestId  # noqa: TC001 - msgspec looks it up

DETAIL_TYPE = "SMS Requested"

_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


class _Event(msgspec.Struct):
    # EventBridge gives a UUID. The queue takes anything from anybody.
    id: RequestId
    detail_type: str = msgspec.field(name="detail-type")
    detail: msgspec.Raw


class _Notification(msgspec.Struct, rename="pascal"):
    # The rest of it, with its signature, is of no account: who may put messages onto the queue is up to its policy.
    type: Literal["Notification"]
    message_id: RequestId
    topic_arn: str
    message: str


_EVENTS = msgspec.json.Decoder(_Event)
_NOTIFICATIONS = msgspec.json.Decoder(_Notification)


def unwrap(body: bytes) -> tuple[bytes, str | None]:
    """Take a send request out of a notification of SNS, or an event of EventBridge, or one within the other.

    Parameters
    ----------
    body : bytes
        What came: a send request, a notification whose message is one, or an event whose detail is one. A byte order
        mark before it is ignored.

    Returns
    -------
    request : bytes
        The send request; what came where it is in no envelope.
    own_id : str or None
        The id of the event or notification, which is the same however often it is delivered.

    Examples
    --------
    >>> unwrap(b'{"id": "6a7e8feb", "detail-type": "SMS Requested", "detail": {"deviceId": "8931"}}')
    (b'{"deviceId": "8931"}', '6a7e8feb')
    >>> unwrap(b'{"Type": "Notification", "MessageId": "22b80b92", "TopicArn": "arn:", "Message": "{}"}')
    (b'{}', '22b80b92')
    >>> unwrap(b'{"deviceId": "8931"}')
    (b'{"deviceId": "8931"}', None)
    """
    body, own_id = body.removeprefix(BOM_UTF8), None
    # A fraction of a microsecond each, before anything is decoded. Within a string these quotes would be escaped.
    if b'"TopicArn"' in body and (notification := _notification(body)):
        body, own_id = notification.message.encode().removeprefix(BOM_UTF8), notification.message_id
    if b'"detail-type"' in body and (event := _event(body)) and event.detail_type == DETAIL_TYPE:
        body, own_id = bytes(event.detail), event.id
    return body, own_id


def _notification(body: bytes) -> _Notification | None:
    try:
        return _NOTIFICATIONS.decode(body)
    except _UNREADABLE:
        return None


def _event(body: bytes) -> _Event | None:
    try:
        return _EVENTS.decode(body)
    except _UNREADABLE:
        pass
    # A detail with half a surrogate pair in it is a detail all the same: the request's faults name what is wrong.
    try:
        fields = decode_leniently(body).value
        detail = msgspec.Raw(json.dumps(fields["detail"]).encode())
        return msgspec.convert({**fields, "detail": detail}, _Event)
    except (*_UNREADABLE, TypeError, KeyError):
        return None
