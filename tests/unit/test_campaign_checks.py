"""Checks of a campaign's file: the head before all else, and every row in a dry run, which sends nothing."""

from __future__ import annotations

import io
import json
import string
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.response import StreamingBody
from hypothesis import given
from hypothesis import strategies as st

from cube_sms.campaigns import Campaign, CampaignPreparer, DryRunner
from cube_sms.campaigns.checks import FIRST_ROWS, MOST_REASON, MOST_TOLD, has_wrong_check_digit
from cube_sms.pacing.gate_item import GATE_KEY
from cube_sms.platform import DAY, Settings
from functions.prepare_campaign import app
from tests.unit.campaign_runs import ENVIRONMENT, CampaignRuns
from tests.unit.gate_table import gate, post
from tests.unit.records_table import TABLE

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

    from tests.support import Clock

# The check digits of these are right.
DEVICE = "89314404000939952264"
OTHER = "89314404000939952272"
THIRD = "89314404000939952280"
NOTHING = {"count": 0, "first": []}

# What Step Functions takes as the output of a state.
MOST_OUTPUT = 262_144


@pytest.fixture(scope="module")
def campaigns(dynamodb: DynamoDBClient) -> Iterator[CampaignRuns]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield CampaignRuns.deploy(monkeypatch)


def luhn(digits: str) -> str:
    """Return digits with their check digit, worked out as ISO/IEC 7812-1 tells it."""
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits))]
    return digits + str(-sum(sum(divmod(number, 10)) for number in doubled) % 10)


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """Give what the function logs."""
    handler = cast("logging.StreamHandler[Any]", app.telemetry.logger.registered_handler)
    earlier = handler.setStream(log := io.StringIO())
    try:
        yield log
    finally:
        handler.setStream(cast("Any", earlier))


# ── Files whose rows are all faulty ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("run", [CampaignRuns.run, CampaignRuns.dry_run])
def test_a_file_whose_first_rows_are_all_faulty_cannot_be_meant(campaigns: CampaignRuns, run: Any) -> None:
    # Given ICCIDs as a spreadsheet shows them, and one row further down that has been mended
    rows = "8.93144E+18,Hi\n,\n" * FIRST_ROWS

    answer = run(campaigns, f"deviceId,content\n{rows}{DEVICE},Hi\n")

    # Then the campaign is refused with the first of its faults and with what is wanted
    refusal = answer["refusal"] if isinstance(answer, dict) else answer.refusal
    assert refusal.startswith(f"The first {FIRST_ROWS} rows are all faulty (rows are counted from 1 below the header")
    assert "row 3: deviceId: must be 1 to 64 characters" in refusal
    assert "is a number as a spreadsheet shows it: make the column text" in refusal
    assert "row 4:" not in refusal
    assert "A campaign's file is CSV in UTF-8" in refusal
    assert len(refusal) < 32_768


def test_what_follows_them_is_not_read(campaigns: CampaignRuns) -> None:
    # Given a file that breaks off behind its faulty rows
    ran = campaigns.run("deviceId,content\n" + "sensor 7,Hi\n" * 20_000 + '"')

    assert ran.refusal.startswith(f"The first {FIRST_ROWS} rows are all faulty")


@pytest.mark.parametrize("place", [0, FIRST_ROWS - 1])
def test_one_row_that_is_right_is_enough(campaigns: CampaignRuns, place: int) -> None:
    rows = ["sensor 7,Hi"] * (FIRST_ROWS + 50)
    rows[place] = f"{DEVICE},Hi"

    ran = campaigns.run("\n".join(["deviceId,content", *rows]))

    assert ran.states == {"NOT_TRIED": 1, "REFUSED": FIRST_ROWS + 49}


def test_a_few_faulty_rows_are_told_in_the_result(campaigns: CampaignRuns) -> None:
    ran = campaigns.run("deviceId,content\n" + "sensor 7,Hi\n" * (FIRST_ROWS - 1))

    assert ran.states == {"REFUSED": FIRST_ROWS - 1}


def test_a_refusal_of_rows_is_logged_without_what_it_quotes(campaigns: CampaignRuns) -> None:
    with logged() as log:
        campaigns.run("deviceId,content\n" + "sensor 7,Secret text\n" * FIRST_ROWS)

    (line,) = map(json.loads, log.getvalue().splitlines())
    assert (line["message"], line["part"]) == ("campaign refused", "rows")
    assert "sensor" not in log.getvalue()


