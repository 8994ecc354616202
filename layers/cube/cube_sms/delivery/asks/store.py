"""The items of devices that somebody waits for, in the table of records: one for each device.

An item holds all of it as one JSON text and is written only where it is still as it was read, so that what was decided
about a reply is decided once. When nobody waits any more it stays, empty, until DynamoDB deletes it.
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
    from typing import Any

    from mypy_boto3_dynamodb import DynamoDBClient

WAITING_KEY = "#waiting#"
"""What keys of items begin with that tell who waits for a device: no account is without a name."""

# Another write comes between now and then. Who loses so often is to come again.
_TRIES = 5

# What is decided and not told after so long is told by whoever follows what is due.
_REPEAT_SECONDS = 60.0

# The day that the stream is kept: what it tells once more finds what was decided.
_KEPT_SECONDS = DAY


class Device(NamedTuple):
    """A device of an account.

    Parameters
    ----------
    account : str
        Whose it is.
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
    """Who waits for the reply of which device. Safe to share between threads.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    is_polled : bool
        Whether replies come because the provider is asked for them.
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

    def meeting(self, device: Device) -> Meeting:
        """Return what is known of a device, as DynamoDB has it at this moment.

        Parameters
        ----------
        device : Device
            The device.

        Returns
        -------
        Meeting
            An empty one if nobody waits for it.

        Raises
        ------
        SpoiledRecordError
            If somebody has changed the item so that it cannot be read.
        RecordsUnavailableError
            Where DynamoDB is away.
        """
        return _read(device, get_item(self._client, self._table, device.key))

    def expect(self, device: Device, request_id: str, *, may_be_sent: bool) -> Meeting:
        """Note that a request is about to be posted: see `Meeting.expect`.

        Parameters
        ----------
        device : Device
            Where it goes.
        request_id : str
            Its id.
        may_be_sent : bool
            Whether an earlier POST may have sent it.

        Returns
        -------
        Meeting
            What is known of the device now.

        Raises
        ------
        DeviceBusyError
            If as many requests wait for the device as there may be.
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
        """Change what is known of a device: one read, and one write if the step changes anything.

        Parameters
        ----------
        device : Device
            The device.
        step : Callable[[Meeting], Meeting]
            Returns what is to be known. It is called again if another write forestalls this one.

        Returns
        -------
        Meeting
            What is known now, without what nobody waits for any more.

        Raises
        ------
        SpoiledRecordError
            If somebody has changed the item so that it cannot be read.
        RecordsUnavailableError
            Where DynamoDB is away, or others write again and again.
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
        raise RecordsUnavailableError("others write the device's item again and again")

    def _update(self, meeting: Meeting, seen: Mapping[str, Any], key: str, now: float) -> ConditionalUpdate:
        update = ConditionalUpdate()
        update.require(update.same("version", seen["version"]) if "version" in seen else update.absent(KEY))
        # A new one each time, and no number: DynamoDB may delete the item meanwhile, and somebody make it anew.
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
        """Return when somebody has to look at it; 0 if nobody has to."""
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
