"""`cube-sms campaign`: check a file, start it, watch it, stop it and let it go on, and fetch its result."""

from __future__ import annotations

import csv
import uuid
from collections import Counter
from typing import TYPE_CHECKING

import pexpect
import pytest

from local.stack import LocalStack, wait_until
from tests.e2e.command import cube_sms, in_terminal
from tests.e2e.test_send import a_device

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = "Report your position"


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with LocalStack({"Campaigns": "true"}, is_limited=False) as stack:
        yield stack


class Campaign:
    """A campaign of some devices, and its file.

    Parameters
    ----------
    folder : Path
        The folder of the file.
    rows : int
        How many devices.
    *faulty : str
        Further rows.
    """

    def __init__(self, folder: Path, rows: int, *faulty: str) -> None:
        self.devices = [a_device() for _ in range(rows)]
        self.name = f"campaign-{uuid.uuid4().hex[:8]}"
        self.path = folder / f"{self.name}.csv"
        self.path.write_text("\n".join(["deviceId,site", *(f"{each},Oslo" for each in self.devices), *faulty, ""]))

    @property
    def file(self) -> str:
        return str(self.path)


def accepted(stack: LocalStack, campaign: Campaign) -> Counter[str]:
    """Return how often Cube has accepted a message for each device of a campaign."""
    posts = Counter(post["deviceId"] for post in stack.cube.requests() if post["accepted"])
    return Counter({device: posts[device] for device in campaign.devices})


def wait_for_states(stack: LocalStack, campaign: Campaign, **states: int) -> None:
    def are_there() -> bool:
        return bool(cube_sms(stack, "campaign", "watch", campaign.name, "--once", "--json").json["states"] == states)

    wait_until(f"{states}", are_there)


# ── A file is checked ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_checked_row_by_row_and_nothing_is_sent(stack: LocalStack, tmp_path: Path) -> None:
    # Given a file with a faulty row, and with a device that comes twice
    campaign = Campaign(tmp_path, 2, "sensor 7,Tromsø")
    campaign.path.write_text(campaign.path.read_text() + f"{campaign.devices[0]},Oslo\n")

    # When it is checked
    told = cube_sms(stack, "campaign", "check", campaign.file, "--text", TEXT)
    found = cube_sms(stack, "campaign", "check", campaign.file, "--text", TEXT, "--json")

    # Then both are reported by their rows, and so is the time at which it would end
    assert (told.status, found.status) == (1, 1)
    assert "3    refused" in told.out
    assert "deviceId: must be 1 to 64 characters" in told.out
    assert "4    device of an earlier row" in told.out
    assert "it takes at least 0 s and 3 queries" in told.out
    assert {"rows": 4, "valid": 3}.items() <= found.json.items()
    assert found.json["estimate"]["endsAt"]

    # And nothing is sent, nothing is kept, and no text and no device shows
    assert not accepted(stack, campaign).total()
    assert (
        not stack.aws.client("s3")
        .list_objects_v2(Bucket=stack.outputs["CampaignBucketName"], Prefix="checks/")
        .get("Contents")
    )
    assert not [each for each in (TEXT, *campaign.devices) if each in told.out + told.err + found.out]


def test_a_file_without_faults_ends_with_0(stack: LocalStack, tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, 2)
    stack.aws.client("s3").upload_file(campaign.file, stack.outputs["CampaignBucketName"], campaign.path.name)
    own = f"s3://{stack.outputs['CampaignBucketName']}/{campaign.path.name}"
    other = stack.aws.client("s3")
    other.create_bucket(Bucket="somebodys-own", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    other.upload_file(campaign.file, "somebodys-own", "folder/some.csv")

    for file in (campaign.file, own, "s3://somebodys-own/folder/some.csv"):
        checked = cube_sms(stack, "campaign", "check", file, "--text", TEXT, "--json")
        assert (checked.status, checked.json["valid"]) == (0, 2)


@pytest.mark.parametrize("action", ["check", "start"])
@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("there-is-none.csv", None, "There is no file"),
        (
            "s3://there-is-no-bucket/some.csv",
            None,
            "There is no object s3://there-is-no-bucket/some.csv.",
        ),
        ("two words.csv", "deviceId\n1\n", "campaign: must be 1 to 100 characters of A-Z, a-z, 0-9 and ._:-"),
        ("iccid.csv", "iccid\n1\n", 'The columns of the first line are "iccid"'),
        ("without.csv", "deviceId\n1\n", 'The columns of the first line are "deviceId"'),
    ],
)
def test_a_file_that_cannot_be_meant_is_a_sentence(
    stack: LocalStack, tmp_path: Path, action: str, file: str, content: str | None, sentence: str
) -> None:
    if content:
        (tmp_path / file).write_text(content)
    given = file if file.startswith("s3:") else str(tmp_path / file)

    told = cube_sms(stack, "campaign", action, given)

    assert (told.status, told.out) == (1, "")
    assert f"cube-sms: {sentence}" in told.err


