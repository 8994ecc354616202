"""Reading a send request, and saying everything that is wrong with one."""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cube_sms.platform import Fault

from .content import HALF_A_PAIR, MAX_ITEMS, holds_half_a_pair, item_faults, shown_name, text_faults
from .errors import InvalidRequestError
from .lenient_json import decode_leniently
from .models import DEFAULT_MAX_CONTENT_LENGTH, AwaitReply, ContentList, RequestId, SendRequest

if TYPE_CHECKING:
    from collections.abc import Container

_DECODER = msgspec.json.Decoder(SendRequest)
_FIELDS = {field.encode_name: field for field in msgspec.structs.fields(SendRequest)}
_ONE_CONTENT = Fault("content", "exactly one of content and smsContentList is required")
_NO_TASK = Fault("awaitReply", "needs taskToken: it says for how long that task waits")


def parse_send_request(
    body: bytes,
    *,
    request_id: str | None = None,
    request_id_name: str = "requestId",
    max_content_length: int = DEFAULT_MAX_CONTENT_LENGTH,
) -> SendRequest:
    """Read a send request.

    Parameters
    ----------
    body : bytes
        The JSON text, UTF-8. A byte order mark before it is ignored, and a field that is null counts as absent.
    request_id : str, optional
        The request's id where it comes beside the body: in the header ``Idempotency-Key``, in an attribute of a queue
        message. One in the body has to be the same.
    request_id_name : str
        What the sender knows that id as.
    max_content_length : int
        The most characters a text may have.

    Returns
    -------
    SendRequest
        The request, valid in every respect.

    Raises
    ------
    InvalidRequestError
        With the faults and where they are.

    Examples
    --------
    >>> parse_send_request(b'{"deviceId": "8931", "content": "Hello"}').device_id
    '8931'
    >>> parse_send_request(b'{"deviceId": "?", "kontent": "Hello"}')
    Traceback (most recent call last):
        ...
    cube_sms.request.errors.InvalidRequestError: deviceId: must be 1 to 64 characters of 0-9, A-Z and a-z, usually the \
ICCID of the SIM; kontent: is not a field of a send request; content: exactly one of content and smsContentList is \
required
    """
    body = body.removeprefix(BOM_UTF8)
    request: SendRequest | None
    try:
        request = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        faults, valid = _read_field_by_field(body, max_content_length)
        own_id, task_token, priority = map(valid.get, ("requestId", "taskToken", "priority"))
        # Without a fault, only nulls were the reason.
        request = None if faults else msgspec.convert(valid, SendRequest)
    else:
        faults = _content_faults(request, max_content_length)
        if request.await_reply and not request.task_token:
            faults.append(_NO_TASK)
        own_id, task_token, priority = request.request_id or None, request.task_token or None, request.priority
    if request_id is not None:
        id_faults = _request_id_faults(request_id_name, request_id, own_id)
        faults += id_faults
        own_id = own_id or (None if id_faults else request_id)
    if faults or request is None:
        raise InvalidRequestError(faults, own_id, task_token, priority)
    return request.identified(own_id) if own_id else request


def _content_faults(request: SendRequest, max_length: int) -> list[Fault]:
    if (request.content is UNSET) == (request.sms_content_list is UNSET):
        return [_ONE_CONTENT]
    if request.content is not UNSET:
        return text_faults("content", request.content, request.message_type, max_length)
    return item_faults("smsContentList", request.sms_content_list or [], request.message_type, max_length)


def _read_field_by_field(body: bytes, max_length: int) -> tuple[list[Fault], dict[str, Any]]:
    # msgspec stops at the first fault. This goes on, and takes a field that is null for absent.
    try:
        fields, has_doubles = decode_leniently(body)
    except UnicodeDecodeError:
        return [Fault("$", "is not UTF-8")], {}
    except (ValueError, RecursionError):
        return [Fault("$", "is not JSON")], {}
    if not isinstance(fields, dict):
        return [Fault("$", "must be a JSON object")], {}
    faults = [Fault("$", "gives a field more than once")] if has_doubles else []
    valid: dict[str, Any] = {"messageType": "Text"}
    given = {name: value for name, value in fields.items() if value is not None}
    for name, field in _FIELDS.items():
        if name not in given:
            faults += [Fault(name, "is required")] if field.required else []
            continue
        value, fault = _converted(given[name], field.type)
        if fault:
            valid.pop(name, None)
            faults.append(Fault(name, fault))
        else:
            valid[name] = value
    unknown = sorted(fields.keys() - _FIELDS.keys())
    faults += [Fault(shown_name(name), "is not a field of a send request") for name in unknown]
    faults += _faults_between(given)
    if "content" in valid:
        faults += text_faults("content", valid["content"], valid.get("messageType"), max_length)
    if "smsContentList" in valid:
        faults += item_faults("smsContentList", valid["smsContentList"], valid.get("messageType"), max_length)
    return faults, valid


def _faults_between(given: Container[str]) -> list[Fault]:
    """Return what is wrong with which fields there are, whatever is in them."""
    faults = [_NO_TASK] if "awaitReply" in given and "taskToken" not in given else []
    return [*faults, _ONE_CONTENT] if ("content" in given) == ("smsContentList" in given) else faults


def _converted(value: Any, annotation: Any) -> tuple[Any, str | None]:
    # Of the provider's array only the size is looked at: its items have faults of their own. For a time, msgspec also
    # reads two common variants: a space for the T, and an offset without a colon. They do no harm.
    is_list = annotation == ContentList | UnsetType
    is_text = not is_list and annotation != AwaitReply | UnsetType
    if is_text and not isinstance(value, str):
        return None, f"must be a string: {_description(annotation)}"
    if is_text and holds_half_a_pair(value):
        return None, HALF_A_PAIR
    if isinstance(value, float) and value.is_integer():
        # As JSON Schema has it: 60.0 is a whole number.
        value = int(value)
    try:
        return msgspec.convert(
            value, Annotated[list[Any], Meta(min_length=1, max_length=MAX_ITEMS)] if is_list else annotation
        ), None
    except msgspec.ValidationError:
        return None, f"must be {_description(annotation)}"


def _request_id_faults(name: str, request_id: str, own_id: str | None) -> list[Fault]:
    try:
        msgspec.convert(request_id, RequestId)
    except msgspec.ValidationError:
        return [Fault(name, f"must be {_description(RequestId)}")]
    if own_id not in (None, request_id):
        return [Fault("requestId", f"in the body differs from the {name} beside it")]
    return []


def _description(annotation: Any) -> str:
    (meta,) = getattr(annotation, "__metadata__", None) or annotation.__args__[0].__metadata__
    return str(meta.description)
