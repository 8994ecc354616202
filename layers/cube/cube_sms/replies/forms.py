"""The forms of a callback: how the provider writes a message from a device."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cube_sms.delivery import Received
from cube_sms.request import DeviceId  # noqa: TC001 - msgspec reads the annotations

# From 2001 to 2100. The range excludes seconds, and times that no date can hold.
Milliseconds = Annotated[
    int, Meta(ge=10**12, lt=4_102_444_800_000, description="milliseconds since the epoch, a number or its digits")
]


class OlderCallback(msgspec.Struct):
    """The callback of the older API. All values are strings, numbers too."""

    sim_id: DeviceId
    text_message: str
    received_at: Milliseconds
    message_type: Literal["Text", "Binary", ""] | None = None

    @property
    def facts(self) -> tuple[str, str, str, int]:
        """Device, type, content and time of the message."""
        # As in a send request, no type means Text.
        return self.sim_id, self.message_type or "Text", self.text_message, self.received_at


class NotificationMessage(msgspec.Struct):
    """The message of a notification of v4."""

    type: Literal[1, 2]
    content: str


class Notification(msgspec.Struct):
    """A notification of v4. Its form is unpublished, so this is an item of ``GET /sms/mo``."""

    sim_id: DeviceId
    received_at: Milliseconds
    message: NotificationMessage

    @property
    def facts(self) -> tuple[str, str, str, int]:
        """As of the older callback."""
        return self.sim_id, {1: "Text", 2: "Binary"}[self.message.type], self.message.content, self.received_at


FORMS: tuple[type[OlderCallback | Notification], ...] = (OlderCallback, Notification)
"""All forms."""


def read_received(account: str, body: bytes) -> Received | None:
    """Read the body of a verified callback.

    Parameters
    ----------
    account : str
        Account of the callback.
    body : bytes
        The body.

    Returns
    -------
    Received or None
        None if its form is unknown.
    """
    for form in FORMS:
        try:
            return Received(account, *msgspec.json.decode(body, type=form, strict=False).facts)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            continue
    return None
