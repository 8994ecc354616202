"""The items of records: how each attribute is written, and read back."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from cube_sms.delivery.errors import SpoiledRecordError
from cube_sms.delivery.states import State
from cube_sms.platform import KEY, Fault, key_of

from .record import KeptReply, Record, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

REFUSED_KEY = "#refused#"
"""The prefix of the keys of refusals. The key of a record begins with an account's name instead."""

REPLY_KEY = "#reply#"
"""The prefix of the keys of replies."""

TEXT_LENGTH = 2048
"""The most characters of a text in a record: keys have at most so many, and ten events have to fit into one call."""

# The form that `rfc3339` writes.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)


def attribute(value: object) -> dict[str, Any]:
    """Return a value in DynamoDB's types."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": str(value)}
        case frozenset():
            return {"SS": list(value)}
    return {"S": str(value)}


def read_record(item: Mapping[str, Any]) -> Record:
    """Return the record in an item of the table.

    Parameters
    ----------
    item : Mapping[str, Any]
        The item, in DynamoDB's types.

    Returns
    -------
    Record
        The record.

    Raises
    ------
    SpoiledRecordError
        If the item is not as the gateway writes it. The error names attributes and shows no value.
    """
    with _reading(item) as read:
        state = read("state", "S", State)
        # A message can be cancelled before the gateway sees its request.
        of_request = None if state is State.CANCELLED else _REQUIRED
        return Record(
            message_id=read(KEY, "S", _key),
            state=state,
            attempts=read("attempts", "N", _count),
            request_hash=read("requestHash", "S", _text, of_request),
            device_id=read("deviceId", "S", _text, of_request),
            created_at=read("createdAt", "S", _time),
            updated_at=read("updatedAt", "S", _time),
            owner=read("owner", "S", _text),
            begun_at=read("begunAt", "S", _time, None),
            expected_at=read("expectedAt", "S", _time, None),
            lease_until=read("leaseUntil", "N", float, 0.0),
            unsettled=read("unsettled", "BOOL", _flag),
            possibly_duplicated=read("possiblyDuplicated", "BOOL", _flag),
            code=read("code", "S", _text, None),
            message=read("message", "S", _text, None),
            reason=read("reason", "S", _text, None),
            job_id=read("jobId", "S", _text, None),
            content_hash=read("contentHash", "S", _text, None),
            due_at=read("dueAt", "N", float, None),
            task_tokens=read("taskTokens", "SS", frozenset, frozenset()),
            await_reply=read("awaitReply", "N", _count, None),
        )


def read_refusal(item: Mapping[str, Any]) -> Refusal:
    """Return what an item of the table says of a request that was not accepted.

    Parameters
    ----------
    item : Mapping[str, Any]
        The item, in DynamoDB's types.

    Returns
    -------
    Refusal
        The refusal.

    Raises
    ------
    SpoiledRecordError
        As for `read_record`.
    """
    with _reading(item) as read:
        return Refusal(
            request_id=key_of(item).removeprefix(REFUSED_KEY),
            reason=read("reason", "S", _text),
            detail=read("detail", "S", _text),
            updated_at=read("updatedAt", "S", _time, ""),
            task_tokens=read("taskTokens", "SS", frozenset, frozenset()),
        )


def read_reply(item: Mapping[str, Any], content: str | None) -> KeptReply:
    """Return the reply in an item of the table.

    Parameters
    ----------
    item : Mapping[str, Any]
        The item, in DynamoDB's types.
    content : str or None
        The content of the reply, if it is kept: it is in another item.

    Returns
    -------
    KeptReply
        The reply.

    Raises
    ------
    SpoiledRecordError
        As for `read_record`.
    """
    with _reading(item) as read:
        return KeptReply(
            event_id=key_of(item).removeprefix(REPLY_KEY),
            account=read("account", "S", _text),
            device_id=read("deviceId", "S", _text),
            message_type=read("messageType", "S", _text),
            received_at=read("createdAt", "S", _time),
            in_reply_to=read("inReplyTo", "S", _text, None),
            content=content,
        )


def read_item(item: Mapping[str, Any]) -> Record | Refusal | None:
    """Return the record or refusal in an item of the table.

    Parameters
    ----------
    item : Mapping[str, Any]
        The item, in DynamoDB's types.

    Returns
    -------
    Record, Refusal or None
        None for all other items, such as the gate's and replies.

    Raises
    ------
    SpoiledRecordError
        As for `read_record`.
    """
    key = key_of(item)
    if key.startswith(REFUSED_KEY):
        return read_refusal(item)
    return None if key.startswith("#") else read_record(item)


def is_time(text: str) -> bool:
    """Return whether a text has the form in which times are kept."""
    return bool(_TIME.fullmatch(text))


def or_fault[Found](read: Callable[[Mapping[str, Any]], Found], item: Mapping[str, Any]) -> Found | SpoiledRecordError:
    """Return what is read of an item, or the error: one damaged item does not stop the reading of others."""
    try:
        return read(item)
    except SpoiledRecordError as error:
        return error


_REQUIRED = object()


@contextmanager
def _reading(item: Mapping[str, Any]) -> Iterator[Any]:
    """Give a function that reads attributes of an item; at the end, raise `SpoiledRecordError` if some were faulty."""
    faults: list[Fault] = []
    yield partial(_read, item, faults)
    if faults:
        raise SpoiledRecordError(key_of(item), faults)


def _read(
    item: Mapping[str, Any],
    faults: list[Fault],
    name: str,
    kind: str,
    convert: Callable[[Any], object],
    default: object = _REQUIRED,
) -> object:
    """Return an attribute of an item; note what is wrong with it."""
    typed = item.get(name)
    if typed is None or "NULL" in typed:
        if default is _REQUIRED:
            faults.append(Fault(name, "is missing"))
        return default
    if kind not in typed:
        faults.append(Fault(name, f"must be of DynamoDB's type {kind}"))
        return default
    try:
        return convert(typed[kind])
    except (TypeError, ValueError):
        faults.append(Fault(name, "is not as the gateway writes it"))
        return default


def _text(text: str) -> str:
    if len(text) > TEXT_LENGTH:
        raise ValueError
    return text


def _key(text: str) -> str:
    if text.startswith("#") or "#" not in text:
        raise ValueError
    return text


def _count(digits: str) -> int:
    number = int(digits)
    if not 0 <= number < 2**31:
        raise ValueError
    return number


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _time(text: str) -> str:
    # EventBridge takes these times only.
    if not is_time(text) or text < "1970":
        raise ValueError
    datetime.fromisoformat(text)
    return text
