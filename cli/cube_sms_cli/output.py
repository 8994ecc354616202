"""The output of commands: tables for people, JSON for scripts. Progress goes to standard error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

# Wide enough that no cell of a table is folded if a script reads it.
_PIPE_WIDTH = 10_000

# What is shown for what is not there.
NONE = "-"

# A sender writes some of what is shown, and may write anything.
MOST_CHARACTERS = 500


class Output:
    """Writes what a command answers.

    Parameters
    ----------
    is_json : bool
        Whether the answer is JSON.
    """

    def __init__(self, *, is_json: bool = False) -> None:
        self.is_json = is_json
        self.console = _console(sys.stdout)
        self.progress_console = _console(sys.stderr)

    def answer(self, data: Any, *shown: RenderableType) -> None:
        """Write the answer of a command.

        Parameters
        ----------
        data : Any
            All of it, for ``--json``.
        *shown : RenderableType
            What people see. Text is taken as it is, without markup.
        """
        if self.is_json:
            sys.stdout.write(escaped(json.dumps(data, ensure_ascii=False, indent=2, default=str)) + "\n")
        else:
            self.console.print(Group(*(Text(each) if isinstance(each, str) else each for each in shown)))

    def note(self, text: str) -> None:
        """Report progress on standard error."""
        self.progress_console.print(Text(text))

    def fault(self, text: str) -> None:
        """Report on standard error why a command ends."""
        self.progress_console.print(Text.assemble(("cube-sms: ", "bold red"), text), soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> Table:
    """Return a table of texts.

    Parameters
    ----------
    columns : sequence of str
        Their headings.
    rows : iterable of sequence
        Values; None is shown as "-", and a `Text` of our own as it is.
    title : str, optional
        What stands above it.
    """
    made = Table(*columns, title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for row in rows:
        made.add_row(*(value if isinstance(value, Text) else _cell(value) for value in row))
    return made


def _cell(value: object) -> Text:
    return Text(NONE if value is None else printable(str(value)))


def printable(text: str) -> str:
    r"""Return a text on one line, without what a terminal would obey, and not too long.

    Examples
    --------
    >>> printable("a\tb\x9b2J")
    'a b?2J'
    """
    text = " ".join(text[: MOST_CHARACTERS + 1].split())
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"


def escaped(text: str) -> str:
    r"""Return a whole text with an escape, as JSON has it, for each character that a terminal would obey.

    Examples
    --------
    >>> escaped("a\n\x9b2J")
    'a\n\\u009b2J'
    """
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text)


def _console(stream: Any) -> Console:
    return Console(file=stream, highlight=False, width=None if stream.isatty() else _PIPE_WIDTH)
