"""Publisher: reports outcomes to EventBridge, and to the Step Functions tasks that wait."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from cube_sms.delivery import Device, Meeting, SpoiledRecordError, tell_tasks
from cube_sms.platform import PUT_EVENTS_SIZE, Event, RecordsUnavailableError, TaskAnswers, error_name, key_of

from .events import read_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cube_sms.delivery import Asks
    from cube_sms.platform import EventBus, Tasks

    from .events import Ended


@dataclass(slots=True)
class Published:
    """The result for one record of the stream.

    Parameters
    ----------
    sequence_number, message_id : str
        Of the record, and the key of its item.
    ended : Ended, optional
        The end that it reports; None if nothing has ended.
    published_at : float, optional
        Seconds since the epoch at which EventBridge had taken the event, if there was one.
    told : TaskAnswers
        The results of answers to the tasks that wait.
    error : str, optional
        Why it was not published.
    spoiled : SpoiledRecordError, optional
        Why it is not published at all: somebody has changed it by hand, and it reads no better the next time.
    comes_again : bool
        Whether Lambda is to repeat it.
    """

    sequence_number: str
    message_id: str
    ended: Ended | None = None
    published_at: float | None = None
    told: TaskAnswers = field(default_factory=TaskAnswers)
    error: str | None = None
    spoiled: SpoiledRecordError | None = None
    comes_again: bool = False


class OutcomePublisher:
    """Publishes the outcomes in the stream of the table of records.

    Parameters
    ----------
    bus : EventBus
        Takes the events.
    tasks : Tasks
        The tasks that wait.
    asks : Asks or None
        Keeps which of them wait for a device's reply; None if the gateway does not learn of replies.
    clock : Callable
        Seconds since the epoch.
    """

    def __init__(
        self,
        bus: EventBus,
        tasks: Tasks,
        asks: Asks | None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._bus = bus
        self._tasks = tasks
        self._asks = asks
        self._clock = clock

    def publish(self, changes: Sequence[Mapping[str, Any]]) -> Iterator[Published]:
        """Publish a batch of the stream, in its order and up to the first record that has to come again.

        Parameters
        ----------
        changes : sequence of mapping
            The records of Lambda's DynamoDB event.

        Yields
        ------
        Published
            One for each record that was begun. Lambda repeats all from the first one with an error. What follows it was
            not published, or was in the same call to EventBridge.
        """
        for batch in batched(changes, PUT_EVENTS_SIZE, strict=False):
            published: list[Published] = []
            for change in batch:
                published.append(self._answer(change))
                # All that follows comes again with it: events would be published twice, tasks tried in vain.
                if published[-1].comes_again:
                    break
            self._put([one for one in published if one.ended and one.ended.is_news and not one.error])
            yield from published
            if any(one.comes_again for one in published):
                return

    def _answer(self, change: Mapping[str, Any]) -> Published:
        # Before the event: a second answer has no effect on a task, but a consumer may notice a second event.
        published = Published(change["dynamodb"]["SequenceNumber"], key_of(change["dynamodb"]["Keys"]))
        try:
            published.ended = ended = read_end(change)
        except SpoiledRecordError as error:
            published.spoiled = error
            return published
        try:
            published.told = self._tell(ended) if ended else TaskAnswers()
        except (BotoCoreError, ClientError, RecordsUnavailableError) as error:
            published.error, published.comes_again = error_name(error), True
        except SpoiledRecordError as error:
            published.spoiled = error
        return published

    def _tell(self, ended: Ended) -> TaskAnswers:
        if ended.await_reply and ended.task_tokens:
            device = Device(ended.detail["account"], ended.detail["deviceId"])
            if ended.is_sent:
                return self._await_reply(device, ended, ended.await_reply)
            if self._asks:
                self._asks.change(device, partial(Meeting.withdraw, request_id=ended.detail["requestId"]))
        if ended.is_sent:
            return self._tasks.succeed(ended.task_tokens, ended.detail)
        return self._tasks.fail(ended.task_tokens, ended.outcome, ended.detail)

    def _await_reply(self, device: Device, ended: Ended, seconds: int) -> TaskAnswers:
        # Of what has ended by its receipt, the record does not say any more when it was sent. Who asks for it only then
        # waits no longer than who has asked before.
        at = datetime.fromisoformat(ended.detail["updatedAt" if ended.outcome == "Sent" else "createdAt"])
        sent = partial(Meeting.sent, request_id=ended.detail["requestId"], at=at.timestamp(), tokens=ended.task_tokens)
        if self._asks:
            # The device may have answered before this was known.
            meeting = self._asks.change(device, partial(sent, seconds=seconds))
        else:
            # `Replies` was turned off after a worker accepted the request. No reply can arrive, so no time is left.
            meeting = sent(Meeting(), seconds=0.0).expire(at.timestamp())
        return tell_tasks(self._asks, self._tasks, device, meeting)

    def _put(self, published: Sequence[Published]) -> None:
        events = [_event(one.ended) for one in published if one.ended]
        for one, error in zip(published, self._bus.put(events), strict=True):
            one.error, one.comes_again = error, error is not None
            one.published_at = None if error else self._clock()


def _event(ended: Ended) -> Event:
    return Event(ended.detail_type, ended.detail, ended.detail["updatedAt"])
