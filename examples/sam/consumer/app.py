"""Consume outcome events of cube-sms: print a line for each message that was not sent or not delivered."""

from __future__ import annotations

import json
from typing import Any


def handler(event: dict[str, Any], _context: object) -> None:
    """Take one event.

    An event can arrive more than once, with the same eventId. A consumer that must act once keeps the ids it has seen.
    """
    detail = event["detail"]
    members = ("eventId", "requestId", "account", "deviceId", "state", "code", "reason")
    print(json.dumps({"event": event["detail-type"], **{name: detail[name] for name in members}}))
