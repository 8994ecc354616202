"""CSV of any size and shape: its records, one after the other.

Python's ``csv`` suits most files. But in the middle of a row it raises an error for a cell of more than 131,072
characters. And it takes a quote that is never closed for a cell as large as the rest of the file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .errors import InvalidCampaignError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The most characters of a row, its delimiters among them: more than a spreadsheet's cell has, and what Python's csv
# reads of a cell. A longer row is cut, so that memory does not grow with the file.
MAX_ROW = 131_072


class Record(NamedTuple):
    """One record of a CSV file.

    Parameters
    ----------
    cells : list[str]
        Its cells.
    is_cut : bool
        Whether it has more than `MAX_ROW` characters. The rest is left out of the cells.
    """

    cells: list[str]
    is_cut: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it has only spaces. A spreadsheet leaves such rows behind."""
        return not self.is_cut and not any(map(str.strip, self.cells))


def read_records(chunks: Iterable[str], delimiter: str) -> Iterator[Record]:
    """Read CSV, as Python's ``csv`` and spreadsheets do: quotes are doubled, lines end with CR, LF or both.

    Parameters
    ----------
    chunks : Iterable[str]
        The text, in pieces of any size.
    delimiter : str
        The character between two cells.

    Yields
    ------
    Record
        Every line, and every cell of it. An empty line is an empty cell.

    Raises
    ------
    InvalidCampaignError
        If a quote is never closed.
    """
    ends = re.compile(f"[{re.escape(delimiter)}\r\n]")
    record = _RecordBuilder()
    # The states of a cell: nothing read, after a quote in a quoted cell, in quotes, and in the rest.
    start, quote, quoted, plain = range(4)
    state, is_after_cr, number = start, False, 0
    for chunk in chunks:
        at = 0
        while at < len(chunk):
            if is_after_cr and chunk[at] == "\n":
                at += 1
            elif state == quoted:
                end = chunk.find('"', at)
                record.add(chunk[at : end if end >= 0 else None])
                at, state = (end + 1, quote) if end >= 0 else (len(chunk), quoted)
            elif state in (start, quote) and chunk[at] == '"':
                record.add('"' if state == quote else "")
                at, state = at + 1, quoted
            else:
                end = found.start() if (found := ends.search(chunk, at)) else len(chunk)
                record.add(chunk[at:end])
                at, state = end + 1, plain
                if found:
                    record.end_cell()
                    state = start
                if found and found[0] != delimiter:
                    yield record.end()
                    number += 1
                    is_after_cr = found[0] == "\r"
                    continue
            is_after_cr = False
    if state == quoted:
        raise InvalidCampaignError(
            f"A quote that begins a cell in row {number + 1} is never closed (the header is row 1). Close it, or "
            "double it and put the cell in quotes",
            "quotes",
        )
    if state != start or record.cells:
        record.end_cell()
        yield record.end()


class _RecordBuilder:
    """The record that is being read. It keeps `MAX_ROW` characters at most."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.cells: list[str] = []
        self._cell: list[str] = []
        self._size = 0

    def add(self, text: str) -> None:
        if kept := text[: max(MAX_ROW - self._size, 0)]:
            self._cell.append(kept)
        self._size += len(text)

    def end_cell(self) -> None:
        if self._cell or self._size <= MAX_ROW:
            self.cells.append("".join(self._cell))
            self._cell = []
        self._size += 1

    def end(self) -> Record:
        # The last cell has no delimiter after it.
        record = Record(self.cells, is_cut=self._size - 1 > MAX_ROW)
        self._begin()
        return record
