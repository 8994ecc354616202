"""Pages and tables in Markdown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

PROJECT = Path(__file__).parents[2]
REFERENCE = PROJECT / "docs" / "reference"

_MARK = "<!-- Below: written by `make schemas`, from {}. -->\n"

# Names of the template's parameters and of the API's headers, which texts of the code have without backticks.
_NAMES = re.compile(r"(?<![`\w])(Cube(?:AnswerCodes|Max\w+)|Retry-After)(?![`\w])")


def page(path: Path, sections: Callable[[], str], source: str) -> str:
    """Return a page: what is written by hand above its mark, and what is made from the code below it.

    Parameters
    ----------
    path : Path
        The page.
    sections : Callable[[], str]
        Makes the part below the mark.
    source : str
        The source of that part, for the mark.
    """
    mark = _MARK.format(source)
    by_hand, found, _ = path.read_text("utf-8").partition(mark)
    if not found:
        raise ValueError(f"{path.name} needs this line: {mark.strip()}")
    return by_hand + mark + sections()


def section(title: str, *parts: str) -> str:
    """Return a section of a page: its title, and tables or paragraphs below it."""
    return f"\n## {title}\n" + "".join(f"\n{part.strip()}\n" for part in parts if part.strip())


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table.

    Examples
    --------
    >>> print(table(["code", ""], [["`0000`", "success"]]))
    | code | |
    | --- | --- |
    | `0000` | success |
    """
    lines = [header, ["---"] * len(header), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(
        re.sub(" {2,}", " ", f"| {' | '.join(' '.join(cell.split()) for cell in line)} |") for line in lines
    )


def code(*names: object) -> str:
    """Return names as code, with commas.

    Examples
    --------
    >>> code("SENT", None, 202)
    '`SENT`, `202`'
    """
    return ", ".join(f"`{name}`" for name in names if name not in (None, ""))


def prose(text: str) -> str:
    """Return a text of the code as a page has it: with links to other pages, and names of parameters as code.

    Examples
    --------
    >>> prose("Lower CubeMaxQps. See docs/runbook.md#gate-closed.")
    'Lower `CubeMaxQps`. See [gate-closed](../runbook.md#gate-closed).'
    >>> prose("A state is ``SENT``; docs/events.md has more.")
    'A state is `SENT`; [events.md](../events.md) has more.'
    """
    text = text.replace("``", "`")
    # A reference of the docstring's own, such as `State.SENT`
    text = re.sub(r"`(?:~?\w+\.)+([A-Z]\w*)`", r"`\1`", text)
    text = re.sub(r"\bdocs/([\w-]+\.md)#([\w-]+)", r"[\2](../\1#\2)", text)
    text = re.sub(r"\bdocs/(\S+\.md)\b", r"[\1](../\1)", text)
    return _NAMES.sub(r"`\1`", text)