# ── A dry run ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dry_run_tells_of_every_row_and_sends_nothing(campaigns: CampaignRuns) -> None:
    # Given rows of every kind, with an empty one among them
    rounded, wrong = "8931440400093990000", luhn("8931440400093995225")[:-1] + "9"
    assert has_wrong_check_digit(wrong)
    devices = [DEVICE, "sensor 7", OTHER, "", DEVICE, wrong, rounded, "8.93144E+18", "router7"]

    found = campaigns.dry_run("deviceId,site\n" + "".join(f"{device},\n" for device in devices))

    # Then all is told by the numbers that ids have too
    assert found.keys() == {
        "dryRun",
        "key",
        "campaign",
        "rows",
        "valid",
        "refused",
        "repeatedDevices",
        "wrongCheckDigits",
        "roundedIccids",
        "estimate",
    }
    assert (found["dryRun"], found["rows"], found["valid"]) == (True, 8, 6)
    must = "deviceId: must be 1 to 64 characters of 0-9, A-Z and a-z, usually the ICCID of the SIM"
    hint = "deviceId: is a number as a spreadsheet shows it: make the column text, then put the ICCIDs in"
    assert found["refused"] == {
        "count": 2,
        "first": [{"row": 2, "reason": must}, {"row": 7, "reason": f"{must}; {hint}"}],
    }
    assert found["repeatedDevices"] == {"count": 1, "first": [{"row": 4, "deviceId": "*" * 16 + "2264"}]}
    assert found["wrongCheckDigits"] == {"count": 1, "first": [{"row": 5, "deviceId": "*" * 16 + wrong[-4:]}]}
    assert found["roundedIccids"] == {"count": 1, "first": [{"row": 6, "deviceId": "*" * 15 + "0000"}]}
    assert found["estimate"].items() >= {"seconds": 1, "days": 1, "queriesPerSecond": 10, "usedToday": 0}.items()


def test_a_run_counts_what_is_odd_and_sends_it(campaigns: CampaignRuns) -> None:
    file = f"deviceId\n{DEVICE}\n{DEVICE}\n89314404000939952265\n89314404000939900000\nsensor 7\n"
    with logged() as log:
        ran = campaigns.run(file)

    assert ran.states == {"NOT_TRIED": 4, "REFUSED": 1}
    prepared = json.loads(log.getvalue().splitlines()[0])
    assert prepared["message"] == "campaign prepared"
    assert (prepared["rows"], prepared["requests"]) == (5, 4)
    assert prepared["warnings"] == {"repeatedDevices": 1, "wrongCheckDigits": 1, "roundedIccids": 1}
    # As in a dry run
    found = campaigns.dry_run(file)
    assert {name: found[name]["count"] for name in prepared["warnings"]} == prepared["warnings"]


def test_a_dry_run_is_logged_without_what_is_in_the_file(campaigns: CampaignRuns) -> None:
    with logged() as log:
        found = campaigns.dry_run(f"deviceId,content\n{DEVICE},Secret text\n{DEVICE},Secret text\n")

    (line,) = map(json.loads, log.getvalue().splitlines())
    assert (line["message"], line["rows"], line["requests"]) == ("campaign checked", 2, 2)
    for text in (log.getvalue(), json.dumps(found)):
        assert DEVICE not in text
        assert "Secret" not in text


def test_what_a_dry_run_tells_is_no_more_than_a_state_may_put_out(campaigns: CampaignRuns) -> None:
    # Given many rows of every kind, with as many faults as a row can have
    columns = "deviceId,account,requestId,expiresAt,delivery,messageType,content"
    faulty = f"sensor 7,A B,{'ü' * 200},soon,twice,text,{'x' * 200}"
    rows = [f"{DEVICE},,,,,,Hi", *[faulty] * 300, *[f"{DEVICE},,,,,,Hi", "89314404000939900000,,,,,,Hi"] * 300]
    rows += [f"{number}5,,,,,,Hi" for number in range(8931440400093995000, 8931440400093996000)]

    found = campaigns.dry_run("\n".join([columns, *rows]))

    assert [found[kind]["count"] > MOST_TOLD for kind in ("refused", "repeatedDevices", "wrongCheckDigits")] == [
        True
    ] * 3
    assert [len(found[kind]["first"]) for kind in ("refused", "repeatedDevices", "roundedIccids")] == [MOST_TOLD] * 3
    assert {each["reason"][MOST_REASON:] for each in found["refused"]["first"]} == {"…"}
    assert len(json.dumps(found).encode()) < MOST_OUTPUT / 2


def test_a_dry_run_fails_where_the_run_would(campaigns: CampaignRuns) -> None:
    assert "is never closed" in campaigns.dry_run(f'deviceId\n{DEVICE}\n"\n')["refusal"]
    assert 'no "deviceId"' in campaigns.dry_run("iccid\n1\n")["refusal"]
    assert "There is no file" in campaigns.dry_run("", key="nothing.csv")["refusal"]


