"""The request log: what arrived, what was accepted, and how fast. Tests compare a client's records with it."""

from collections import Counter
from dataclasses import dataclass, field, fields

from local.cube_simulator.config import camel_case
from local.cube_simulator.limits import Clock, Window
from local.cube_simulator.request import Told


@dataclass(slots=True)
class Entry:
    """One message of a query that sends: a query of v4 has one for each SIM, under the query's number."""

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
    nonce: str | None = None
    job_id: str | None = None

    def shown(self) -> dict[str, object]:
        """Return the entry in its JSON form."""
        return {camel_case(each.name): getattr(self, each.name) for each in fields(self)}


class Query:
    """A query that sends, with the entry of each of its messages."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries

    def note(self, **values: object) -> None:
        """Set fields of all its entries."""
        for entry in self.entries:
            for name, value in values.items():
                setattr(entry, name, value)


@dataclass(slots=True)
class _Counts:
    """What a reset sets back to nothing."""

    entries: list[Entry] = field(default_factory=list)
    queries: int = 0
    accepted: int = 0
    repeated: int = 0
    messages: int = 0
    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    rate: Window = field(default_factory=Window)
    accepted_rate: Window = field(default_factory=Window)
    connections: int = 0


class Books:
    """Every message in order, and the counts over the queries: received = accepted + repeated + the sum of refused."""

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

    def arrive(self, connection: int) -> None:
        """Book that a query came over a connection."""
        if connection not in self._open:
            self._open.add(connection)
            self._counts.connections += 1
            self._highest_open = max(self._highest_open, len(self._open))

    def read(self, connection: int) -> None:
        """Book a query that reads."""
        self.arrive(connection)
        self._counts.read += 1

    def receive(self, connection: int, told: Told) -> Query:
        """Open the entries of a query that sends, of which nothing has been checked yet."""
        self.arrive(connection)
        counts = self._counts
        self._in_flight += 1
        self._highest_in_flight = max(self._highest_in_flight, self._in_flight)
        counts.rate.add(self._clock.monotonic())
        counts.queries += 1
        query = Query(
            [
                Entry(
                    n=counts.queries,
                    at=self._clock.wall(),
                    device_id=device,
                    access_code=told.account,
                    message_type=told.message_type,
                    contents=told.contents,
                    connection=connection,
                    nonce=told.nonce,
                )
                for device in told.devices or [None]
            ]
        )
        counts.entries += query.entries
        return query

    def accept(self, query: Query, job_id: str | None) -> None:
        """Book a query as accepted."""
        query.note(accepted=True, job_id=job_id)
        self._counts.accepted += 1
        self._counts.messages += len(query.entries)
        self._counts.accepted_rate.add(self._clock.monotonic())

    def repeat(self, query: Query, job_id: str) -> None:
        """Book a query as one that was accepted before: its messages count once."""
        query.note(reason="repeat", job_id=job_id)
        self._counts.repeated += 1

    def refuse(self, query: Query, reason: str, status: int) -> None:
        """Book a query as refused; status 0 is one without an answer."""
        query.note(reason=reason)
        self._counts.refused[str(status or "none")] += 1
        self._counts.reasons[reason] += 1

    def strike(self, query: Query, kind: str, fault: str) -> None:
        """Book that a fault befell a query."""
        query.note(fault=fault)
        self._counts.faults[kind] += 1

    def finish(self) -> None:
        """Book that a query is no longer in flight."""
        self._in_flight -= 1

    def close(self, connection: int) -> None:
        """Book the end of a connection."""
        self._open.discard(connection)

    def requests(self, device: str | None = None) -> list[dict[str, object]]:
        """Return the entries, of one device if it is given."""
        return [entry.shown() for entry in self._counts.entries if device in (None, entry.device_id)]

    def accepted(self, device: str) -> list[Entry]:
        """Return the messages to a device that were accepted."""
        return [entry for entry in self._counts.entries if entry.accepted and entry.device_id == device]

    def stats(self) -> dict[str, object]:
        """Return the counts."""
        counts = self._counts
        return {
            "received": counts.queries,
            "accepted": counts.accepted,
            "repeated": counts.repeated,
            "messages": counts.messages,
            "read": counts.read,
            "refused": counts.refused,
            "reasons": counts.reasons,
            "faults": counts.faults,
            "highestRate": counts.rate.highest,
            "highestAcceptedRate": counts.accepted_rate.highest,
            "highestConcurrency": self._highest_open,
            "highestInFlight": self._highest_in_flight,
            "connections": counts.connections,
        }
