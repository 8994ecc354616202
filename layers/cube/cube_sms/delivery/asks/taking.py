"""Taking what a device said: for those who wait for it, and for the event bus."""

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
    """What became of messages from a device.

    Parameters
    ----------
    error : str, optional
        Why not all of their events were published.
    told : TaskAnswers
        What came of telling the tasks that waited.
    untold : str, optional
        Why some tasks are to be told later. Whoever follows what is due does that.
    """

    error: str | None = None
    told: TaskAnswers = TaskAnswers()
    untold: str | None = None


class ReplyTaker:
    """Takes what devices say. Safe to share between threads.

    Parameters
    ----------
    asks : Asks
        Who waits for which device.
    bus : EventBus
        Where events go.
    tasks : Tasks
        The tasks that wait.
    history : ReplyRecords or None
        Where replies are kept, if devices have a history.
    """

    def __init__(self, asks: Asks, bus: EventBus, tasks: Tasks, history: ReplyRecords | None = None) -> None:
        self._asks = asks
        self._bus = bus
        self._tasks = tasks
        self._history = history

    def take(self, device: Device, received: Sequence[Received]) -> Taken:
        """Take messages from a device, each of which may have been taken before.

        Parameters
        ----------
        device : Device
            The device.
        received : sequence of Received
            What it said.

        Returns
        -------
        Taken
            What became of it.

        Raises
        ------
        SpoiledRecordError
            If somebody has changed the device's item so that it cannot be read.
        RecordsUnavailableError
            Where DynamoDB is away.
        """
        replies = [each.reply for each in received]
        # First which request each belongs to: from then on it is no other one's, whoever dies.
        meeting = self._asks.change(device, lambda known: known.hear(*replies))
        error = self.publish(received, meeting)
        return self.tell(device, meeting)._replace(error=error)

    def publish(self, received: Sequence[Received], meeting: Meeting) -> str | None:
        """Publish the events of messages from a device, and keep what its history tells of them.

        Parameters
        ----------
        received : sequence of Received
            The messages.
        meeting : Meeting
            What is known of the device.

        Returns
        -------
        str or None
            Why some events were not taken; None if all were.

        Raises
        ------
        RecordsUnavailableError
            If the table does not take what is to be kept.
        """
        events = [each.event(meeting.answered_by(each.event_id)) for each in received]
        errors = [error for some in batched(events, PUT_EVENTS_SIZE, strict=False) for error in self._bus.put(some)]
        # Whatever came of that: not every callback of the provider's is repeated.
        if self._history:
            for each in received:
                self._history.keep(each.kept(meeting.answered_by(each.event_id)))
        return next(filter(None, errors), None)

    def tell(self, device: Device, meeting: Meeting) -> Taken:
        """Tell the tasks that wait for a device what was decided.

        Parameters
        ----------
        device : Device
            The device.
        meeting : Meeting
            What is known of it.

        Returns
        -------
        Taken
            What came of it.
        """
        try:
            return Taken(told=tell_tasks(self._asks, self._tasks, device, meeting))
        except (BotoCoreError, ClientError, RecordsUnavailableError) as error:
            return Taken(untold=error_name(error))
