"""The lists of v4: messages to a SIM (MT), from the request log, and messages from it (MO), as a test sets them.

The member of a page's items is unpublished: here it is ``list``.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from local.cube_simulator.answers import RefusedError
from local.cube_simulator.books import Entry
from local.cube_simulator.limits import DAY, Clock

ORGANISATION = "local-organisation"
MOST_ITEMS = 100
ALL = 4
STATUSES = {1: "success", 2: "failed", 3: "processing"}
PROCESSING = 3
_KEPT_DAYS = 180
_DEFAULT_DAYS = 7
_TYPES = {"Text": 1, "Binary": 2, None: 1}


class Replies:
    """The messages from SIMs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._items: list[tuple[str, dict[str, object]]] = []

    def reset(self) -> None:
        """Forget all."""
        self._items.clear()

    def add(self, given: Mapping[str, object]) -> None:
        """Add a message: ``simId``, ``content``, and if it is not text, not now, ``type`` and ``receivedAt`` (ms).

        Raises
        ------
        ValueError
            If one of them is not valid.
        """
        sim, content, kind = given.get("simId"), given.get("content"), given.get("type", 1)
        at = given.get("receivedAt", int(self._clock.wall() * 1000))
        if not (isinstance(sim, str) and sim and isinstance(content, str)):
            raise ValueError("simId and content must be strings")
        if kind not in (1, 2) or isinstance(at, bool) or not isinstance(at, int):
            raise ValueError("type must be 1 or 2, and receivedAt whole milliseconds")
        item = {"received_at": at, "message": {"type": kind, "content": content}}
        self._items.append((sim, {"org_id": ORGANISATION, "sim_id": sim, "msisdn": _msisdn(sim), **item}))

    def of(self, sim: str) -> list[dict[str, object]]:
        """Return the messages from a SIM."""
        return [item for each, item in self._items if each == sim]


def sent_items(entries: Sequence[Entry], statuses: Sequence[int], delay: float, now: float) -> list[dict[str, object]]:
    """Return the items of messages to a SIM that were accepted.

    Parameters
    ----------
    entries
        The messages, the oldest first.
    statuses
        How each of them ends; those that come after have the last one.
    delay
        Seconds until it ends, and is processing.
    now
        Seconds since the epoch.
    """
    return [
        _sent_item(entry, statuses[min(number, len(statuses) - 1)] if now >= entry.at + delay else PROCESSING, delay)
        for number, entry in enumerate(entries)
    ]


def _sent_item(entry: Entry, status: int, delay: float) -> dict[str, object]:
    at, updated_at = (
        datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
        for seconds in (entry.at, entry.at + (0.0 if status == PROCESSING else delay))
    )
    error = {"code": "CB-04-0001", "message": "undelivered"} if status == 2 else {"code": "", "message": ""}
    return {
        "org_id": ORGANISATION,
        "sim_id": entry.device_id,
        "msisdn": _msisdn(entry.device_id or ""),
        "sent_at": at,
        "content": {"type": _TYPES[entry.message_type], "message": " ".join(text or "" for text in entry.contents)},
        "status": status,
        "source": "API",
        "user": entry.access_code,
        "update_at": updated_at,
        "error": error,
    }


def page(items: list[dict[str, object]], query: Mapping[str, object], now: float) -> dict[str, object]:
    """Return a page of a list, the newest first.

    Parameters
    ----------
    items
        All of the list, the oldest first.
    query
        ``status`` (of MT alone), ``begin_from`` and ``end_by`` (ms), ``page_no`` and ``page_size``.
    now
        Seconds since the epoch.

    Raises
    ------
    RefusedError
        If one of them is not valid.
    """
    end = _number(query, "end_by", int(now * 1000))
    begin = _number(query, "begin_from", end - _DEFAULT_DAYS * DAY * 1000)
    if begin > end or begin < (now - _KEPT_DAYS * DAY) * 1000:
        raise RefusedError("time-range")
    number, size = _number(query, "page_no", 1), _number(query, "page_size", 20)
    if number < 1 or not 1 <= size <= MOST_ITEMS:
        raise RefusedError("fields", f"page_no must be 1 or more, page_size 1 to {MOST_ITEMS}")
    status = _number(query, "status", ALL)
    if status not in (*STATUSES, ALL):
        raise RefusedError("fields", "status must be 1 to 4")
    found = [item for item in items if begin <= _milliseconds(item) <= end and status in (ALL, item.get("status"))]
    found.sort(key=_milliseconds, reverse=True)
    return {"total_count": len(found), "list": found[(number - 1) * size : number * size]}


def _milliseconds(item: dict[str, object]) -> float:
    if isinstance(at := item.get("received_at"), int):
        return at
    return round(datetime.fromisoformat(str(item["sent_at"])).timestamp() * 1000)


def _number(query: Mapping[str, object], name: str, default: int) -> int:
    value = str(query.get(name, default))
    if not re.fullmatch("[0-9]{1,15}", value, re.ASCII):
        raise RefusedError("fields", f"{name} must be a whole number")
    return int(value)


def _msisdn(sim: str) -> str:
    return f"+999{sim[-9:]}"
