"""The send request: one strict schema for every way in."""

from __future__ import annotations

from codecs import BOM_UTF8
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cube_sms.platform import Fault

from .content import (
    CONTENT_FIELD,
    HALF_A_PAIR,
    ITEM_FIELDS,
    MAX_BINARY_DIGITS,
    MAX_FIELD_LENGTH,
    MAX_ITEMS,
    holds_half_a_pair,
    item_faults,
    shown_name,
    text_faults,
)
from .errors import InvalidRequestError
from .lenient_json import decode_leniently

DEFAULT_ACCOUNT = "default"
DEFAULT_MAX_CONTENT_LENGTH = 140

# Python's `$` also matches before a final newline, JSON Schema's does not: the look-ahead makes them equal.
_END = r"$(?!\n)"

DeviceId = Annotated[
    str,
    Meta(
        pattern=f"^[0-9A-Za-z]{{1,64}}{_END}",
        description="1 to 64 characters of 0-9, A-Z and a-z, usually the ICCID of the SIM",
    ),
]
RequestId = Annotated[
    str,
    Meta(
        pattern=f"^[A-Za-z0-9._:-]{{1,128}}{_END}",
        description="1 to 128 characters of A-Z, a-z, 0-9 and ._:- (the caller's idempotency key)",
    ),
]
Account = Annotated[
    str,
    Meta(
        pattern=f"^[a-z0-9-]{{1,32}}{_END}",
        description="1 to 32 characters of a-z, 0-9 and - (the name of the credentials to use)",
    ),
]
MessageType = Annotated[Literal["Text", "Binary"], Meta(description='"Text" or "Binary", case-sensitive')]
Content = Annotated[
    str,
    Meta(
        min_length=1,
        description="a text of 1 to MaxContentLength (140 unless the deployment says otherwise) characters without "
        "control characters other than line feed, carriage return and tab; for Binary an even number of hexadecimal "
        f"digits, at most {MAX_BINARY_DIGITS}",
    ),
]
ContentList = Annotated[
    list[dict[str, str | None]],
    Meta(
        min_length=1,
        max_length=MAX_ITEMS,
        description=f"an array of 1 to {MAX_ITEMS} objects of strings: the provider's own array, passed on with the "
        "order of fields and the empty fields as given",
    ),
]
ExpiresAt = Annotated[
    datetime, Meta(tz=True, description="an RFC 3339 date and time with its offset, after which nothing is sent")
]
Delivery = Annotated[
    Literal["at-least-once", "at-most-once"],
    Meta(
        description='"at-least-once" or "at-most-once": whether a message is sent again when the outcome of an attempt '
        "is unknown"
    ),
]
TaskToken = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2048,
        description="1 to 2048 characters: the token of a Step Functions task that waits for the outcome",
    ),
]


class SendRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A request to send one SMS to one device.

    Parameters
    ----------
    device_id : str
        Usually the SIM's ICCID.
    content : str, optional
        The message; exactly one of `content` and `sms_content_list` is given.
    sms_content_list : list of dict, optional
        The provider's own array of messages.
    message_type : {"Text", "Binary"}
        What the content is: characters or hexadecimal digits.
    request_id : str, optional
        The caller's idempotency key.
    account : str
        Which credentials to use.
    expires_at : datetime, optional
        Not sent after this time.
    delivery : {"at-least-once", "at-most-once"}
        What to do when the outcome of an attempt is unknown.
    task_token : str, optional
        Of a Step Functions task that waits for the outcome. It is no part of the request itself: a task that is tried
        again has another one.
    """

    device_id: DeviceId
    content: Content | UnsetType = UNSET
    sms_content_list: ContentList | UnsetType = UNSET
    message_type: MessageType = "Text"
    request_id: RequestId | UnsetType = UNSET
    account: Account = DEFAULT_ACCOUNT
    expires_at: ExpiresAt | UnsetType = UNSET
    delivery: Delivery = "at-least-once"
    task_token: TaskToken | UnsetType = UNSET

    def __repr__(self) -> str:
        # Content and token stay out of whatever shows a request.
        return f"SendRequest({self.message_id}, to {mask_device_id(self.device_id)})"

    def identified(self, request_id: str) -> SendRequest:
        """Return this request under the given id, or itself where it has one."""
        return self if self.request_id else msgspec.structs.replace(self, request_id=request_id)

    @property
    def message_id(self) -> str:
        """The key of the message across accounts: ``<account>#<requestId>``."""
        return f"{self.account}#{self.request_id}"

    @property
    def texts(self) -> list[str]:
        """Every message text of the request."""
        if self.content is not UNSET:
            return [self.content]
        items = self.sms_content_list or []
        return [text for item in items if (text := item.get(CONTENT_FIELD))]

    def to_json(self) -> bytes:
        """Return the request as the JSON that `parse_send_request` reads."""
        # SQS refuses these two characters, JSON does not; they can only stand in a string, where an escape does.
        text = msgspec.json.encode(self).decode().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
        return text.encode()


