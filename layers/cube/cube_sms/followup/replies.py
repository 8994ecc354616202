"""Replies to requests that wait, and the end of their time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cube_sms.delivery import CLOCK_TOLERANCE, Device, Received, SpoiledRecordError
from cube_sms.pacing import NotNowError
from cube_sms.platform import Obstacle, RecordsUnavailableError, metrics
from cube_sms.provider import Listing
from cube_sms.request import mask_device_id

from .asking import NoListsError, ShareSpentError
from .report import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cube_sms.delivery import Asks, Meeting, ReplyTaker
    from cube_sms.platform import Level, Metric

    from .asking import Asker

# If the provider cannot be queried at the end of a request's time, the request waits up to so many seconds longer.
LAST_LOOK_PATIENCE = 600.0


class ReplyFollower:
    """Follows requests that wait for a device: queries its replies, answers tasks, and ends the requests' time.

    Parameters
    ----------
    asks : Asks
        The requests that wait.
    taker : ReplyTaker
        Takes messages from devices.
    asker : Asker
        Queries the provider.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(self, asks: Asks, taker: ReplyTaker, asker: Asker, *, clock: Callable[[], float] = time.time) -> None:
        self._asks = asks
        self._taker = taker
        self._asker = asker
        self._clock = clock

    def follow(self, keys: Sequence[str], *, until: float) -> Iterator[Told]:
        """Follow devices: see `cube_sms.followup.runs.Follower`."""
        hindrance: NotNowError | ShareSpentError | None = None
        for device in map(Device.of_key, keys):
            if self._clock() + self._asker.longest > until:
                return
            heard: list[Received] | None = None
            try:
                seen = self._asks.meeting(device)
                if self._asks.is_polled and seen.is_poll_due(self._clock()) and hindrance is None:
                    heard = self._ask(device, seen)
            except (NotNowError, ShareSpentError) as error:
                # No device can be queried now. What needs no query goes on.
                hindrance = error
            except RecordsUnavailableError:
                raise
            except SpoiledRecordError as error:
                yield Told(account=device.account, error=error)
                continue
            except Obstacle as error:
                counts = {error.metric: 1.0} if error.metric else {}
                yield _told(
                    device, "replies not asked for", "warning", counts, error=f"{type(error).__name__}: {error}"
                )
            except Exception as error:  # noqa: BLE001 - the other devices need their queries
                yield Told(account=device.account, error=error)
            yield from self._settle(device, seen, heard)
        if hindrance:
            raise hindrance

    def _ask(self, device: Device, seen: Meeting) -> list[Received]:
        """Query the replies of a device since the oldest open request began."""
        since = min(ask.begun_at for ask in seen.open_asks) - CLOCK_TOLERANCE
        try:
            found = self._asker.ask_all(
                device.account,
                lambda lists: lists.heard,
                lambda credentials, page: Listing(credentials, device.device_id, since, self._clock(), page),
            )
        except NoListsError:
            # The account has changed to a dialect without lists since the request was accepted.
            return []
        return [Received(*device, each.message_type, each.text, each.received_at) for each in found]

    def _settle(self, device: Device, seen: Meeting, heard: Sequence[Received] | None) -> Iterator[Told]:
        """Decide which replies answer which requests, publish them, and answer the tasks."""
        meeting = self._decide(device, heard)
        # The provider repeats no list by itself. So the event goes out before the task's answer, which clears the item.
        if self._asks.is_polled and (published := self._publish(device, seen, heard or (), meeting)):
            yield published
            if published.level == "error":
                return
        yield from self._tell(device, meeting)

    def _decide(self, device: Device, heard: Sequence[Received] | None) -> Meeting:
        now, replies = self._clock(), [each.reply for each in heard or ()]
        # Until the last query, the provider may have a reply that arrived in time.
        over_by = now if heard is not None or not self._asks.is_polled else now - LAST_LOOK_PATIENCE

        def decided(known: Meeting) -> Meeting:
            known = known if heard is None else known.polled(now)
            return known.hear(*replies).expire(over_by)

        return self._asks.change(device, decided)

    def _publish(self, device: Device, seen: Meeting, heard: Sequence[Received], meeting: Meeting) -> Told | None:
        """Publish the events of new replies, and of those that the last run may have left unpublished."""
        news = [each for each in heard if not seen.answered_by(each.event_id)]
        news += [Received.of(device, verdict.reply) for verdict in seen.verdicts if verdict.reply]
        if error := self._taker.publish(news, meeting):
            return _told(device, "reply not published", "error", error=error)
        return _told(device, "reply published", "info", {metrics.REPLIES_PUBLISHED: len(news)}) if news else None

    def _tell(self, device: Device, meeting: Meeting) -> Iterator[Told]:
        """Answer the tasks."""
        taken = self._taker.tell(device, meeting)
        for request_id in (verdict.ask.request_id for verdict in meeting.verdicts if not verdict.reply):
            yield _told(device, "no reply in time", "info", {metrics.REPLIES_MISSED: 1}, request_id=request_id)
        if taken.untold:
            yield _told(device, "tasks are answered later", "warning", error=taken.untold)
        if taken.told.unanswered:
            yield _told(device, "task not answered", taken.told.level, errors=taken.told.unanswered)
        # These counts belong to no account.
        yield Told(counts=taken.told.counts)


def _told(device: Device, text: str, level: Level, counts: Mapping[Metric, float] | None = None, **fields: Any) -> Told:
    fields["device_id"] = mask_device_id(device.device_id)
    return Told(text=text, level=level, account=device.account, fields=fields, counts=counts or {})
