"""Closing the gate for everybody while Cube refuses or is away, and finding out with one query when it is back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from cube_sms.platform import DAY, ConditionalUpdate

from .errors import GateClosedError
from .gate_item import REMEMBERED_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .errors import GateReason
    from .gate_item import GateItem

# So many times in a row a worker finds Cube unavailable, or broken, before it closes the gate.
FAILURES = 5

# Seconds the gate stays closed at first where Cube does not say; doubled with each probe that fails, up to the most.
THROTTLED_SECONDS = 1.0
UNAVAILABLE_SECONDS = 5.0
MOST_CLOSED_SECONDS = 300.0

# Cube's own word is taken up to a day: the quota is its longest limit.
MOST_RETRY_AFTER = float(DAY)

# Seconds after which others look again while one worker finds out whether Cube is back, and what that worker has beyond
# the time of a POST.
PROBING_SECONDS = 1.0
PROBE_MARGIN = 5.0


class Result(Protocol):
    """What a query came to, as far as the gate asks.

    Attributes
    ----------
    gate : {"nothing", "opens", "counts", "closes"}
        What it does to the gate: see `platform.Obstacle`.
    account : {"nothing", "opens", "counts"}
        What it does to the gate of its account.
    code : str or None
        The provider's code.
    retry_after : float or None
        Seconds the provider asks to wait.
    latency : float
        Seconds it took.
    """

    @property
    def gate(self) -> Literal["nothing", "opens", "counts", "closes"]: ...  # noqa: D102 - told above
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
        Where everybody sees that it is closed.
    longest_post : float
        The most seconds a query takes.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(self, item: GateItem, *, longest_post: float, clock: Callable[[], float]) -> None:
        self._item = item
        self._longest_post = longest_post
        self._clock = clock
        self._failures = 0
        # The item's closedUntil where this worker keeps the gate closed for a probe of its own.
        self._probe: str | None = None

    @property
    def closed_for(self) -> GateReason | None:
        """Why it is closed for everybody."""
        if self._item.number("closedUntil") > self._clock():
            # Whoever closes it by hand may leave out why.
            return self._item.get("closedFor") or "unavailable"  # type: ignore[return-value]  # only reasons are legible
        return None

    @property
    def is_probing(self) -> bool:
        """Whether it is closed for a probe of this worker's."""
        return self._probe is not None and self._item.get("closedUntil") == self._probe and self.closed_for is not None

    @property
    def is_open(self) -> bool:
        """Whether it is not closed, nor waits for a probe, as far as this worker knows."""
        return self._item.get("closedUntil") is None

    @property
    def is_in_doubt(self) -> bool:
        """Whether it was closed when this worker last looked, which is too long ago to go by."""
        reason = self.closed_for
        believed = PROBING_SECONDS if reason == "probing" else REMEMBERED_SECONDS
        return reason is not None and not self.is_probing and self._item.age >= believed

    def check(self) -> None:
        """Refuse where it is closed beyond doubt.

        Raises
        ------
        GateClosedError
            With why, and until when.
        """
        reason = self.closed_for
        if reason is None or self.is_probing or self.is_in_doubt:
            return
        until = self._item.number("closedUntil")
        if reason == "probing":
            # It opens as soon as the probe is answered.
            until = min(until, self._clock() + PROBING_SECONDS)
        raise GateClosedError(reason, until)

    def begin(self, update: ConditionalUpdate) -> bool:
        """Make a reservation depend on the gate being open, and return whether it has to be one for a probe.

        Parameters
        ----------
        update : ConditionalUpdate
            The reservation.

        Returns
        -------
        bool
            Whether the gate was closed until now, and one query is to find out whether Cube is back.

        Raises
        ------
        GateClosedError
            Where it is closed.
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
        """Close or open the gate for what a query came to.

        Parameters
        ----------
        post : Result
            What it came to.
        is_probe : bool
            Whether it was the query that was to find out.
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
            # Of its limits Cube knows when they allow more; one that is away does not know for how long.
            seconds = min(MOST_CLOSED_SECONDS, seconds * 2 ** (strikes - 1))
        seconds = min(MOST_RETRY_AFTER, max(seconds, retry_after or 0.0))
        update = ConditionalUpdate()
        until = self._clock() + seconds
        update.set("closedUntil", until)
        update.set("closedFor", reason)
        update.set("strikes", strikes)
        # Whoever has closed it for longer knows better; whoever is only finding out does not.
        update.require(
            update.absent("closedUntil"), update.less("closedUntil", until), update.equal("closedFor", "probing")
        )
        self._item.write_or_remember(update)

    def _open(self) -> None:
        update = ConditionalUpdate()
        update.remove("closedUntil", "closedFor", "strikes")
        update.require(update.equal("closedUntil", self._probe, is_number=True))
        self._item.write_or_remember(update)