# ── It is started and watched ───────────────────────────────────────────────────────────────────────────────────────


def test_a_campaign_is_watched_to_its_end_and_its_result_fetched(stack: LocalStack, tmp_path: Path) -> None:
    # Given a campaign with a faulty row
    campaign = Campaign(tmp_path, 5, "sensor 7,Tromsø")

    # When it is started without a terminal
    started = cube_sms(stack, "campaign", "start", campaign.file, "--text", TEXT, "--json")

    # Then it is watched to its end, in lines without colour
    assert started.status == 0
    told = {"campaign": campaign.name, "status": "ENDED", "rows": 6, "states": {"SENT": 5, "REFUSED": 1}}
    assert told.items() <= started.json.items()
    assert f"{campaign.name}: " in started.err
    assert "rows have ended" in started.err
    assert "\x1b" not in started.err

    # And what became of each row is in its result, which is written once
    output = str(tmp_path / "result.csv")
    fetched = cube_sms(stack, "campaign", "result", campaign.name, "--output", output)
    assert (fetched.status, "5" in fetched.out) == (0, True)
    with (tmp_path / "result.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["SENT"] * 5 + ["REFUSED"]
    again = cube_sms(stack, "campaign", "result", campaign.name, "--output", output)
    assert again.status == 1
    assert again.err == f"cube-sms: There is a file {output} already. Give another one with --output.\n"
    shown = cube_sms(stack, "campaign", "result", campaign.name, "--output", "-")
    assert shown.out.splitlines() == (tmp_path / "result.csv").read_text().splitlines()

    # And `watch` and `list` show it again, both without a device or the text
    watched = cube_sms(stack, "campaign", "watch", campaign.name)
    listed = cube_sms(stack, "campaign", "list", "--limit", "100")
    assert (watched.status, listed.status) == (0, 0)
    assert campaign.name in listed.out
    assert not [each for each in (TEXT, *campaign.devices) if each in watched.out + listed.out + started.err]

    # And the same name again sends nothing twice
    assert cube_sms(stack, "campaign", "start", campaign.file, "--text", TEXT).status == 0
    assert set(accepted(stack, campaign).values()) == {1}


def test_a_terminal_shows_a_bar_and_ctrl_c_leaves_the_campaign_running(stack: LocalStack, tmp_path: Path) -> None:
    # Given a campaign of which nothing can be sent yet
    campaign = Campaign(tmp_path, 20)
    with stack.queue_paused():
        # When it is started in a terminal
        terminal = in_terminal(stack, "campaign", "start", campaign.file, "--text", TEXT)
        terminal.expect("0/20")
        terminal.expect("expected end .*, in ")
        terminal.expect("20 QUEUED")
        terminal.expect("Ctrl-C leaves it running")

        # Then a second one of its name is refused, and it has no result yet
        second = cube_sms(stack, "campaign", "start", campaign.file)
        assert (second.status, f"The campaign {campaign.name} is RUNNING." in second.err) == (1, True)
        result = cube_sms(stack, "campaign", "result", campaign.name)
        assert (result.status, f"cube-sms campaign watch {campaign.name}" in result.err) == (3, True)
        once = cube_sms(stack, "campaign", "watch", campaign.name, "--once", "--json")
        assert (once.status, once.json["states"]) == (3, {"QUEUED": 20})

        # And Ctrl-C leaves it running
        terminal.sendintr()
        terminal.expect(f"The campaign {campaign.name} goes on. Look again with: cube-sms campaign watch")
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 3

    # And an operator who looks again sees its end
    terminal = in_terminal(stack, "campaign", "watch", campaign.name)
    terminal.expect("ENDED, 20 rows")
    terminal.expect(r"SENT\s+20")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    assert set(accepted(stack, campaign).values()) == {1}


# ── It is stopped, and goes on ──────────────────────────────────────────────────────────────────────────────────────


def test_a_campaign_is_paused_and_goes_on(stack: LocalStack, tmp_path: Path) -> None:
    # Given a campaign whose rows are on the queue
    campaign = Campaign(tmp_path, 10)
    with stack.queue_paused():
        started = cube_sms(stack, "campaign", "start", campaign.file, "--text", TEXT, "--no-watch")
        assert (started.status, f"cube-sms campaign watch {campaign.name}" in started.out) == (0, True)
        wait_for_states(stack, campaign, QUEUED=10)

        # When it is paused
        paused = cube_sms(stack, "campaign", "pause", campaign.name)
        assert (paused.status, f"cube-sms campaign resume {campaign.name}" in paused.out) == (0, True)

        # Then its rows are cancelled, which is no end that somebody waited for
        watched = cube_sms(stack, "campaign", "watch", campaign.name, "--json")
        assert (watched.status, watched.json["status"], watched.json["states"]) == (1, "STOPPED", {"CANCELLED": 10})

    # And when it is resumed, each is sent once
    resumed = cube_sms(stack, "campaign", "resume", campaign.name, "--json")
    assert (resumed.status, resumed.json["states"]) == (0, {"SENT": 10})
    assert set(accepted(stack, campaign).values()) == {1}
    too_late = cube_sms(stack, "campaign", "pause", campaign.name)
    assert (too_late.status, "has ended already" in too_late.err) == (1, True)


def test_a_campaign_is_stopped_if_that_is_meant(stack: LocalStack, tmp_path: Path) -> None:
    # Given a campaign whose rows are on the queue
    campaign = Campaign(tmp_path, 4)
    with stack.queue_paused():
        cube_sms(stack, "campaign", "start", campaign.file, "--text", TEXT, "--no-watch")
        wait_for_states(stack, campaign, QUEUED=4)

        # When the command cannot ask, or the operator says no, then the campaign goes on
        unasked = cube_sms(stack, "campaign", "stop", campaign.name)
        assert (unasked.status, "Cancel the 4 rows" in unasked.err) == (1, True)
        terminal = in_terminal(stack, "campaign", "stop", campaign.name)
        terminal.expect("Cancel the 4 rows")
        terminal.sendline("n")
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 1
        wait_for_states(stack, campaign, QUEUED=4)

        # When it is meant, then the command sees it end
        stopped = cube_sms(stack, "campaign", "stop", campaign.name, "--yes", "--json")
    assert (stopped.status, stopped.json["status"], stopped.json["states"]) == (0, "STOPPED", {"CANCELLED": 4})
    assert not accepted(stack, campaign).total()
    assert cube_sms(stack, "campaign", "result", campaign.name, "--output", "-").out.count("CANCELLED") == 4


def test_a_campaign_that_was_killed_says_so_and_goes_on(stack: LocalStack, tmp_path: Path) -> None:
    # Given a campaign whose execution is killed
    campaign = Campaign(tmp_path, 3)
    with stack.queue_paused():
        started = cube_sms(stack, "campaign", "start", campaign.file, "--text", TEXT, "--no-watch", "--json")
        stack.aws.client("stepfunctions").stop_execution(executionArn=started.json["execution"])

        # Then an operator who looks sees that, and how to continue it
        watched = cube_sms(stack, "campaign", "watch", campaign.name)
        assert (watched.status, "BROKEN_OFF" in watched.out, "ABORTED" in watched.err) == (1, True, True)
        assert f"cube-sms campaign resume {campaign.name}" in watched.err
        assert cube_sms(stack, "campaign", "result", campaign.name).status == 1
    assert cube_sms(stack, "campaign", "resume", campaign.name, "--json").json["states"] == {"SENT": 3}


@pytest.mark.parametrize("action", ["watch", "pause", "resume", "stop", "result"])
def test_a_campaign_that_there_is_none_of_is_a_sentence(stack: LocalStack, action: str) -> None:
    told = cube_sms(stack, "campaign", action, "no-such")

    assert (told.status, told.out) == (1, "")
    assert (
        told.err == "cube-sms: There is no campaign named no-such. See what there is with `cube-sms campaign list`.\n"
    )


def test_a_stack_without_campaigns_says_what_is_missing(open_stack: LocalStack) -> None:
    told = cube_sms(open_stack, "campaign", "list")

    assert (told.status, told.out) == (1, "")
    assert "has no output CampaignBucketName. Deploy the stack with Campaigns=true." in told.err
