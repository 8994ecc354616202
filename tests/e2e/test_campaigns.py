"""A large campaign on the local stack: whatever process is killed, each row has one outcome and is sent once."""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.campaigns.progress import CampaignItem
from cube_sms.delivery.states import State
from cube_sms.platform import key_to
from local.stack import V4_ACCOUNT, LocalStack, wait_until
from local.workflows import Execution, campaign_result, start_campaign
from tests.e2e.aws_proxy import change_environment
from tests.e2e.test_permissions import Permission, without
from tests.e2e.test_send import a_device
from tests.e2e.test_workflows import a_campaign, ended, is_answered, manage
from tests.e2e.verdicts import set_visibility_timeout
from tests.e2e.workers import Workers, kill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = 2_000

# A claim's lease is 2 * (1 + 3) + 10 seconds.
SETTINGS = {"CUBE_CONNECT_TIMEOUT": "1", "CUBE_READ_TIMEOUT": "3"}
VISIBILITY_TIMEOUT = 19

FINAL = {str(state) for state in State if state.is_final}


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Return a stack with campaigns whose functions may do what their roles allow, and soon notice a crash."""
    with LocalStack({"Campaigns": "true"}, is_limited=False, authenticate=True) as stack:
        change_environment(stack, **SETTINGS)
        set_visibility_timeout(stack, VISIBILITY_TIMEOUT)
        yield stack


class Observer:
    """Asks again and again how far a campaign is.

    Parameters
    ----------
    stack : LocalStack
        The stack of the campaign.
    campaign : dict[str, str]
        Its input.
    """

    def __init__(self, stack: LocalStack, campaign: dict[str, str]) -> None:
        self.told: list[dict[str, Any]] = []
        self._stack = stack
        self._campaign = campaign
        self._is_over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Ask for as long as this context."""
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(0.5):
            # There is none before its execution has begun.
            if "rows" in (told := manage(self._stack, self._campaign)):
                self.told.append(told)