def test_a_dry_run_knows_the_limits_and_what_is_used_of_them(
    campaigns: CampaignRuns, dynamodb: DynamoDBClient, clock: Clock
) -> None:
    # Given 3 of 10 queries of the day that were made
    dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": GATE_KEY}})
    s3 = campaigns._s3
    worker = gate(dynamodb, clock, quota=10)
    for _ in range(3):
        post(worker, clock)
    s3.put_object(Bucket="campaigns", Key="limits.csv", Body="\n".join(["deviceId", *["8931"] * 15]).encode())

    # When a campaign of 15 rows is run dry that leaves a fifth of the day's queries to others
    preparer = CampaignPreparer(s3)
    limits = {"CUBE_MAX_QPS": "10", "CUBE_DAILY_QUOTA": "10", "CUBE_QUOTA_RESERVE_PERCENT": "20"}
    runner = DryRunner(preparer, dynamodb, Settings.from_environment({**ENVIRONMENT, **limits}), clock=clock)
    expected = runner.run(Campaign("campaigns", "limits.csv", "limits", "Hello"))["estimate"]

    # Then it takes today, tomorrow and the day after: 5, 8 and 2 rows
    days_left = 2 * DAY - clock() % DAY
    assert expected.pop("seconds") == pytest.approx(days_left, abs=2)
    assert expected.pop("endsAt")[10:16] == "T00:00"
    told = {"queriesPerSecond": 10, "queriesPerDay": 10, "reservePercent": 20, "usedToday": 3}
    assert expected == {"queries": 15, "days": 3, **told}
    # And tomorrow nothing is used
    clock.now += DAY
    assert runner.run(Campaign("campaigns", "limits.csv", "limits", "Hello"))["estimate"]["usedToday"] == 0


@given(st.text(string.digits, min_size=16, max_size=17), st.sampled_from(["", "F", "f"]), st.integers(0, 9))
def test_check_digits_are_luhns(digits: str, filler: str, last: int) -> None:
    iccid = luhn(f"89{digits}")
    if len(iccid) == 20:
        filler = ""

    assert not has_wrong_check_digit(iccid + filler)
    assert has_wrong_check_digit(f"{iccid[:-1]}{last}{filler}") == (str(last) != iccid[-1])
    # Other ids have none
    assert not has_wrong_check_digit(f"77{iccid[2:-1]}{last}")
    assert not has_wrong_check_digit(f"{iccid[:17]}{last}")
    assert not has_wrong_check_digit(f"{iccid}{last}{last}")


@pytest.mark.parametrize(
    ("device", "is_told"),
    [
        ("8.93144E+18", True),
        ("8,93144E+18", True),
        ("8.9314404000939952e+19", True),
        ("89314404000939952261.0", True),
        ("89,314,404,000,939,952,261", True),
        ("sensor 7", False),
        ("", False),
    ],
)
def test_a_number_of_a_spreadsheet_is_told_apart(campaigns: CampaignRuns, device: str, is_told: bool) -> None:
    (refused,) = campaigns.dry_run(f'deviceId,site\n"{device}",x\n')["refused"]["first"]

    assert ("as a spreadsheet shows it" in refused["reason"]) == is_told


def test_an_id_that_is_right_has_no_hint(campaigns: CampaignRuns) -> None:
    (refused,) = campaigns.dry_run("deviceId,account\n8E18,A B\n")["refused"]["first"]

    assert refused["reason"].startswith("account: must be")
    assert "spreadsheet" not in refused["reason"]


# ── Files of any size ───────────────────────────────────────────────────────────────────────────────────────────────


class _Rows(io.RawIOBase):
    """A file that is made while it is read: a header, and a row for each of so many devices, every tenth one twice."""

    def __init__(self, rows: int) -> None:
        self._lines = (f"{89314404000900000000 + number - (number % 10 == 9)},Oslo\r\n" for number in range(rows))
        self._rest = b"deviceId,site\r\n"

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        size = size if size is not None and size >= 0 else 1 << 62
        while len(self._rest) < size and (line := next(self._lines, None)):
            self._rest += line.encode()
        given, self._rest = self._rest[:size], self._rest[size:]
        return given


class _Bucket:
    """As much of S3 as a dry run needs."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def get_object(self, **_: Any) -> dict[str, Any]:
        return {"Body": StreamingBody(cast("Any", _Rows(self._rows)), cast("Any", None))}


def test_many_rows_are_checked_in_little_memory() -> None:
    preparer = CampaignPreparer(cast("S3Client", _Bucket(40_000)))
    tracemalloc.start()

    checks = preparer.check(Campaign("campaigns", "large.csv", "large", "Hello"))

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (checks.rows, checks.valid, checks.repeated_devices.count) == (40_000, 40_000, 4_000)
    # What is kept of each device, and a part of the file
    assert peak < 40_000 * 130 + 3_000_000


def test_devices_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cube_sms.campaigns.checks.MOST_DEVICES", 50)

    checks = CampaignPreparer(cast("S3Client", _Bucket(1_000))).check(Campaign("campaigns", "x.csv", "x", "Hello"))

    # Of the first fifty devices, five come again
    assert (checks.rows, checks.repeated_devices.count) == (1_000, 5)
