"""Files of campaigns as no program would write them: whatever a file holds, each row is in its result once."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from cube_sms.campaigns.csv import MAX_ROW
from cube_sms.campaigns.reports import OUTCOME
from tests.unit.campaign_runs import CampaignRuns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

DEVICE = "89314404000939952264"
COLUMNS = ["deviceId", "content", "site", "Note, or not", "requestId", ""]

# Each line has an end of its own, and each cell is in quotes or not.
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
TEXTS = st.text(st.sampled_from(" ab1,;|\t\"\r\n\\='\0\ufeff\u2028\x85é温") | st.characters(codec="utf-8"), max_size=10)
LONG = st.builds(lambda text, times: text * times, st.sampled_from(['x"y', "温", "a\r\nb"]), st.just(70_000))
CELLS = TEXTS | TEXTS | TEXTS | st.sampled_from(["", " ", DEVICE, "sensor 7"]) | LONG
LINES = st.lists(st.tuples(CELLS, st.booleans()), max_size=9)


@pytest.fixture(scope="module")
def campaigns(dynamodb: DynamoDBClient) -> Iterator[CampaignRuns]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield CampaignRuns.deploy(monkeypatch)


def written(cells: list[tuple[str, bool]], delimiter: str) -> str:
    """Return a line without its end: a cell is in quotes if it is to be, or has to be."""
    return delimiter.join(
        f'"{cell.replace('"', '""')}"'
        if is_quoted or cell.startswith('"') or set(cell) & {delimiter, "\r", "\n"}
        else cell
        for cell, is_quoted in cells
    )


@given(
    width=st.integers(1, len(COLUMNS)),
    quoted=st.lists(st.booleans(), min_size=len(COLUMNS), max_size=len(COLUMNS)),
    lines=st.lists(st.tuples(LINES, ENDS), max_size=8),
    first_end=ENDS,
    delimiter=st.sampled_from([",", ";", "\t", "|", " ", "d", "=", "\u2028", "€"]),
    is_named=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig"] * 3 + ["utf-16", "utf-16-le", "utf-16-be", "latin-1", "gb18030"]),
    is_ended=st.booleans(),
)
# A row that is too long between two that are not; and a last row without an end
@example(
    2,
    [False] * 6,
    [([(DEVICE, True)], "\r"), ([("x", False), ("y" * MAX_ROW, False)], "\n"), ([(DEVICE, False)], "\n")],
    "\n",
    ",",
    False,
    "utf-8",
    False,
)
# An empty line between a CR and an LF is no line, and no row is lost
@example(
    1,
    [True] * 6,
    [([(DEVICE, False)], "\r"), ([], "\n"), ([(DEVICE, True)], "\r\n")],
    "\r",
    ";",
    True,
    "utf-8-sig",
    True,
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_every_row_is_in_the_result_once_and_in_order(
    campaigns: CampaignRuns,
    width: int,
    quoted: list[bool],
    lines: list[tuple[list[tuple[str, bool]], str]],
    first_end: str,
    delimiter: str,
    is_named: bool,
    encoding: str,
    is_ended: bool,
) -> None:
    # Given a file in any form, whose header or whose first line proves the delimiter
    assume(is_named or delimiter == "," or (delimiter in ";\t" and width > 1))
    sep_line = f"sep={delimiter}\r\n" if is_named else ""
    header = list(zip(COLUMNS[:width], quoted, strict=False))
    text = sep_line + written(header, delimiter) + first_end
    text += "".join(written(cells, delimiter) + end for cells, end in lines)
    data = (text if is_ended or not lines else text[: -len(lines[-1][1])]).encode(encoding, errors="replace")
    # What an encoding does not have is a question mark, and was another character
    assume(encoding != "latin-1" or "?" not in data.decode("latin-1"))

    # When it is run
    ran = campaigns.run(data)

    # Then it is refused as a whole if it is not UTF-8
    if encoding.startswith("utf-16") or not is_utf8(data):
        assert ran.refusal.startswith("The file is ")
        return
    # By chance it can be, and is another text then
    assume(encoding.startswith("utf-8") or data.isascii())
    assert ran.refusal == ""
    # And otherwise each row that holds something is told once, in its place, in the form of the file
    rows = [[cell for cell, _ in cells] for cells, _ in lines]
    sizes = [sum(map(len, row)) + len(row) - 1 for row in rows]
    is_cut = [size > MAX_ROW for size in sizes]
    expected = [(row, cut) for row, cut in zip(rows, is_cut, strict=True) if cut or any(map(str.strip, row))]
    prefix = ("\ufeff" if encoding == "utf-8-sig" else "") + sep_line
    assert ran.result.startswith(prefix)
    names, *told = csv.reader(io.StringIO(ran.result[len(prefix) :], newline=""), delimiter=delimiter)
    assert names[width:] == list(OUTCOME)
    assert len(told) == len(expected) == sum(ran.states.values())
    for (row, cut), found in zip(expected, told, strict=True):
        outcome = dict(zip(OUTCOME, found[width:], strict=True))
        padded = [*row, *[""] * width][:width]
        if cut:
            assert all(cell.startswith(kept) for cell, kept in zip(padded, found[:width], strict=True))
            assert outcome["reason"] == f"row: has more than {MAX_ROW} characters"
        else:
            assert found[:width] == padded
        assert outcome["state"] == ("REFUSED" if outcome["reason"] else "NOT_TRIED")
    # And what is sent is what is told to be, in the same order
    assert [request["requestId"] for request in ran.requests] == [
        found[width] for found in told if found[width + 1] == "NOT_TRIED"
    ]
    # And a dry run says the same
    if lines:
        assert_dry_run_agrees(campaigns, data, told, width)


def is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def assert_dry_run_agrees(campaigns: CampaignRuns, data: bytes, told: list[list[str]], width: int) -> None:
    found: dict[str, Any] = campaigns.dry_run(data)
    refused = {number for number, row in enumerate(told, start=1) if row[width + 1] == "REFUSED"}
    assert (found["rows"], found["valid"]) == (len(told), len(told) - len(refused))
    assert {each["row"] for each in found["refused"]["first"]} == refused
