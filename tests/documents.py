"""What the documents say in tables, and in lists of names."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]


@cache
def pages() -> dict[str, str]:
    """Return the text of each page, by its path."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}


def table(*header: str) -> list[list[str]]:
    """Return the rows of every table of the documents whose header begins with these cells."""
    return [
        row
        for text in pages().values()
        for lines in re.findall(r"^\|.*\|$(?:\n^\|.*\|$)+", text, re.MULTILINE)
        for first, _, *rows in [[_cells(line) for line in lines.splitlines()]]
        if first[: len(header)] == list(header)
        for row in rows
    ]


def section(page: str, heading: str) -> str:
    """Return what a page says under a heading."""
    (text,) = re.findall(rf"^##+ {re.escape(heading)}$(.*?)(?=^##+ |\Z)", pages()[page], re.DOTALL | re.MULTILINE)
    return str(text)


def names_in(text: str) -> list[str]:
    """Return the texts between backticks, except blocks of code.

    Examples
    --------
    >>> names_in("`CubeConnectTimeout`, `CubeReadTimeout`")
    ['CubeConnectTimeout', 'CubeReadTimeout']
    """
    return re.findall(r"`([^`]+)`", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" | ")]
