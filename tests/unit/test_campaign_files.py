"""Files of campaigns, whatever wrote them: what is sent for them, or why nothing is, and what the result tells."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from cube_sms.campaigns.csv import MAX_ROW
from cube_sms.campaigns.files import COLUMNS
from cube_sms.campaigns.reports import OUTCOME
from functions.prepare_campaign import app
from tests.unit.campaign_runs import CampaignRuns

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

FILES = Path(__file__).parent / "data" / "campaigns"
DEVICE = "89314404000939952261"
OTHER = "89314404000939952262"
WANTED = 'A campaign\'s file is CSV in UTF-8 (in Excel: "CSV UTF-8"). Its first line names the columns: "deviceId"'


@pytest.fixture(scope="module")
def campaigns(dynamodb: DynamoDBClient) -> Iterator[CampaignRuns]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield CampaignRuns.deploy(monkeypatch)


def sent(requests: tuple[dict[str, Any], ...]) -> list[tuple[str, str]]:
    """Return who is sent what."""
    return [(request["deviceId"], request["content"]) for request in requests]


# ── Files of people who do this job ─────────────────────────────────────────────────────────────────────────────────


def test_a_file_of_powershell_has_a_mark_before_a_quoted_name(campaigns: CampaignRuns) -> None:
    ran = campaigns.run((FILES / "powershell-bom-quoted.csv").read_bytes())

    assert sent(ran.requests) == [(DEVICE, "Hi"), (OTHER, "Hello")]
    assert ran.result.startswith("\ufeffdeviceId,site,content,requestId,state")
    assert [(row["deviceId"], row["site"]) for row in ran.rows()] == [(DEVICE, "Oslo"), (OTHER, "Bergen")]


def test_a_file_of_excel_may_have_semicolons(campaigns: CampaignRuns) -> None:
    ran = campaigns.run((FILES / "excel-semicolon.csv").read_bytes())

    assert sent(ran.requests) == [(DEVICE, "Hi"), (OTHER, "Hello")]
    # It opens as the file did
    assert ran.result.startswith("\ufeffdeviceId;site;content;requestId;state")
    assert [row["site"] for row in ran.rows(";")] == ["Oslo", "Bergen"]


def test_a_file_may_name_its_delimiter_in_a_line_of_excels(campaigns: CampaignRuns) -> None:
    ran = campaigns.run((FILES / "sep-line.csv").read_bytes())

    assert sent(ran.requests) == [(DEVICE, "Hi")]
    assert ran.result.startswith("sep=,\r\ndeviceId,site,content,requestId,state")


@pytest.mark.parametrize("line", ["sep=|\r\n", "SEP=|\n", "\ufeffsep=|\r"])
def test_that_line_can_name_any_delimiter(campaigns: CampaignRuns, line: str) -> None:
    ran = campaigns.run(f"{line}deviceId|content\n{DEVICE}|Hi, you\n")

    assert sent(ran.requests) == [(DEVICE, "Hi, you")]


def test_a_tab_is_taken_where_the_header_proves_it(campaigns: CampaignRuns) -> None:
    ran = campaigns.run(f"deviceId\tcontent\n{DEVICE}\tHi, you; there\n")

    assert sent(ran.requests) == [(DEVICE, "Hi, you; there")]
    assert ran.rows("\t")[0]["content"] == "Hi, you; there"


def test_rows_whose_cells_are_empty_are_no_rows(campaigns: CampaignRuns) -> None:
    ran = campaigns.run((FILES / "phantom-rows.csv").read_bytes())

    assert ran.states == {"NOT_TRIED": 1}
    assert len(ran.rows()) == 1


def test_rows_are_numbered_without_those_that_are_none(campaigns: CampaignRuns) -> None:
    ran = campaigns.run(f"\n , \ndeviceId,content\n\n{DEVICE},\n  ,\t\n{OTHER},\n")

    first, second = (request["requestId"] for request in ran.requests)
    assert (first[-2:], second[-2:]) == ("-1", "-2")


@pytest.mark.parametrize(
    "header", ["DeviceID,Content", " deviceId ,\tCONTENT", '"deviceid","content"', "\u00a0DEVICEID\u00a0,content"]
)
def test_names_of_columns_are_known_in_any_case_and_among_spaces(campaigns: CampaignRuns, header: str) -> None:
    ran = campaigns.run(f"{header}\n{DEVICE},Hi\n")

    assert sent(ran.requests) == [(DEVICE, "Hi")]
    # In the result they are the file's own
    assert ran.table()[0][:2] == next(csv.reader([header]))


def test_the_case_of_a_header_is_no_matter_to_a_file_of_a_customer(campaigns: CampaignRuns) -> None:
    assert sent(campaigns.run((FILES / "header-case.csv").read_bytes()).requests) == [(DEVICE, "Hi")]


def test_a_file_without_a_header_is_refused(campaigns: CampaignRuns) -> None:
    ran = campaigns.run((FILES / "no-header.csv").read_bytes())

    found = f'The columns of the first line are "{DEVICE}", "Hi" (delimiter: comma): no "deviceId". '
    assert ran.refusal.startswith(found + WANTED)


def test_the_files_own_columns_stay_beside_ours(campaigns: CampaignRuns) -> None:
    ran = campaigns.run((FILES / "reserved-columns.csv").read_bytes())

    (row,) = ran.rows()
    assert (row["state (file)"], row["reason (file)"], row["message (file)"]) == ("Bayern", "upgrade", "old")
    assert (row["state"], row["reason"], row["message"]) == ("NOT_TRIED", "", "")


def test_the_result_of_a_result_keeps_both(campaigns: CampaignRuns) -> None:
    first = campaigns.run(f"deviceId,STATE,state (file)\n{DEVICE},Bayern,old\n")
    again = campaigns.run(first.result)

    assert [cells[:3] for cells in again.table()] == [cells[:3] for cells in first.table()]
    assert (first.rows()[0]["STATE (file) (file)"], first.rows()[0]["state (file)"]) == ("Bayern", "old")
    # It is the same request, by the id that it was given
    assert again.requests == first.requests


# ── Heads that cannot be meant ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("file", "found"),
    [
        (b"", "The file is empty"),
        (b"\xef\xbb\xbf\r\n,,\r\n", "The file is empty"),
        (b"sep=;\r\n", "The file is empty"),
        (b'deviceId,"content\n1,2\n', "The file is empty, or a quote in its first line is never closed"),
        ("\ufeffdeviceId\tcontent\r\n".encode("utf-16-le"), "The file is UTF-16"),
        ("deviceId\tcontent\r\n".encode("utf-16"), "The file is UTF-16"),
        ("deviceId\tcontent\r\n".encode("utf-16-le"), "The file is UTF-16"),
        ("\ufeffdeviceId\tcontent\r\n".encode("utf-16-be"), "The file is UTF-16"),
        (b"PK\x03\x04\x14\x00\x06\x00", "The file is an Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "The file is an Excel workbook"),
        ("deviceId,content\n1,ö\n".encode("latin-1"), "The file is not UTF-8 (byte 0xF6 in line 2)"),
        (b"deviceId,content\n" + b"1,a\n" * 99_999 + b"1,\xe4\n", "The file is not UTF-8 (byte 0xE4 in line 100001)"),
        (b"deviceId,content\n1,\xf0\x9f", "The file is not UTF-8 (byte 0xF0 in line 2)"),
        (b"deviceId,deviceID,content\n1,2,Hi\n", 'comma): "deviceId" more than once'),
        (b"deviceId,content,expires_at\n1,Hi,\n", 'comma): "expiresAt" in another spelling'),
        (b"deviceId,content,Request ID\n1,Hi,\n", 'comma): "requestId" in another spelling'),
        (b"device-id,content\n1,Hi\n", 'comma): no "deviceId", "deviceId" in another spelling'),
        (b"deviceId|content\n1|Hi\n", '"deviceId|content" (delimiter: comma): no "deviceId"'),
        (b"iccid;text;site\n1;Hi;a,b\n", '"iccid", "text", "site" (delimiter: semicolon): no "deviceId"'),
        (b"sep=;\ndeviceId,content\n1,Hi\n", '"deviceId,content" (delimiter: semicolon): no "deviceId"'),
        (b"deviceId," + b"x" * 70_000 + b"\n1,2\n", "The first line has more than 65536 characters"),
        (b"a," * 40_000, "more (delimiter: comma): no "),
    ],
)
def test_a_file_that_cannot_be_meant_says_what_is_wanted(campaigns: CampaignRuns, file: bytes, found: str) -> None:
    refusal = campaigns.run(file).refusal

    assert found in refusal
    assert WANTED in refusal
    # What Step Functions takes of a cause
    assert len(refusal) < 32_768


@pytest.mark.parametrize("content", ["", "  "])
def test_a_text_has_to_come_from_somewhere(campaigns: CampaignRuns, content: str) -> None:
    assert 'no "content"' in campaigns.run(f"deviceId\n{DEVICE}\n", content=content).refusal


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"key": "spring.csv", "campaign": "spring 2026"}, "campaign: must be 1 to 100 characters"),
        ({"key": "spring.csv", "campaign": None}, "campaign: must be 1 to 100 characters"),
        ({"key": "spring.csv", "content": 7}, "content: must be a string"),
        ({"key": "spring.csv", "dryRun": "true"}, "dryRun: must be true or false"),
        ({"key": "spring.csv", "dryRun": None}, "dryRun: must be true or false"),
        ({"key": "spring.csv", "dryrun": True}, "dryRun: is in another spelling"),
        ({"key": "spring.csv", "dry_run": True}, "dryRun: is in another spelling"),
        ({"key": "spring.csv", "dryRun": False, "Dry-Run": True}, "dryRun: is in another spelling"),
        ({"key": "spring.csv", "resultOnly": 1}, "resultOnly: must be true or false"),
        ({"key": "spring.csv", "result_only": True}, "resultOnly: is in another spelling"),
        ({"key": "spring.csv", "dryRun": True, "resultOnly": True}, "resultOnly: must be false in a dry run"),
        ({"key": "spring.csv", "Content": "Hello"}, "content: is in another spelling"),
        ({"key": ""}, "key: must be"),
        ({}, "key: must be"),
        (["spring.csv"], "key: must be"),
        ({"key": "there-is-none.csv"}, "There is no file there-is-none.csv in the bucket"),
    ],
)
def test_an_input_that_is_not_valid_is_refused(campaigns: CampaignRuns, data: Any, fault: str) -> None:
    assert fault in campaigns.prepare(data)["refusal"]


def test_a_refusal_is_logged_without_what_it_quotes(campaigns: CampaignRuns) -> None:
    # Given the log of the function
    handler = cast("logging.StreamHandler[Any]", app.telemetry.logger.registered_handler)
    earlier = handler.setStream(log := io.StringIO())

    campaigns.run((FILES / "no-header.csv").read_bytes())
    handler.setStream(cast("Any", earlier))

    (line,) = map(json.loads, log.getvalue().splitlines())
    assert (line["message"], line["part"]) == ("campaign refused", "header")
    assert DEVICE not in log.getvalue()


# ── Rows ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("cell", "content"),
    [
        ('"a, b"', "a, b"),
        ('"two\nlines"', "two\nlines"),
        ('"two\r\nlines"', "two\r\nlines"),
        ('"a ""quoted"" word"', 'a "quoted" word'),
        ('a 5" pipe', 'a 5" pipe'),
        (r"back\slash", r"back\slash"),
        (r"back\\slashes", r"back\\slashes"),
        ("one\u2028line\u0085of\x0btext", None),
        ("one\u2028line", "one\u2028line"),
        (" with spaces ", " with spaces "),
        ("   ", "Hello"),
        ("\u00a0", "Hello"),
        ("温度过高 🌡️", "温度过高 🌡️"),
        ("=1+1", "=1+1"),
        ("NUL \0", None),
        ("no character \uffff", None),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_cell_is_sent_and_told_as_it_stands(
    campaigns: CampaignRuns, cell: str, content: str | None, line_end: str
) -> None:
    ran = campaigns.run(f"deviceId,content{line_end}{DEVICE},{cell}{line_end}")

    assert sent(ran.requests) == ([(DEVICE, content)] if content else [])
    assert [row["reason"].partition(":")[0] for row in ran.rows()] == ["" if content else "content"]
    (own,) = csv.reader([f"{DEVICE},{cell}"])
    assert ran.table()[1][:2] == own


def test_spaces_around_anything_but_a_text_are_no_part_of_it(campaigns: CampaignRuns) -> None:
    ran = campaigns.run(f"deviceId, messageType, expiresAt\n {DEVICE}, Text , 2027-01-31T12:00:00Z\n")

    (request,) = ran.requests
    assert (request["deviceId"], request["messageType"]) == (DEVICE, "Text")
    assert request["expiresAt"] == "2027-01-31T12:00:00Z"


def test_an_expiry_is_heeded_whatever_its_column_looks_like(campaigns: CampaignRuns) -> None:
    ran = campaigns.run(f"deviceId;EXPIRESAT \n{DEVICE};2020-01-31T12:00:00Z\n")

    assert [request["expiresAt"] for request in ran.requests] == ["2020-01-31T12:00:00Z"]


def test_rows_may_be_short(campaigns: CampaignRuns) -> None:
    ran = campaigns.run(f"deviceId,site,content\n{DEVICE}\n{OTHER},Oslo,,,\n")

    assert sent(ran.requests) == [(DEVICE, "Hello"), (OTHER, "Hello")]
    assert [cells[:3] for cells in ran.table()[1:]] == [[DEVICE, "", ""], [OTHER, "Oslo", ""]]


def test_a_row_with_more_cells_than_columns_is_refused_alone(campaigns: CampaignRuns) -> None:
    # Given a text with a comma that is not in quotes, of which half would be sent
    ran = campaigns.run(f"deviceId,content\n{DEVICE},Hi, you\n{OTHER},Hi\n")

    assert sent(ran.requests) == [(OTHER, "Hi")]
    assert ran.rows()[0]["reason"] == (
        "row: has 3 cells, and the file 2 columns (a cell with a delimiter in it belongs in quotes)"
    )


@pytest.mark.parametrize("column", ["content", "note"])
@pytest.mark.parametrize("size", [MAX_ROW + 1, 3 * MAX_ROW])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_row_that_is_too_long_is_refused_alone(campaigns: CampaignRuns, column: str, size: int, quote: str) -> None:
    cell = f"{quote}{'x' * size}{quote}"
    ran = campaigns.run(f"deviceId,{column}\n{DEVICE},{cell}\n{OTHER},Hi\n")

    first, second = ran.rows()
    assert (first["deviceId"], first["state"]) == (DEVICE, "REFUSED")
    assert first["reason"] == f"row: has more than {MAX_ROW} characters"
    assert (second["deviceId"], second["state"]) == (OTHER, "NOT_TRIED")
    assert len(ran.requests) == 1


def test_a_quote_that_is_never_closed_is_refused_before_anything_is_sent(campaigns: CampaignRuns) -> None:
    # Given a quote behind which all other rows would be one text
    ran = campaigns.run(f'deviceId,content\n{DEVICE},Hi\n{DEVICE},"Hi\n' + f"{OTHER},Hi\n" * 10_000)

    assert ran.refusal.startswith("A quote that begins a cell in row 3 is never closed (the header is row 1)")


def test_nobody_else_reads_the_file(campaigns: CampaignRuns) -> None:
    """The state machine reads batches, and no text is in its history."""
    definition = json.loads((Path(__file__).parents[2] / "statemachine" / "campaign.asl.json").read_text("utf-8"))
    batches = definition["States"]["Batches"]

    assert (batches["ItemReader"]["ReaderConfig"], batches["ItemReader"]["Parameters"]["Key.$"]) == (
        {"InputType": "JSONL"},
        "$.batchesKey",
    )
    assert sent(campaigns.run(f"deviceId,content\n{DEVICE},a\u2028b\n").requests) == [(DEVICE, "a\u2028b")]


# ── Whatever a file holds ───────────────────────────────────────────────────────────────────────────────────────────

CELLS = st.text(st.sampled_from(' ab1,;\t"\r\n\\=\0\ufeff\u2028é') | st.characters(codec="utf-8"), max_size=12)
OWN_COLUMNS = st.lists(st.sampled_from(["city", "Note", " state", "requestid (file)", "", "MESSAGE", "a,b", "ü;"]))


@given(
    fields=st.sets(st.sampled_from([name for name in COLUMNS if name != "deviceId"])),
    own=OWN_COLUMNS,
    order=st.randoms(use_true_random=False),
    rows=st.lists(st.lists(CELLS, max_size=16), max_size=8),
    devices=st.lists(st.sampled_from([DEVICE, f" {DEVICE}", "sensor 7", "", " "]), min_size=8, max_size=8),
    prefix=st.sampled_from(["", "\ufeff", "sep={}\r\n", "\ufeffsep={}\n"]),
    delimiter=st.sampled_from([",", ";", "\t"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_every_row_is_in_the_result_once(
    campaigns: CampaignRuns,
    fields: set[str],
    own: list[str],
    order: Any,
    rows: list[list[str]],
    devices: list[str],
    prefix: str,
    delimiter: str,
    line_end: str,
    quoting: Any,
) -> None:
    # Given a table as another program writes it, whose header proves the delimiter if no line before it names it
    columns = ["deviceId", *sorted(fields), *own]
    assume(prefix.endswith("\n") or delimiter == "," or len(columns) > 1)
    order.shuffle(columns)
    place = columns.index("deviceId")
    lines = [[*row[:place], device, *row[place:]] for row, device in zip(rows, devices, strict=False)]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting).writerows([columns, *lines])

    # When it is run
    ran = campaigns.run(prefix.format(delimiter) + text.getvalue())

    # Then each of its rows is in the result once, in their order, with its own cells, and the requests are theirs
    assert ran.refusal == ""
    expected = [line for line in lines if any(cell.strip() for cell in line)]
    header, *found = list(
        csv.reader(io.StringIO(ran.result[len(prefix.format(delimiter)) :], newline=""), delimiter=delimiter)
    )
    assert [name.replace(" (file)", "") for name in header[: len(columns)]] == [
        name.replace(" (file)", "") for name in columns
    ]
    assert header[len(columns) :] == list(OUTCOME)
    width = len(columns)
    assert [row[:width] for row in found] == [[*line, *[""] * width][:width] for line in expected]
    told = [dict(zip(OUTCOME, row[width:], strict=True)) for row in found]
    assert [row["requestId"] for row in told if row["state"] == "NOT_TRIED"] == [
        request["requestId"] for request in ran.requests
    ]
    assert all(bool(row["reason"]) == (row["state"] == "REFUSED") for row in told)
    for request, line in zip(
        ran.requests,
        [line for line, row in zip(expected, told, strict=True) if row["state"] == "NOT_TRIED"],
        strict=True,
    ):
        cells = dict(zip(columns, [*line, *[""] * width], strict=False))
        assert request["deviceId"] == cells["deviceId"].strip()
        text_of_row = cells.get("content", "")
        assert request["content"] == (text_of_row if text_of_row.strip() else "Hello")


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode), st.sampled_from([b"", b"deviceId,content\n"]))
@example(b"\n\n\0\0\0\0", b"deviceId,content\n")
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_are_refused_or_told(campaigns: CampaignRuns, rest: bytes, header: bytes) -> None:
    ran = campaigns.run(header + rest)

    if not ran.refusal:
        assert len(ran.table()) - 1 == sum(ran.states.values())
    elif header:
        assert ran.refusal.startswith(("The file is not UTF-8", "A quote that begins a cell"))
