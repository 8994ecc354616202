"""What a callback holds: the provider's forms of a message from a device, and what is told of it."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cube_sms.delivery import DeviceReply
from cube_sms.platform import Event, rfc3339
from cube_sms.request import DeviceId, mask_device_id

DETAIL_TYPE = "SMS Received"

# Milliseconds from 2001 to 2100: seconds are none, and no time is beyond what a date can be.
Milliseconds = Annotated[int, Meta(ge=10**12, lt=4_102_444_800_000)]


class _Callback(msgspec.Struct):
    """The MO callback of the older family: all strings, numbers too."""

    sim_id: DeviceId
    text_message: str
    received_at: Milliseconds
    message_type: Literal["Text", "Binary", ""] | None = None

    @property
    def facts(self) -> tuple[str, str, str, int]:
        # As when it is sent, none means Text.
        return self.sim_id, self.message_type or "Text", self.text_message, self.received_at


class _Message(msgspec.Struct):
    type: Literal[1, 2]
    content: str


class _Notification(msgspec.Struct):
    """A notification of v4. Its form is not published: this is that of an item of ``GET /sms/mo``."""

    sim_id: DeviceId
    received_at: Milliseconds
    message: _Message

    @property
    def facts(self) -> tuple[str, str, str, int]:
        return self.sim_id, {1: "Text", 2: "Binary"}[self.message.type], self.message.content, self.received_at


_FORMS: tuple[type[_Callback | _Notification], ...] = (_Callback, _Notification)


@dataclass(frozen=True, slots=True)
class Received:
    """A message from a device.

    Parameters
    ----------
    account : str
        Whose device it is.
    device_id : str
        Where it came from, usually the ICCID of the SIM.
    message_type : str
        ``Text`` or ``Binary``.
    content : str
        What it says.
    received_at : int
        When the provider had it, in milliseconds since the epoch.
    """

    account: str
    device_id: str
    message_type: str
    content: str = field(repr=False)
    received_at: int

    @property
    def event_id(self) -> str:
        """The same however often the provider tells of the message: a repeat is told by what it holds."""
        facts = [self.account, self.device_id, self.message_type, self.content, self.received_at]
        return str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(facts)))

    @property
    def masked_device_id(self) -> str:
        """What a log may show of the device id."""
        return mask_device_id(self.device_id)

    @property
    def reply(self) -> DeviceReply:
        """What is told of it, and kept."""
        return DeviceReply(
            event_id=self.event_id,
            account=self.account,
            device_id=self.device_id,
            message_type=self.message_type,
            content=self.content,
            received_at=rfc3339(self.received_at / 1000),
        )

    @property
    def event(self) -> Event:
        """The event that tells of it."""
        reply = self.reply
        return Event(DETAIL_TYPE, reply.members, reply.received_at)


def read_received(account: str, body: bytes) -> Received | None:
    """Read the body of a callback that is verified.

    Parameters
    ----------
    account : str
        Whose callback it is.
    body : bytes
        The body.

    Returns
    -------
    Received or None
        None if its form is none that is known.
    """
    for form in _FORMS:
        try:
            return Received(account, *msgspec.json.decode(body, type=form, strict=False).facts)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            continue
    return None
