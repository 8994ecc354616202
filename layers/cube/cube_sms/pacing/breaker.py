"""Close the gate for all while Cube refuses or is unavailable, and find out with one query when it works again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from cube_sms.platform import DAY, ConditionalUpdate

from .errors import GateClosedError
from .gate_item import REMEMBERED_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .errors import GateReason
    from .gate_item import GateItem

# A worker closes the gate if it finds Cube unavailable or broken this many times in a row.
FAILURES = 5

# Seconds that the gate stays closed at first, if Cube names no time. Each failed probe doubles them, up to the most.
THROTTLED_SECONDS = 1.0
UNAVAILABLE_SECONDS = 5.0
MOST_CLOSED_SECONDS = 300.0

# The longest wait that Cube can ask for: its longest limit is the daily quota.
MOST_RETRY_AFTER = float(DAY)

# While one worker sends the probe, the others look again after the first time. The probe may take as long as a POST and
# the second one.
PROBING_SECONDS = 1.0
PROBE_MARGIN = 5.0


class Result(Protocol):
    """The result of a query, as far as the gate needs it.

    Attributes
    ----------
    gate : {"nothing", "opens", "counts", "closes"}
        What the result does to the gate: see `platform.Obstacle`.
    account : {"nothing", "opens", "counts"}
        What it does to the gate of its account.
    code : str or None
        The provider's code.
    retry_after : float or None
        Seconds that the provider asks to wait.
    latency : float
        Seconds that the query took.
    """

    @property
    def gate(self) -> Literal["nothing", "opens", "counts", "closes"]: ...  # noqa: D102 - described above
    @property
    def account(self) -> Literal["nothing", "opens", "counts"]: ...  # noqa: D102
    @property
    def code(self) -> str | None: ...  # noqa: D102
    @property
    def retry_after(self) -> float | None: ...  # noqa: D102
    @property
    def latency(self) -> float: ...  # noqa: D102


class Breaker:
    """The part of the gate that closes and opens it.

    Parameters
    ----------
    item : GateItem
        The gate's item, which all workers see.
    longest_post : float
        The most seconds that a query takes.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(self, item: GateItem, *, longest_post: float, clock: Callable[[], float]) -> None:
        self._item = item
        self._longest_post = longest_post
        self._clock = clock
        self._failures = 0
        # The item's closedUntil while the gate is closed for a probe of this worker.
        self._probe: str | None = None

    @property
    def closed_for(self) -> GateReason | None:
        """Why it is closed for all accounts."""
        if self._item.number("closedUntil") > self._clock():
            # An operator who closes it by hand may leave out the reason.
            return self._item.get("closedFor") or "unavailable"  # type: ignore[return-value]  # only reasons are legible
        return None

    @property
    def is_probing(self) -> bool:
        """Whether it is closed for a probe of this worker."""
        return self._probe is not None and self._item.get("closedUntil") == self._probe and self.closed_for is not None

    @property
    def is_open(self) -> bool:
        """Whether it is open and needs no probe, as far as this worker knows."""
        return self._item.get("closedUntil") is None

    @property
    def is_in_doubt(self) -> bool:
        """Whether it was closed when this worker last looked, and that is too long ago to rely on."""
        reason = self.closed_for
        believed = PROBING_SECONDS if reason == "probing" else REMEMBERED_SECONDS
        return reason is not None and not self.is_probing and self._item.age >= believed

    def check(self) -> None:
        """Refuse a query if the gate is closed and that is not in doubt.

        Raises
        ------
        GateClosedError
            With the reason, and the time when to try again.
        """
        reason = self.closed_for
        if reason is None or self.is_probing or self.is_in_doubt:
            return
        until = self._item.number("closedUntil")
        if reason == "probing":
            # The answer to the probe may open it at any moment.
            until = min(until, self._clock() + PROBING_SECONDS)
        raise GateClosedError(reason, until)

    def begin(self, update: ConditionalUpdate) -> bool:
        """Make a reservation depend on an open gate, and return whether it is for a probe.

        Parameters
        ----------
        update : ConditionalUpdate
            The reservation.

        Returns
        -------
        bool
            Whether the gate was closed until now, so that one query has to find out whether Cube works again.

        Raises
        ------
        GateClosedError
            If it is closed.
        """
        self.check()
        closed_until = self._item.get("closedUntil")
        if closed_until is None or self.is_in_doubt:
            update.require(update.absent("closedUntil"))
            return False
        update.require(update.equal("closedUntil", closed_until, is_number=True))
        update.set("closedUntil", self._clock() + self._longest_post + PROBE_MARGIN)
        update.set("closedFor", "probing")
        return True

    def begun(self, *, is_probe: bool) -> None:
        """Note that the reservation was written."""
        self._probe = self._item.get("closedUntil") if is_probe else None

    def report(self, post: Result, *, is_probe: bool) -> None:
        """Close or open the gate by the result of a query.

        Parameters
        ----------
        post : Result
            The query's result.
        is_probe : bool
            Whether the query was the probe.
        """
        is_probe = is_probe and self.is_probing
        if post.gate == "closes":
            self._close("throttled", THROTTLED_SECONDS, post.retry_after, is_probe=is_probe)
        elif post.gate == "opens":
            self._failures = 0
            if is_probe:
                self._open()
        else:
            counts = post.gate == "counts"
            self._failures += counts
            if is_probe or (counts and self._failures >= FAILURES):
                self._close("unavailable", UNAVAILABLE_SECONDS, post.retry_after, is_probe=is_probe)

    def _close(self, reason: GateReason, seconds: float, retry_after: float | None, *, is_probe: bool) -> None:
        strikes = int(self._item.number("strikes")) + 1 if is_probe else 1
        if retry_after is None or reason == "unavailable":
            # Cube knows when its limits allow more queries. It does not know how long it will be unavailable.
            seconds = min(MOST_CLOSED_SECONDS, seconds * 2 ** (strikes - 1))
        seconds = min(MOST_RETRY_AFTER, max(seconds, retry_after or 0.0))
        update = ConditionalUpdate()
        until = self._clock() + seconds
        update.set("closedUntil", until)
        update.set("closedFor", reason)
        update.set("strikes", strikes)
        # A worker that has closed the gate for longer knows better. A worker that only sends the probe does not.
        update.require(
            update.absent("closedUntil"), update.less("closedUntil", until), update.equal("closedFor", "probing")
        )
        self._item.write_or_remember(update)

    def _open(self) -> None:
        update = ConditionalUpdate()
        update.remove("closedUntil", "closedFor", "strikes")
        update.require(update.equal("closedUntil", self._probe, is_number=True))
        self._item.write_or_remember(update)
