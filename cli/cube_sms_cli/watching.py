"""A campaign as it goes on: a bar that is redrawn on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from cube_sms.campaigns.outcomes import NOT_TRIED
from cube_sms.delivery import State

from .campaigns import UNDER_WAY
from .times import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .output import Output

# Seconds between two looks. Each is an invocation of a function. Its answer is as fresh as a look at a batch.
LOOK_SECONDS = 2.0

# Seconds between two lines, without a terminal.
LINE_SECONDS = 10.0

_WAITING = frozenset({NOT_TRIED, *(state for state in State if not state.is_final)})


def watch(
    out: Output,
    told: dict[str, Any],
    show: Callable[[], dict[str, Any]],
    hint: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """Show how far a campaign is until it goes on no longer.

    Parameters
    ----------
    out : Output
        Takes the lines.
    told : dict
        How far it is at first.
    show : Callable[[], dict]
        Returns how far it is.
    hint : str
        What Ctrl-C does.
    sleep : Callable[[float], None]
        Waits for seconds.
    clock : Callable[[], float]
        Seconds since the epoch.

    Returns
    -------
    dict
        How far it is at its end.
    """
    if not out.progress_console.is_terminal:
        return _watch_by_lines(out, told, show, sleep=sleep, clock=clock)
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        console=out.progress_console,
        expand=True,
    )
    task = bar.add_task(told["campaign"], total=told["rows"])
    receipts = bar.add_task("delivered", total=None, visible=told["hasReceipts"])
    with Live(console=out.progress_console, auto_refresh=False, transient=True) as live:
        while told["status"] in UNDER_WAY:
            bar.update(task, completed=ended(told["states"]), total=told["rows"])
            bar.update(receipts, completed=told["states"].get(State.DELIVERED, 0), total=sent(told["states"]))
            lines = (pace(told, clock()), counts(told["states"]), hint)
            live.update(Group(bar, *map(Text, lines)), refresh=True)
            sleep(LOOK_SECONDS)
            told = show()
    return told


def _watch_by_lines(
    out: Output,
    told: dict[str, Any],
    show: Callable[[], dict[str, Any]],
    *,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> dict[str, Any]:
    said: tuple[object, ...] = ()
    said_at = 0.0
    while told["status"] in UNDER_WAY:
        news = (told["status"], told["states"])
        if news != said and clock() - said_at >= LINE_SECONDS:
            line = f"{ended(told['states'])} of {told['rows']} rows have ended, {deliveries(told)}{pace(told, clock())}"
            out.note(f"{told['campaign']}: {line} ({counts(told['states'])})")
            said, said_at = news, clock()
        sleep(LOOK_SECONDS)
        told = show()
    return told


def ended(states: Mapping[str, int]) -> int:
    """Return how many rows have ended.

    Examples
    --------
    >>> ended({"SENT": 3, "REFUSED": 1, "QUEUED": 2, "NOT_TRIED": 4})
    4
    """
    return sum(count for state, count in states.items() if state not in _WAITING)


def sent(states: Mapping[str, int]) -> int:
    """Return how many messages Cube has accepted, with any receipt or none.

    Examples
    --------
    >>> sent({"SENT": 3, "DELIVERED": 2, "UNDELIVERED": 1, "REJECTED": 4})
    6
    """
    return sum(states.get(state, 0) for state in State if state.is_sent)


def deliveries(told: Mapping[str, Any]) -> str:
    """Return how many messages have reached their devices, for the middle of a line. Without receipts it is empty.

    Examples
    --------
    >>> deliveries({"hasReceipts": True, "states": {"SENT": 3, "DELIVERED": 2, "UNDELIVERED": 1}})
    '2 of 6 delivered, 1 undelivered, '
    """
    if not told["hasReceipts"]:
        return ""
    states = told["states"]
    delivered, undelivered = states.get(State.DELIVERED, 0), states.get(State.UNDELIVERED, 0)
    return f"{delivered} of {sent(states)} delivered, {undelivered} undelivered, "


def counts(states: Mapping[str, int]) -> str:
    """Return how many rows are in which state, on one line.

    Examples
    --------
    >>> counts({"SENT": 3, "NOT_TRIED": 4})
    '4 NOT_TRIED, 3 SENT'
    """
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items(), key=lambda each: (-each[1], each)))


def pace(told: Mapping[str, Any], now: float) -> str:
    """Return how fast a campaign goes, and when its last row is expected to be sent.

    Examples
    --------
    >>> pace({"status": "RUNNING", "perSecond": 9.5, "expectedEnd": "2027-01-15T08:01:41.000Z"}, 1_800_000_000.0)
    '9.5 a second, expected end 2027-01-15 08:01:41Z, in 1 min 41 s'
    """
    rate = f"{told['perSecond']:g} a second"
    if told["status"] == "STOPPING":
        return f"{rate}, stopping"
    if not told["expectedEnd"]:
        return f"{rate}, no end to be expected: the reserve is the whole quota"
    end = datetime.fromisoformat(told["expectedEnd"])
    return f"{rate}, expected end {end.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z, in {duration(end.timestamp() - now)}"
