"""The send request: one strict model for every input."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from .content import (
    CONTENT_FIELD,
    MAX_BINARY_DIGITS,
    MAX_ITEMS,
)

DEFAULT_ACCOUNT = "default"

# The provider takes this many characters of a text, if the contract has no other number.
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
ACCOUNT_FORM = "1 to 32 characters of a-z, 0-9 and -"
Account = Annotated[
    str,
    Meta(
        pattern=f"^[a-z0-9-]{{1,32}}{_END}",
        description=f"{ACCOUNT_FORM} (the name of the credentials to use)",
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
Priority = Annotated[
    Literal["normal", "bulk"],
    Meta(
        description='"normal" or "bulk": bulk messages, such as those of a campaign, leave a part of the day\'s quota '
        "to the others"
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

MAX_AWAIT_REPLY = 86_400
"""The most seconds that a task waits for a reply: what a device sends within a day of a message is passed on."""

AwaitReply = Annotated[
    int,
    Meta(
        ge=1,
        le=MAX_AWAIT_REPLY,
        description=f"a whole number of seconds from 1 to {MAX_AWAIT_REPLY}: for how long after the message was sent "
        "the task of taskToken waits for the device's reply",
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
    priority : {"normal", "bulk"}
        Whether others go first. Like the token it is no part of the request itself. So a caller can send a bulk
        message again as a normal one.
    task_token : str, optional
        Of a Step Functions task that waits for the outcome. It is no part of the request itself: a task that is tried
        again has another one.
    await_reply : int, optional
        Seconds for which that task waits for the device's reply. Otherwise it ends when the message was sent.
    """

    device_id: DeviceId
    content: Content | UnsetType = UNSET
    sms_content_list: ContentList | UnsetType = UNSET
    message_type: MessageType = "Text"
    request_id: RequestId | UnsetType = UNSET
    account: Account = DEFAULT_ACCOUNT
    expires_at: ExpiresAt | UnsetType = UNSET
    delivery: Delivery = "at-least-once"
    priority: Priority = "normal"
    task_token: TaskToken | UnsetType = UNSET
    await_reply: AwaitReply | UnsetType = UNSET

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
        # SQS refuses these two characters, JSON does not; they occur only in a string, in which an escape is possible.
        text = msgspec.json.encode(self).decode().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
        return text.encode()


FIELDS = tuple(field.encode_name for field in msgspec.structs.fields(SendRequest))
"""The names of its fields."""


def is_device_id(text: str) -> bool:
    """Return whether a device can be called so.

    Examples
    --------
    >>> is_device_id("89314404000939952215"), is_device_id("8931-4404")
    (True, False)
    """
    return _is(text, DeviceId)


def is_request_id(text: str) -> bool:
    """Return whether a request can have this id.

    Examples
    --------
    >>> is_request_id("order-7781"), is_request_id("order 7781")
    (True, False)
    """
    return _is(text, RequestId)


def is_account(text: str) -> bool:
    """Return whether an account can have this name.

    Examples
    --------
    >>> is_account("default"), is_account("#refused")
    (True, False)
    """
    return _is(text, Account)


def mask_device_id(device_id: str) -> str:
    """Return the device id with all but its last four characters masked.

    Examples
    --------
    >>> mask_device_id("89314404000939952215")
    '****************2215'
    """
    return "*" * (len(device_id) - 4) + device_id[-4:]


def _is(text: str, kind: Any) -> bool:
    try:
        msgspec.convert(text, kind)
    except msgspec.ValidationError:
        return False
    return True
