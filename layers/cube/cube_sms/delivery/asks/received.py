"""A message from a device, with its event and its entry in the history."""

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
"""The event's `detail-type`."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message from a device.

    Parameters
    ----------
    account : str
        Account of the device.
    device_id : str
        Id of the device, usually the ICCID of the SIM.
    message_type : str
        ``Text`` or ``Binary``.
    content : str
        The content.
    received_at : int
        When the provider received it, in milliseconds since the epoch.
    """

    account: str
    device_id: str
    message_type: str
    content: str = field(repr=False)
    received_at: int

    @classmethod
    def of(cls, device: Device, reply: DeviceReply) -> Received:
        """Return the message that a kept reply was made from."""
        return cls(*device, reply.message_type, reply.content, round(reply.received_at * 1000))

    @property
    def event_id(self) -> str:
        """An id made of all members, so that every repeat by the provider has the same one."""
        facts = [self.account, self.device_id, self.message_type, self.content, self.received_at]
        return str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(facts)))

    @property
    def masked_device_id(self) -> str:
        """The device id as logs may show it."""
        return mask_device_id(self.device_id)

    @property
    def device(self) -> Device:
        """The device."""
        return Device(self.account, self.device_id)

    @property
    def reply(self) -> DeviceReply:
        """The reply, as requests that wait take it."""
        return DeviceReply(
            event_id=self.event_id,
            received_at=self.received_at / 1000,
            message_type=self.message_type,
            content=self.content,
        )

    def kept(self, in_reply_to: str | None) -> KeptReply:
        """Return the members of its event and of its entry in the device's history.

        Parameters
        ----------
        in_reply_to : str or None
            Id of the request that it answers, if one waited.
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
        """Return its event. The parameter is that of `kept`."""
        kept = self.kept(in_reply_to)
        return Event(RECEIVED, kept.members, kept.received_at)
