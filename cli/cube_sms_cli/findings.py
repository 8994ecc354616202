"""What a dry run found in a campaign's file, as people read it."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from .output import printable, table
from .times import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

# What a dry run counts, as it is shown.
_KINDS = {
    "refused": "refused: not sent",
    "repeatedDevices": "device of an earlier row: sent again",
    "wrongCheckDigits": "ICCID with a wrong check digit: sent",
    "roundedIccids": "ICCID that a spreadsheet has rounded: sent",
}

# Of what a dry run notes, so many rows are shown to people.
_MOST_SHOWN = 20


def findings(found: dict[str, Any], file: str) -> Iterator[RenderableType]:
    """Yield how many rows there are of each kind, the first of them, and how long all take.

    Parameters
    ----------
    found : dict
        What the dry run has found: docs/workflows.md has the members.
    file : str
        The file, as the operator calls it.
    """
    counts = [["all", found["rows"]], ["valid", found["valid"]]]
    counts += [[what, found[kind]["count"]] for kind, what in _KINDS.items()]
    yield printable(file)
    yield table(["Rows", "Count"], counts)
    noted: list[list[Any]] = [
        [each["row"], what.partition(":")[0], each.get("reason") or each["deviceId"]]
        for kind, what in _KINDS.items()
        for each in found[kind]["first"]
    ]
    if noted:
        yield ""
        yield table(["Row", "Is", "What"], sorted(noted, key=itemgetter(0))[:_MOST_SHOWN])
    if len(noted) > _MOST_SHOWN:
        yield f"… and {len(noted) - _MOST_SHOWN} more, which --json shows."
    yield ""
    estimate = found["estimate"]
    if estimate["endsAt"] is None:
        yield "It would never end: the reserve is the whole quota."
    else:
        until = f"until {estimate['endsAt']}, {estimate['usedToday']} queries of today's quota are used"
        needed = f"{duration(estimate['seconds'])} and {estimate['queries']:,} queries"
        yield f"If it starts now and has the limits to itself, it takes at least {needed}: {until}."
