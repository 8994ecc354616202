"""Receipts: the final states of messages that the provider has accepted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cube_sms.delivery import SpoiledRecordError, State, next_look
from cube_sms.pacing import NotNowError
from cube_sms.platform import Obstacle, RecordsUnavailableError, metrics
from cube_sms.provider import Listing
from cube_sms.request import mask_device_id

from .asking import NoListsError, ShareSpentError
from .matching import final_receipts, match_receipts, sent_at, window
from .report import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cube_sms.delivery import FollowedRecords, Record
    from cube_sms.provider import Receipt

    from .asking import Asker
    from .matching import Match


class ReceiptFollower:
    """Queries the receipts of messages that are due: one query for all those of a device.

    Parameters
    ----------
    records : FollowedRecords
        The messages' records.
    asker : Asker
        Queries the provider.
    window : float
        Seconds after sending in which receipts are queried.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self, records: FollowedRecords, asker: Asker, *, window: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._records = records
        self._asker = asker
        self._window = window
        self._clock = clock

    def follow(self, keys: Sequence[str], *, until: float) -> Iterator[Told]:
        """Query receipts: see `cube_sms.followup.runs.Follower`."""
        devices: dict[tuple[str, str], list[Record]] = {}
        found = self._records.read(keys)
        for record in sorted(
            found, key=lambda each: 0.0 if isinstance(each, SpoiledRecordError) else each.due_at or 0.0
        ):
            if isinstance(record, SpoiledRecordError):
                self._records.give_up(record.message_id)
                yield Told(error=record)
            elif record.state is not State.SENT or record.due_at is None or record.due_at > self._clock():
                # The index lags behind the table: the record was just handled.
                continue
            elif self._clock() - sent_at(record) >= self._window:
                if self._records.give_up(record.message_id):
                    yield _told(record, "receipt overdue", "warning", metrics.RECEIPTS_OVERDUE)
            else:
                account = record.message_id.partition("#")[0]
                devices.setdefault((account, str(record.device_id)), []).append(record)
        for (account, device_id), records in devices.items():
            if self._clock() + self._asker.longest > until:
                return
            yield from self._follow(account, device_id, records)

    def _follow(self, account: str, device_id: str, records: Sequence[Record]) -> Iterator[Told]:
        """Query the receipts of messages to one device."""
        matches: list[Match] = []
        try:
            receipts = self._ask(account, device_id, records)
            yield Told(account=account, counts={metrics.RECEIPTS_ASKED: 1})
            finals = final_receipts(account, device_id, receipts)
            wanted = {record.content_hash for record in records}
            candidates = [final for final in finals if final.content_hash in wanted]
            matches = match_receipts(records, candidates, self._records.used(final.key for final in candidates))
        except (NotNowError, ShareSpentError, RecordsUnavailableError):
            # The other devices would fail too. Their messages stay due.
            raise
        except NoListsError:
            # The account has changed to a dialect without lists.
            pass
        except Obstacle as error:
            counts = {metrics.RECEIPTS_FAILED: 1} | ({error.metric: 1} if error.metric else {})
            told = {"device_id": mask_device_id(device_id), "error": f"{type(error).__name__}: {error}"}
            yield Told(text="no receipts", level="warning", account=account, fields=told, counts=counts)
        except Exception as error:  # noqa: BLE001 - the other devices need their queries
            yield Told(account=account, error=error, counts={metrics.RECEIPTS_FAILED: 1})
        for record, final in matches:
            receipt = final.receipt
            state = State.DELIVERED if receipt.is_delivered else State.UNDELIVERED
            if self._records.settle(record, state, final.key, code=receipt.code, message=receipt.message):
                yield _settled(record, state, receipt, self._clock())
        matched = {match.record.message_id for match in matches}
        for record in records:
            if record.message_id not in matched:
                look = next_look(sent_at(record), self._clock())
                self._records.put_off(record, min(look, sent_at(record) + self._window))

    def _ask(self, account: str, device_id: str, records: Sequence[Record]) -> list[Receipt]:
        """Return all receipts of the period in which the messages can have been sent."""
        windows = [window(record) for record in records]
        since, until = min(begin for begin, _ in windows), min(self._clock(), max(end for _, end in windows))
        return self._asker.ask_all(
            account,
            lambda lists: lists.receipts,
            lambda credentials, page: Listing(credentials, device_id, since, until, page),
        )


def _settled(record: Record, state: State, receipt: Receipt, now: float) -> Told:
    lag = max(0.0, now - sent_at(record))
    return _told(
        record,
        f"message {state}",
        state.level,
        state.metric,
        {metrics.RECEIPT_LAG: round(lag * 1000)},
        code=receipt.code,
    )


def _told(record: Record, text: str, level: Any, metric: Any, more: Any = None, **fields: Any) -> Told:
    account, _, request_id = record.message_id.partition("#")
    return Told(
        text=text,
        level=level,
        account=account,
        fields={
            "request_id": request_id,
            "message_id": record.message_id,
            "device_id": mask_device_id(str(record.device_id)),
            **fields,
        },
        counts={metric: 1, **(more or {})},
    )
