"""An overview as people see it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.columns import Columns
from rich.console import Group
from rich.table import Table
from rich.text import Text

from .output import printable, table
from .times import duration

if TYPE_CHECKING:
    from rich.console import RenderableType

_BAR = 20
_COLOURS = {"open": "green", "closed": "red", "paused": "yellow"}
_BAD = frozenset({"FAILED", "UNKNOWN", "INVALID", "REJECTED", "EXPIRED"})


def panel(found: dict[str, Any]) -> RenderableType:
    """Return what is shown of an overview.

    Parameters
    ----------
    found : dict
        What `Overview.look` returned.
    """
    rows = Table.grid(padding=(0, 2))
    for name, shown in (
        ("Gate", _gate(found["gate"], found["at"])),
        ("Rate", _rate(found["rate"])),
        ("Quota", _quota(found["quota"], found["at"])),
        ("Queue", _queue(found["queue"])),
    ):
        rows.add_row(Text(name, style="bold"), shown)
    minutes = found["outcomes"]["seconds"] // 60
    outcomes = table(["State", "Messages"], found["outcomes"]["states"].items(), title=f"Last {minutes} min")
    title = Text.assemble((f"cube-sms top  {printable(found['stack'])}", "bold"), f"  {found['at']}")
    return Group(title, Text(), rows, Text(), Columns([_coloured(outcomes), _kept(found)], padding=(0, 6)))


def _gate(gate: dict[str, Any], at: str) -> Text:
    shown = Text(gate["state"], style=_COLOURS[gate["state"]])
    if gate["until"]:
        shown.append(f" for {_left(gate['until'], at)}, until {gate['until']}", style="default")
    elif gate["state"] == "paused":
        shown.append(" until somebody says `cube-sms resume`", style="default")
    if gate["reason"]:
        shown.append(f" ({printable(gate['reason'])})", style="default")
    for each in gate["closedAccounts"]:
        account, code = printable(each["account"]), printable(each["code"])
        shown.append(f"\nclosed for the account {account} (code {code})", style="red")
    return shown


def _rate(rate: dict[str, Any]) -> Text:
    told = f"{rate['perSecond']:g} a second in the last {rate['seconds']} s"
    if rate["limit"] is None:
        return Text(f"{told}, no limit")
    return _bar(rate["perSecond"], rate["limit"], f"{told}, of {rate['limit']}")


def _quota(quota: dict[str, Any] | None, at: str) -> Text:
    if quota is None:
        return Text("no limit")
    left = f"{quota['left']:,} left ({quota['leftForBulk']:,} for bulk)"
    told = f"{quota['used']:,} of {quota['limit']:,}, {left}; resets in {_left(quota['endsAt'], at)}"
    return _bar(quota["used"], quota["limit"], told)


def _queue(queue: dict[str, Any]) -> Text:
    told = f"{queue['waiting']:,} waiting, {queue['inFlight']:,} in flight or returned, {queue['delayed']:,} delayed"
    age = queue["oldestSeconds"]
    return Text(told if age is None else f"{told}; the oldest is {duration(age)} old")


def _kept(found: dict[str, Any]) -> Table:
    names = {
        "Dead letters": found["deadLetters"],
        **{f"  {reason}, made lately": count for reason, count in found["deadLetterReasons"].items()},
        "Rejected": found["rejected"],
        "Requests not delivered": found["undeliveredRequests"],
        "Outcomes not published": found["unpublishedOutcomes"],
    }
    return table(["Queue", "Messages"], names.items(), title="Kept for you")


def _coloured(shown: Table) -> Table:
    for row, name in zip(shown.rows, shown.columns[0].cells, strict=True):
        row.style = "red" if str(name) in _BAD else None
    return shown


def _bar(value: float, most: float, told: str) -> Text:
    filled = min(_BAR, round(_BAR * value / most))
    return Text.assemble(("█" * filled, "cyan"), ("░" * (_BAR - filled), "dim"), f"  {told}")


def _left(until: str, at: str) -> str:
    return duration((datetime.fromisoformat(until) - datetime.fromisoformat(at)).total_seconds())
