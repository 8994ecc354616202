"""Publisher: tells EventBridge, and the Step Functions tasks that wait, what became of messages."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from cube_sms.delivery import SpoiledRecordError
from cube_sms.platform import PUT_EVENTS_SIZE, Event, error_name, key_of

from .events import read_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_stepfunctions import SFNClient

    from cube_sms.platform import EventBus

    from .events import Ended

# What Step Functions says of a token, and not of the call: the task is over, the token is none or another account's,
# the state machine's key is not for us. Nobody's events must wait for somebody else's token.
_NOBODY_WAITS = frozenset({"TaskDoesNotExist", "TaskTimedOut", "InvalidToken", "InvalidOutput", "ValidationException"})

# What it says where we may not answer. A workflow's key may be why, and must not hold up everybody's events either.
# But our own role may be, and then every workflow waits in vain: these are counted for themselves, and alarm.
_REFUSED = frozenset({"AccessDeniedException", "KmsAccessDeniedException", "KmsInvalidStateException"})


@dataclass(slots=True)
class Published:
    """What became of one record of the stream.

    Parameters
    ----------
    sequence_number, message_id : str
        Of the record, and the key of its item.
    ended : Ended, optional
        What it tells; None where nothing has ended.
    published_at : float, optional
        Seconds since the epoch at which EventBridge had taken the event, where there was one.
    answered : int
        Tasks that were told.
    unanswered : tuple of str
        Why Step Functions took no answer for others.
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
    answered: int = 0
    unanswered: tuple[str, ...] = ()
    error: str | None = None
    spoiled: SpoiledRecordError | None = None
    comes_again: bool = False

    @property
    def refused(self) -> int:
        """How many of the answers that were not taken we were not allowed to give."""
        return sum(error in _REFUSED for error in self.unanswered)


class OutcomePublisher:
    """Publishes what the stream of the table of records tells.

    Parameters
    ----------
    bus : EventBus
        Where events go.
    step_functions : Callable[[], SFNClient]
        Makes boto3's client, when the first task waits.
    clock : Callable
        Seconds since the epoch.
    """

    def __init__(
        self,
        bus: EventBus,
        step_functions: Callable[[], SFNClient],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._bus = bus
        self._step_functions = step_functions
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
            One for each record that was begun. Lambda repeats all from the first one with an error; what follows it was
            not published, or stood in the same call to EventBridge.
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
        # Before the event: a task that is told twice does not notice, a consumer of events may.
        published = Published(change["dynamodb"]["SequenceNumber"], key_of(change["dynamodb"]["Keys"]))
        try:
            published.ended = ended = read_end(change)
        except SpoiledRecordError as error:
            published.spoiled = error
            return published
        try:
            refusals = [self._tell(token, ended) for token in sorted(ended.task_tokens)] if ended else []
        except (BotoCoreError, ClientError) as error:
            published.error, published.comes_again = error_name(error), True
            return published
        published.unanswered = tuple(filter(None, refusals))
        published.answered = len(refusals) - len(published.unanswered)
        return published

    def _tell(self, token: str, ended: Ended) -> str | None:
        client = self._step_functions()
        detail = msgspec.json.encode(ended.detail).decode()
        try:
            if ended.is_sent:
                client.send_task_success(taskToken=token, output=detail)
            else:
                client.send_task_failure(taskToken=token, error=f"CubeSms.{ended.outcome}", cause=detail)
        except ClientError as error:
            if error_name(error) not in _NOBODY_WAITS | _REFUSED:
                raise
            return error_name(error)
        return None

    def _put(self, published: Sequence[Published]) -> None:
        events = [_event(one.ended) for one in published if one.ended]
        for one, error in zip(published, self._bus.put(events), strict=True):
            one.error, one.comes_again = error, error is not None
            one.published_at = None if error else self._clock()


def _event(ended: Ended) -> Event:
    return Event(ended.detail_type, ended.detail, ended.detail["updatedAt"])