def test_every_row_is_sent_once_though_workers_and_execution_are_killed(stack: LocalStack) -> None:
    # Given a campaign of several batches that somebody watches
    devices = [a_device() for _ in range(ROWS)]
    campaign = a_campaign(content="Hello")
    workers = Workers(stack, stack.outputs["SendFromQueueFunctionName"])
    before, killed = stack.cube.stats()["accepted"], 0
    observer = Observer(stack, campaign)

    def sent(number: int) -> Callable[[], bool]:
        return lambda: stack.cube.stats()["accepted"] - before >= number

    with observer.watching():
        first = start_campaign(stack, "\n".join(["deviceId", *devices]), campaign)

        # When its workers are killed again and again, and its execution by hand between them
        for number in (200, 500, 800, 1_100, 1_400):
            wait_until(f"{number} rows to be sent", sent(number))
            for pid in workers.pids():
                kill(pid)
                killed += 1
            if number == 800:
                first.states.stop_execution(executionArn=first.arn)
                wait_until("it to be seen", lambda: manage(stack, campaign)["status"] == "BROKEN_OFF")
                assert "error" not in manage(stack, campaign, "resume")
        assert killed
        wait_until("its end", lambda: manage(stack, campaign)["status"] == "ENDED", timeout=600)

    # Then every row is in the result once, in the file's order, and has been sent
    result = campaign_result(stack, campaign["key"])
    assert [row["deviceId"] for row in result] == devices
    assert Counter(row["state"] for row in result) == {"SENT": ROWS}

    # And the provider accepted it once, or twice if a worker was killed over it and its record says so
    accepted = Counter(post["deviceId"] for post in stack.cube.requests() if post["accepted"])
    unsaid = {
        row["deviceId"]: (accepted[row["deviceId"]], row["possiblyDuplicated"])
        for row in result
        if accepted[row["deviceId"]] not in ((1, 2) if row["possiblyDuplicated"] == "true" else (1,))
    }
    assert unsaid == {}

    # And at all times each row was in one state, and those that had ended stayed so
    told = [each for each in observer.told if each["rows"]]
    assert {sum(each["states"].values()) for each in told} == {ROWS}
    finished = [sum(count for state, count in each["states"].items() if state in FINAL) for each in told]
    assert finished == sorted(finished)
    assert len({each["execution"] for each in told}) == 2
    assert 0 < finished[len(finished) // 2] <= ROWS


def test_a_row_that_turns_invalid_on_the_queue_ends_refused(stack: LocalStack) -> None:
    # Given a campaign whose rows are on the queue
    devices = [a_device(), a_device()]
    campaign = a_campaign()
    with stack.queue_paused():
        execution = start_campaign(stack, f"deviceId,content\n{devices[0]},Hello\n{devices[1]},Hello there\n", campaign)
        wait_until("its rows to be put", lambda: manage(stack, campaign).get("states") == {"QUEUED": 2})

        # When messages may not be as long any more as one of them is
        change_environment(stack, MAX_CONTENT_LENGTH="10")
    try:
        # Then it is refused, and the campaign ends with that
        assert ended(execution)["output"]["states"] == {"SENT": 1, "REFUSED": 1}
    finally:
        change_environment(stack, MAX_CONTENT_LENGTH="140")
    assert campaign_result(stack, campaign["key"])[1]["reason"] == "content: must have 1 to 10 characters, has 11"


@pytest.mark.parametrize(
    ("permission", "is_sent"),
    [
        (Permission("SendBatchRole", "ReadRows", "s3:GetObject"), False),
        (Permission("SendBatchRole", "WriteOutcomes", "s3:PutObject"), True),
        (Permission("SendBatchRole", "KeepRecords", "dynamodb:BatchGetItem"), False),
        (Permission("SendBatchRole", "KeepRecords", "dynamodb:GetItem"), False),
        (Permission("SendBatchRole", "KeepRecords", "dynamodb:UpdateItem"), False),
        (Permission("SendBatchRole", "PutOnSendQueue", "sqs:SendMessage"), False),
    ],
    ids=lambda value: value.action if isinstance(value, Permission) else "sent" if value else "new",
)
def test_a_batch_needs_each_permission(stack: LocalStack, permission: Permission, is_sent: bool) -> None:
    # Given a batch whose row has been sent, or of which nothing is known yet
    campaign = a_campaign(content="Hello")
    ended(start_campaign(stack, f"deviceId\n{a_device()}\n", campaign))
    bucket, name = stack.outputs["CampaignBucketName"], campaign["campaign"]
    s3, dynamodb = stack.aws.client("s3"), stack.aws.client("dynamodb")
    s3.delete_object(Bucket=bucket, Key=f"runs/{name}.outcomes/000000001.jsonl")
    for key in () if is_sent else (f"default#{name}-1", CampaignItem(name).batch(0)):
        dynamodb.delete_item(TableName=stack.outputs["MessagesTableName"], Key=key_to(key))
    batch = json.load(s3.get_object(Bucket=bucket, Key=f"runs/{name}.batches.jsonl")["Body"])
    event = {"bucket": bucket, "key": campaign["key"], "campaign": name, "batch": batch}

    # Then it can be looked at, but only with this permission
    with without(stack, permission):
        assert not is_answered(stack, "SendBatchFunction", event)
    assert is_answered(stack, "SendBatchFunction", event)


def test_rows_that_share_queries_need_the_credentials_to_be_counted_so(stack: LocalStack) -> None:
    # Given 25 rows of an account that uses v4, and that no function has heard of yet
    secret, bucket = stack.outputs["CubeSecretId"], stack.outputs["CampaignBucketName"]
    accounts = json.loads(stack.aws.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
    stack.put_credentials({**accounts, "newcomer": accounts[V4_ACCOUNT]})
    campaign = a_campaign(content="Hello", dryRun=True)
    rows = "".join(f"{a_device()},newcomer\n" for _ in range(25))
    stack.aws.client("s3").put_object(Bucket=bucket, Key=campaign["key"], Body=f"deviceId,account\n{rows}".encode())

    def queries() -> int:
        name = f"{stack.physical_id('PrepareCampaignFunction')}:live"
        event = {"bucket": bucket, "execution": "arn:aws:states:a-check", "input": campaign}
        answer = stack.aws.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
        return int(json.load(answer["Payload"])["estimate"]["queries"])

    # When the functions may not read the secret, each row counts as a query
    with without(stack, Permission("PrepareCampaignRole", "ReadCredentials", "secretsmanager:GetSecretValue")):
        assert queries() == 25

    # Then, with the permission, ten share one: what Lambda gives to an invocation here
    wait_until("the secret to be read", lambda: queries() == 3)


@pytest.mark.parametrize(
    ("permission", "action"),
    [
        (Permission("ManageCampaignRole", "ReadRows", "s3:GetObject"), "stop"),
        (Permission("ManageCampaignRole", "WriteOutcomes", "s3:PutObject"), "stop"),
        (Permission("ManageCampaignRole", "KeepRecords", "dynamodb:BatchGetItem"), "show"),
        (Permission("ManageCampaignRole", "KeepRecords", "dynamodb:GetItem"), "show"),
        (Permission("ManageCampaignRole", "KeepRecords", "dynamodb:UpdateItem"), "stop"),
        (Permission("ManageCampaignRole", "WatchCampaigns", "states:DescribeExecution"), "show"),
        (Permission("ManageCampaignRole", "ResumeCampaigns", "states:StartExecution"), "resume"),
    ],
    ids=lambda value: value.action if isinstance(value, Permission) else value,
)
def test_an_operator_needs_each_permission(stack: LocalStack, permission: Permission, action: str) -> None:
    # Given a campaign whose row is on the queue, or one that was killed there
    campaign = a_campaign(content="Hello")
    event = {"campaign": campaign["campaign"], "action": action}
    with stack.queue_paused():
        execution = start_campaign(stack, f"deviceId\n{a_device()}\n", campaign)
        wait_until("its row to be put", lambda: manage(stack, campaign).get("states") == {"QUEUED": 1})
        if action == "resume":
            execution.states.stop_execution(executionArn=execution.arn)

        # Then an operator can do this to it, but only with this permission
        with without(stack, permission):
            assert not is_answered(stack, "ManageCampaignFunction", event)
        assert is_answered(stack, "ManageCampaignFunction", event)
    wait_until("its end", lambda: manage(stack, campaign)["endedAt"])


def test_what_is_missing_is_known_here_without_a_permission(stack: LocalStack) -> None:
    # Given roles that may not list the bucket, which the local AWS does not ask for (docs/local.md)
    roles = ("PrepareCampaignRole", "SendBatchRole", "ReportCampaignRole", "ManageCampaignRole")
    campaign = a_campaign(content="Hello")

    with without(stack, *(Permission(role, "KnowWhatIsMissing", "s3:ListBucket") for role in roles)):
        # When a campaign is run whose outcomes are not there yet, and one whose file is not
        execution = ended(start_campaign(stack, f"deviceId\n{a_device()}\n", campaign))
        missing = ended(Execution.start(stack, stack.outputs["CampaignStateMachineArn"], {"key": "there-is-none.csv"}))

    # Then nothing is missed. If this fails, the local AWS now checks these permissions: add them to those needed
    assert execution["output"]["states"] == {"SENT": 1}
    assert missing["error"] == "CubeSms.InvalidCampaign"
