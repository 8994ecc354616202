"""What is known of a message, as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from cube_sms.platform import rfc3339

from .output import printable, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

    from .dossier import Dossier


def sheet(dossier: Dossier) -> Iterator[RenderableType]:
    """Yield the parts of it, each with a heading.

    Parameters
    ----------
    dossier : Dossier
        What is known.
    """
    members = dossier.members
    yield from _part("Record", _pairs(members["record"]) if members["record"] else "There is none.")
    if members["waits"]:
        yield members["waits"]
    if members["refusal"]:
        yield from _part("Refused", _pairs(members["refusal"]))
    for letter in members["letters"]:
        told = {name: value for name, value in letter.items() if name not in ("queue", "body")}
        yield from _part(f"Dead letter on the queue of {letter['queue']}", _pairs(told))
        if "body" in letter:
            yield printable(letter["body"])
    if members["lettersUnseen"]:
        yield f"About {members['lettersUnseen']} dead letters could not be looked at in time."
    if members["attempts"]:
        names = ("at", "function", "state", "code", "latencies_ms", "error")
        rows = [[each.get(name) for name in names] for each in members["attempts"]]
        yield from _part("Attempts", table(["At", "Function", "State", "Code", "Milliseconds", "Why"], rows))
    if event := members["event"]:
        yield from _part(f"Event {event['detail-type']}", _pairs(event["detail"]))
    lines = [
        [rfc3339(line.at), line.function, line.level, line.text, " ".join(f"{k}={v}" for k, v in line.told.items())]
        for line in dossier.logged.lines
    ]
    yield from _part(
        "Log", table(["At", "Function", "Level", "Text", "More"], lines) if lines else "No line mentions it."
    )
    if members["linesAreCut"]:
        yield "There may be more lines: --lines shows more of each function."


def _part(heading: str, shown: RenderableType) -> Iterator[RenderableType]:
    yield Text(f"\n{heading}", style="bold")
    yield shown


def _pairs(members: Mapping[str, Any]) -> RenderableType:
    said = {name: ("no", "yes")[value] if isinstance(value, bool) else value for name, value in members.items()}
    pairs = table(["", ""], said.items())
    pairs.show_header = False
    return pairs
