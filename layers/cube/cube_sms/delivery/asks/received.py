"""A message from a device, and what is told of it."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field

from cube_sms.delivery.records import KeptReply
from cube_sms.platform import Event, rfc3339
from cube_sms.request import mask_device_id

from .ask import DeviceReply
from .store import Device

RECEIVED = "SMS Received"
"""What EventBridge calls the event."""


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

    @classmethod
    def of(cls, device: Device, reply: DeviceReply) -> Received:
        """Return what was kept of a message for those who wait for its device."""
        return cls(*device, reply.message_type, reply.content, round(reply.received_at * 1000))

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
    def device(self) -> Device:
        """The device."""
        return Device(self.account, self.device_id)

    @property
    def reply(self) -> DeviceReply:
        """What those who wait for the device need of it."""
        return DeviceReply(
            event_id=self.event_id,
            received_at=self.received_at / 1000,
            message_type=self.message_type,
            content=self.content,
        )

    def kept(self, in_reply_to: str | None) -> KeptReply:
        """Return what is told of it, and is in the history of the device.

        Parameters
        ----------
        in_reply_to : str or None
            The id of the request that it answers, if one waited.
        """
        return KeptReply(
            event_id=self.event_id,
            account=self.account,
            device_id=self.device_id,
            message_type=self.message_type,
            content=self.content,
            received_at=rfc3339(self.received_at / 1000),
            in_reply_to=in_reply_to,
        )

    def event(self, in_reply_to: str | None) -> Event:
        """Return the event that tells of it, likewise."""
        kept = self.kept(in_reply_to)
        return Event(RECEIVED, kept.members, kept.received_at)
