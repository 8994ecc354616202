"""The items of devices that requests wait for, one for each device, in the table of records.

An item holds a `Meeting` as JSON. A write succeeds only if the item is unchanged since it was read, so each reply is
decided once. After the last request, the item stays empty until DynamoDB deletes it.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from cube_sms.delivery.errors import DeviceBusyError, SpoiledRecordError
from cube_sms.platform import DAY, KEY, ConditionalUpdate, Fault, RecordsUnavailableError, get_item, shard_of

from .meeting import MOST_ASKS, Meeting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Self

    from mypy_boto3_dynamodb import DynamoDBClient

WAITING_KEY = "#waiting#"
"""Prefix of the items' keys. No message has such a key, since every account has a name."""

# A write may lose against another one. After so many losses the caller has to repeat.
_TRIES = 5

# If a task has no answer after so long, the follow-up answers it.
_REPEAT_SECONDS = 60.0

# DynamoDB keeps the stream for a day. A record that Lambda repeats still finds the decision.
_KEPT_SECONDS = DAY


class Device(NamedTuple):
    """A device of an account.

    Parameters
    ----------
    account : str
        Name of the account.
    device_id : str
        Its id.
    """

    account: str
    device_id: str

    @property
    def key(self) -> str:
        """The key of its item."""
        return f"{WAITING_KEY}{self.account}#{self.device_id}"

    @classmethod
    def of_key(cls, key: str) -> Device:
        """Return the device of an item.

        Examples
        --------
        >>> Device.of_key("#waiting#default#89314404000939952215")
        Device(account='default', device_id='89314404000939952215')
        """
        account, _, device_id = key.removeprefix(WAITING_KEY).partition("#")
        return cls(account, device_id)


class Asks:
    """The requests that wait for replies, by device. Safe to share between threads.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    is_polled : bool
        Whether the gateway queries the provider for replies (`Replies=poll`).
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self, client: DynamoDBClient, table: str, *, is_polled: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._table = table
        self.is_polled = is_polled
        self._clock = clock

    @classmethod
    def if_any(cls, client: Callable[[], DynamoDBClient], table: str, replies: str) -> Self | None:
        """Return those of a deployment.

        Parameters
        ----------
        client : Callable[[], DynamoDBClient]
            Makes boto3's client, if it is needed.
        table : str
            Name of the table of records.
        replies : {"off", "callback", "poll"}
            How the gateway gets replies of devices.

        Returns
        -------
        Asks or None
            None if it gets none: then nothing waits for them.
        """
        return None if replies == "off" else cls(client(), table, is_polled=replies == "poll")

    def meeting(self, device: Device) -> Meeting:
        """Return the meeting of a device, by a consistent read.

        Parameters
        ----------
        device : Device
            The device.

        Returns
        -------
        Meeting
            An empty one if no request waits for it.

        Raises
        ------
        SpoiledRecordError
            If a change by hand has made the item unreadable.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        return _read(device, get_item(self._client, self._table, device.key))

    def expect(self, device: Device, request_id: str, *, may_be_sent: bool) -> Meeting:
        """Note that the POST of a request is about to begin: see `Meeting.expect`.

        Parameters
        ----------
        device : Device
            The device that it is sent to.
        request_id : str
            Its id.
        may_be_sent : bool
            Whether an earlier POST may have sent it.

        Returns
        -------
        Meeting
            The meeting of the device now.

        Raises
        ------
        DeviceBusyError
            If `MOST_ASKS` requests wait for the device.
        SpoiledRecordError, RecordsUnavailableError
            As for `meeting`.
        """

        def expected(meeting: Meeting) -> Meeting:
            meeting = meeting.pruned(self._clock())
            if len(meeting.asks) >= MOST_ASKS and not meeting.ask(request_id):
                raise DeviceBusyError(f"{MOST_ASKS} requests wait for the reply of this device")
            return meeting.expect(request_id, self._clock(), may_be_sent=may_be_sent)

        return self.change(device, expected)

    def change(self, device: Device, step: Callable[[Meeting], Meeting]) -> Meeting:
        """Change the meeting of a device: one read, and one write if the step changes anything.

        Parameters
        ----------
        device : Device
            The device.
        step : Callable[[Meeting], Meeting]
            Returns the changed meeting. It is called again if another write was first.

        Returns
        -------
        Meeting
            The meeting now, pruned.

        Raises
        ------
        SpoiledRecordError
            If a change by hand has made the item unreadable.
        RecordsUnavailableError
            If DynamoDB is unavailable, or other writes are always first.
        """
        item = get_item(self._client, self._table, device.key)
        for _ in range(_TRIES):
            seen = _read(device, item)
            now = self._clock()
            changed = step(seen).pruned(now)
            if changed == seen:
                return seen
            item, is_written = self._update(changed, item, device.key, now).write(self._client, self._table, device.key)
            if is_written:
                return changed
        raise RecordsUnavailableError("other writes of the device's item are always first")

    def _update(self, meeting: Meeting, seen: Mapping[str, Any], key: str, now: float) -> ConditionalUpdate:
        update = ConditionalUpdate()
        update.require(update.same("version", seen["version"]) if "version" in seen else update.absent(KEY))
        # Random, not a number: DynamoDB may delete the item, and another worker create it again with the same number.
        update.set("version", uuid.uuid4().hex)
        update.set("meeting", msgspec.json.encode(meeting).decode())
        update.set("ttl", float(int(max(now, meeting.kept_until) + _KEPT_SECONDS)))
        if due_at := self._due_at(meeting, now):
            update.set("due", shard_of(key))
            update.set("dueAt", due_at)
        else:
            update.remove("due", "dueAt")
        return update

    def _due_at(self, meeting: Meeting, now: float) -> float:
        """Return when the item is due for the follow-up; 0 if it is not."""
        times = [ask.until for ask in meeting.open_asks]
        if times and self.is_polled:
            times.append(meeting.next_poll)
        if meeting.verdicts:
            times.append(now + _REPEAT_SECONDS)
        return min(times, default=0.0)


def _read(device: Device, item: Mapping[str, Any]) -> Meeting:
    if not item:
        return Meeting()
    try:
        return msgspec.json.decode(item["meeting"]["S"], type=Meeting)
    except (KeyError, msgspec.MsgspecError):
        raise SpoiledRecordError(device.key, [Fault("meeting", "is not as the gateway writes it")]) from None
