"""The books: what arrived, what was accepted, and how fast; the truth that tests compare a client's records with."""

from collections import Counter
from dataclasses import dataclass, field, fields

from local.cube_simulator.config import camel_case
from local.cube_simulator.limits import Clock, Window


@dataclass(slots=True)
class Entry:
    """One sendSms request."""

    n: int
    at: float
    device_id: str | None
    access_code: str | None
    message_type: str | None
    contents: list[str | None]
    status: int | None = None
    accepted: bool = False
    reason: str | None = None
    fault: str | None = None
    connection: int = 0

    def shown(self) -> dict[str, object]:
        """Return the entry in its JSON form."""
        return {camel_case(each.name): getattr(self, each.name) for each in fields(self)}


@dataclass(slots=True)
class _Counts:
    """What a reset sets back to nothing."""

    entries: list[Entry] = field(default_factory=list)
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    rate: Window = field(default_factory=Window)
    accepted_rate: Window = field(default_factory=Window)
    connections: int = 0


class Books:
    """Every sendSms request in order, and the counts over them: received = accepted + the sum of refused."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: set[int] = set()
        self._in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Forget what happened. Connections and requests still open are counted on: they are still there."""
        self._counts = _Counts()
        self._highest_open = len(self._open)
        self._highest_in_flight = self._in_flight

    def receive(self, connection: int, parameters: dict[str, object]) -> Entry:
        """Open the entry of a request, of which nothing has been checked yet."""
        counts = self._counts
        if connection not in self._open:
            self._open.add(connection)
            counts.connections += 1
            self._highest_open = max(self._highest_open, len(self._open))
        self._in_flight += 1
        self._highest_in_flight = max(self._highest_in_flight, self._in_flight)
        counts.rate.add(self._clock.monotonic())
        items = parameters.get("smsContentList")
        entry = Entry(
            n=len(counts.entries) + 1,
            at=self._clock.wall(),
            device_id=_text(parameters.get("deviceId")),
            access_code=_text(parameters.get("access_code")),
            message_type=_text(parameters.get("messageType")),
            contents=[
                _text(item.get("smsTemplateContent"))
                for item in (items if isinstance(items, list) else [])
                if isinstance(item, dict)
            ],
            connection=connection,
        )
        counts.entries.append(entry)
        return entry

    def accept(self, entry: Entry) -> None:
        """Book a request as accepted."""
        entry.accepted = True
        self._counts.accepted += 1
        self._counts.accepted_rate.add(self._clock.monotonic())

    def refuse(self, entry: Entry, reason: str, status: int) -> None:
        """Book a request as refused; status 0 is one without an answer."""
        entry.reason = reason
        self._counts.refused[str(status or "none")] += 1
        self._counts.reasons[reason] += 1

    def strike(self, entry: Entry, kind: str, fault: str) -> None:
        """Book that a fault befell a request."""
        entry.fault = fault
        self._counts.faults[kind] += 1

    def finish(self) -> None:
        """Book that a request is no longer in flight."""
        self._in_flight -= 1

    def close(self, connection: int) -> None:
        """Book the end of a connection."""
        self._open.discard(connection)

    def requests(self, device: str | None = None) -> list[dict[str, object]]:
        """Return the entries, of one device if it is given."""
        return [entry.shown() for entry in self._counts.entries if device in (None, entry.device_id)]

    def stats(self) -> dict[str, object]:
        """Return the counts."""
        counts = self._counts
        return {
            "received": len(counts.entries),
            "accepted": counts.accepted,
            "refused": counts.refused,
            "reasons": counts.reasons,
            "faults": counts.faults,
            "highestRate": counts.rate.highest,
            "highestAcceptedRate": counts.accepted_rate.highest,
            "highestConcurrency": self._highest_open,
            "highestInFlight": self._highest_in_flight,
            "connections": counts.connections,
        }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