_FIELDS = {field.encode_name: field for field in msgspec.structs.fields(SendRequest)}

FIELDS = tuple(_FIELDS)
"""The names of a send request's fields."""


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
        own_id, task_token = valid.get("requestId"), valid.get("taskToken")
        # Without a fault, only nulls stood in the way.
        request = None if faults else msgspec.convert(valid, SendRequest)
    else:
        faults = _content_faults(request, max_content_length)
        own_id, task_token = request.request_id or None, request.task_token or None
    if request_id is not None:
        id_faults = _request_id_faults(request_id_name, request_id, own_id)
        faults += id_faults
        own_id = own_id or (None if id_faults else request_id)
    if faults or request is None:
        raise InvalidRequestError(faults, own_id, task_token)
    return request.identified(own_id) if own_id else request


_DECODER = msgspec.json.Decoder(SendRequest)
_ONE_CONTENT = Fault("content", "exactly one of content and smsContentList is required")


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
    if ("content" in given) == ("smsContentList" in given):
        faults.append(_ONE_CONTENT)
    if "content" in valid:
        faults += text_faults("content", valid["content"], valid.get("messageType"), max_length)
    if "smsContentList" in valid:
        faults += item_faults("smsContentList", valid["smsContentList"], valid.get("messageType"), max_length)
    return faults, valid


def _converted(value: Any, annotation: Any) -> tuple[Any, str | None]:
    # Of the provider's array only the size is looked at: its items have faults of their own. Of a time, msgspec also
    # reads the two common variants with a space for the T and an offset without a colon, which do no harm.
    is_list = annotation == ContentList | UnsetType
    if not is_list and not isinstance(value, str):
        return None, f"must be a string: {_description(annotation)}"
    if not is_list and holds_half_a_pair(value):
        return None, HALF_A_PAIR
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


def is_identity(account: str, request_id: str) -> bool:
    """Return whether a message can be of this account and have this id.

    Examples
    --------
    >>> is_identity("default", "order-7781"), is_identity("#refused", "order-7781")
    (True, False)
    """
    try:
        msgspec.convert((account, request_id), tuple[Account, RequestId])
    except msgspec.ValidationError:
        return False
    return True


def mask_device_id(device_id: str) -> str:
    """Return the device id with all but its last four characters masked.

    Examples
    --------
    >>> mask_device_id("89314404000939952215")
    '****************2215'
    """
    return "*" * (len(device_id) - 4) + device_id[-4:]


def send_request_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a send request, made from the model.

    Returns
    -------
    dict[str, Any]
        The schema. The length of a text is left to the deployment's ``MaxContentLength``.

    Examples
    --------
    >>> send_request_schema()["required"]
    ['deviceId']
    """
    schema = msgspec.json.schema(SendRequest)["$defs"]["SendRequest"]
    # What the model's types cannot say and `content` checks.
    schema["properties"]["smsContentList"]["items"] = {
        "type": "object",
        "properties": {
            CONTENT_FIELD: {"type": "string", "minLength": 1},
            **{
                name: {"type": ["string", "null"], "maxLength": MAX_FIELD_LENGTH}
                for name in ITEM_FIELDS
                if name != CONTENT_FIELD
            },
        },
        "required": [CONTENT_FIELD],
        "additionalProperties": False,
    }
    for name, field in schema["properties"].items():
        if name in schema["required"]:
            continue
        # Null counts as absent.
        if "enum" in field:
            field["enum"].append(None)
        else:
            field["type"] = [field["type"], "null"]
    schema["oneOf"] = [
        {"required": ["content"], "properties": {"content": {"type": "string"}}},
        {"required": ["smsContentList"], "properties": {"smsContentList": {"type": "array", "items": {}}}},
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Send request",
        "description": "A request to cube-sms to send one SMS to one device.",
    }
