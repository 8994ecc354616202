"""Putting events onto the event bus."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from .errors import error_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

SOURCE = "cube-sms"
"""The source of all our events."""

PUT_EVENTS_SIZE = 10
"""What EventBridge takes at once."""

# Seconds before the events that EventBridge has not taken are put once more, on top of boto3's retries of whole calls.
PUT_PAUSES = (0.1, 0.5, 2.0)


class Event(NamedTuple):
    """An event of ours.

    Parameters
    ----------
    detail_type : str
        What EventBridge calls it.
    detail : dict
        Its content.
    time : str
        When it happened, in RFC 3339.
    """

    detail_type: str
    detail: dict[str, Any]
    time: str


class EventBus:
    """The event bus that our events go to.

    Parameters
    ----------
    client : EventBridgeClient
        boto3's client.
    name : str
        Name or ARN of the bus.
    sleep : Callable
        Waits for seconds.
    """

    def __init__(self, client: EventBridgeClient, name: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._name = name
        self._sleep = sleep

    def put(self, events: Sequence[Event]) -> list[str | None]:
        """Put events onto the bus, at most `PUT_EVENTS_SIZE` of them.

        Parameters
        ----------
        events : sequence of Event
            The events.

        Returns
        -------
        list of str or None
            For each event why it was not taken; None if it was. Never an error's text, which may quote the event.
        """
        errors: list[str | None] = [None] * len(events)
        left = list(range(len(events)))
        for pause in (*PUT_PAUSES, None):
            if not left:
                break
            try:
                answer = self._client.put_events(Entries=[self._entry(events[index]) for index in left])
            except (BotoCoreError, ClientError) as error:
                # boto3 has tried three times.
                for index in left:
                    errors[index] = error_name(error)
                break
            for index, entry in zip(left, answer["Entries"], strict=True):
                errors[index] = entry.get("ErrorCode")
            left = [index for index in left if errors[index]]
            if left and pause:
                self._sleep(pause)
        return errors

    def _entry(self, event: Event) -> PutEventsRequestEntryTypeDef:
        return {
            "EventBusName": self._name,
            "Source": SOURCE,
            "DetailType": event.detail_type,
            "Detail": msgspec.json.encode(event.detail).decode(),
            "Time": event.time,
        }
