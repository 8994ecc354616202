"""The reader of CSV: it reads as Python's does, except for files at which that fails. It needs little memory."""

from __future__ import annotations

import csv
import io
import tracemalloc
from itertools import pairwise, repeat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cube_sms.campaigns.csv import MAX_ROW, read_records
from cube_sms.campaigns.errors import InvalidCampaignError
from cube_sms.campaigns.files import read_campaign_file


def python_rows(text: str) -> list[list[str]]:
    """Return the rows as Python's csv reads them, an empty line as an empty cell."""
    return [row or [""] for row in csv.reader(io.StringIO(text, newline=""))]


def our_rows(*chunks: str) -> list[list[str]]:
    return [record.cells for record in read_records(chunks, ",")]


TEXTS = st.text(st.sampled_from('ab ,"\r\n;\0é\u2028\x85'), max_size=40)


@given(TEXTS, st.lists(st.integers(0, 40)))
@example('a,"b\r', [])
@example('"a"b"c",d"\r\n\n', [1])
@example("a\r\nb", [2])
@example('"a""b"', [3])
def test_any_text_is_read_as_python_reads_it_in_any_pieces(text: str, cuts: list[int]) -> None:
    chunks = [text[start:end] for start, end in pairwise([0, *sorted(cuts), None])]
    try:
        ours = our_rows(*chunks)
    except InvalidCampaignError:
        # Then it is a quote that is missing
        assert our_rows(text + '"') == python_rows(text + '"')
    else:
        assert ours == python_rows(text)


@pytest.mark.parametrize("size", range(1, 12))
def test_the_pieces_of_a_file_do_not_matter(size: int) -> None:
    data = '\ufeffsep=;\r\ndeviceId;"ö""🌡️"\r\n1;🌡️ö\r\n'.encode()

    file = read_campaign_file((data[at : at + size] for at in range(0, len(data), size)), needs_content=False)

    assert (file.prefix, file.columns) == ("\ufeffsep=;\r\n", ["deviceId", 'ö"🌡️'])
    assert [record.cells for record in file.records] == [["1", "🌡️ö"]]


@pytest.mark.parametrize(
    "cells", [["x" * MAX_ROW], [""] * (MAX_ROW + 1), ["x" * 1023] * 128], ids=["one cell", "empty cells", "many cells"]
)
def test_the_longest_row_is_whole_and_a_longer_one_is_cut(cells: list[str]) -> None:
    longest, longer = ",".join(cells).ljust(MAX_ROW, "x"), ",".join(cells).ljust(MAX_ROW, "x") + ",x"

    first, second, third = read_records([longest[:7], longest[7:], "\n", longer, "\n", "a,b"], ",")

    assert (first.cells, first.is_cut) == (longest.split(","), False)
    assert second.is_cut
    assert longer.startswith(",".join(second.cells))
    assert (third.cells, third.is_cut) == (["a", "b"], False)


@pytest.mark.parametrize(("piece", "times"), [("x", 10_000_000), ("x,\n", 3_000_000), (",", 150_000), ('""', 150_000)])
def test_memory_does_not_grow_with_a_row(piece: str, times: int) -> None:
    # Given a row that is too long, in quotes unless it is made of cells
    quote = "" if piece == "," else '"'
    chunk = piece * 10_000
    tracemalloc.start()

    (record,) = read_records([quote, *repeat(chunk, times // 10_000), quote], ",")

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert record.is_cut
    assert sum(map(len, record.cells)) + len(record.cells) - 1 <= MAX_ROW
    assert peak < 5_000_000
