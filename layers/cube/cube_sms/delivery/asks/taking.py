"""Messages from devices: to the requests that wait, the event bus and the history."""

from __future__ import annotations

from itertools import batched
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from cube_sms.platform import PUT_EVENTS_SIZE, RecordsUnavailableError, TaskAnswers, error_name

from .telling import tell_tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cube_sms.delivery.records import ReplyRecords
    from cube_sms.platform import EventBus, Tasks

    from .meeting import Meeting
    from .received import Received
    from .store import Asks, Device


class Taken(NamedTuple):
    """The result for messages from a device.

    Parameters
    ----------
    error : str, optional
        Why some of their events were not published.
    told : TaskAnswers
        The answers to the tasks that waited.
    untold : str, optional
        Why some tasks have no answer yet. The follow-up answers them.
    """

    error: str | None = None
    told: TaskAnswers = TaskAnswers()
    untold: str | None = None


class ReplyTaker:
    """Takes messages from devices. Safe to share between threads.

    Parameters
    ----------
    asks : Asks
        The requests that wait.
    bus : EventBus
        The event bus.
    tasks : Tasks
        The tasks that wait.
    history : ReplyRecords or None
        Keeps replies, if devices have a history.
    """

    def __init__(self, asks: Asks, bus: EventBus, tasks: Tasks, history: ReplyRecords | None = None) -> None:
        self._asks = asks
        self._bus = bus
        self._tasks = tasks
        self._history = history

    def take(self, device: Device, received: Sequence[Received]) -> Taken:
        """Take messages from a device. A repeat of one is harmless.

        Parameters
        ----------
        device : Device
            The device.
        received : sequence of Received
            Its messages.

        Returns
        -------
        Taken
            The result.

        Raises
        ------
        SpoiledRecordError
            If a change by hand has made the device's item unreadable.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        replies = [each.reply for each in received]
        # First decide which request each reply answers. The decision stays, even if this worker crashes.
        meeting = self._asks.change(device, lambda known: known.hear(*replies))
        error = self.publish(received, meeting)
        return self.tell(device, meeting)._replace(error=error)

    def publish(self, received: Sequence[Received], meeting: Meeting) -> str | None:
        """Publish the events of messages from a device, and write them to its history.

        Parameters
        ----------
        received : sequence of Received
            The messages.
        meeting : Meeting
            The meeting of the device.

        Returns
        -------
        str or None
            Why EventBridge refused some events; None if it took all.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB does not take the entries of the history.
        """
        events = [each.event(meeting.answered_by(each.event_id)) for each in received]
        errors = [error for some in batched(events, PUT_EVENTS_SIZE, strict=False) for error in self._bus.put(some)]
        # Also if that failed: the provider may not repeat the callback.
        if self._history:
            for each in received:
                self._history.keep(each.kept(meeting.answered_by(each.event_id)))
        return next(filter(None, errors), None)

    def tell(self, device: Device, meeting: Meeting) -> Taken:
        """Answer the tasks that wait for a device.

        Parameters
        ----------
        device : Device
            The device.
        meeting : Meeting
            Its meeting.

        Returns
        -------
        Taken
            The answers, or why some tasks have none yet.
        """
        try:
            return Taken(told=tell_tasks(self._asks, self._tasks, device, meeting))
        except (BotoCoreError, ClientError, RecordsUnavailableError) as error:
            return Taken(untold=error_name(error))
