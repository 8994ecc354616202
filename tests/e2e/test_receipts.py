"""Receipts on the local stack: what the provider says later of messages that it has accepted."""

from __future__ import annotations

import csv
import json
import math
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import boto3
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from cube_sms.delivery import FollowedRecords, Record, State
from cube_sms.delivery.records import RecordTable
from cube_sms.followup.matching import final_receipts
from cube_sms.pacing import Pause, end_pause, order_pause
from cube_sms.provider import Receipt
from local.ministack import REGION
from local.stack import V4_ACCOUNT, LocalStack, wait_until
from scripts.schemas import outcome_event_schema
from tests.e2e.aws_proxy import change_environment
from tests.e2e.command import cube_sms
from tests.e2e.outcomes import OutcomeConsumer
from tests.e2e.test_permissions import Permission, without
from tests.e2e.test_send import a_device
from tests.processes import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

TEXT = "Report your position, PIN Kx4711q 请勿"
DELIVERED, FAILED, PROCESSING = 1, 2, 3
FOLLOWERS = 2


class Receipts(NamedTuple):
    """A stack that asks for receipts, and a consumer of what it publishes."""

    stack: LocalStack
    consumer: OutcomeConsumer

    def send(self, device: str, content: str = TEXT) -> str:
        """Send a message through the API, and return its request id."""
        request_id = f"receipt-{uuid4()}"
        body = {"deviceId": device, "content": content, "account": V4_ACCOUNT, "requestId": request_id}
        assert self.stack.call_api("POST", "/messages", json.dumps(body)).body["state"] == State.SENT
        return request_id

    def record(self, request_id: str) -> Record:
        """Return the record of a message."""
        table = RecordTable(self.stack.aws.client("dynamodb"), self.stack.outputs["MessagesTableName"])
        record = table.get(f"{V4_ACCOUNT}#{request_id}")
        assert record
        return record

    def make_due(self, *request_ids: str) -> None:
        """Let the time pass until the receipts of messages are asked for."""
        for request_id in request_ids:
            self.stack.aws.client("dynamodb").update_item(
                TableName=self.stack.outputs["MessagesTableName"],
                Key={"messageId": {"S": f"{V4_ACCOUNT}#{request_id}"}},
                UpdateExpression="SET dueAt = :past",
                ConditionExpression="attribute_exists(dueAt)",
                ExpressionAttributeValues={":past": {"N": str(time.time() - 1)}},
            )

    def invoke(self) -> dict[str, Any]:
        """Invoke the function, as the schedule does each minute, and return Lambda's answer."""
        name = f"{self.stack.outputs['FollowUpFunctionName']}:live"
        answer: dict[str, Any] = self.stack.aws.client("lambda").invoke(FunctionName=name, Payload=b"{}")
        return answer

    def is_asked(self, *request_ids: str) -> bool:
        """Let what is due be looked at, and return whether none of some messages is due any more."""
        answer = self.invoke()
        assert "FunctionError" not in answer, answer["Payload"].read()
        now = time.time()
        return all((self.record(each).due_at or now + 1) > now for each in request_ids)

    def ask(self, *request_ids: str) -> list[State]:
        """Let receipts be asked for, and return the states of the messages after that."""
        self.make_due(*request_ids)
        wait_until("a look at what is due", lambda: self.is_asked(*request_ids))
        return [self.record(request_id).state for request_id in request_ids]


@pytest.fixture(scope="module")
def receipts() -> Iterator[Receipts]:
    with LocalStack({"Receipts": "true", "Campaigns": "true"}, is_limited=False) as stack:
        yield Receipts(stack, OutcomeConsumer(stack))


def test_message_is_delivered_and_there_is_an_event(receipts: Receipts) -> None:
    # Given a message that the provider has accepted, and knows nothing more of
    device = a_device()
    receipts.stack.cube.configure(sent_statuses={device: PROCESSING})
    request_id = receipts.send(device)
    # When its receipt is asked for, then it is still SENT, and asked for again later
    assert receipts.ask(request_id) == [State.SENT]
    assert (receipts.record(request_id).due_at or 0.0) > time.time()
    # When the provider says that the device has it
    receipts.stack.cube.configure(sent_statuses={device: DELIVERED})
    assert receipts.ask(request_id) == [State.DELIVERED]
    # Then nobody asks any more, the API shows it, and the same request is answered as before
    record = receipts.record(request_id)
    assert (record.due_at, record.content_hash) == (None, None)
    shown = receipts.stack.call_api("GET", f"/messages/{request_id}?account={V4_ACCOUNT}")
    assert (shown.status, shown.body["state"]) == (200, "DELIVERED")
    body = {"deviceId": device, "content": TEXT, "account": V4_ACCOUNT, "requestId": request_id}
    again = receipts.stack.call_api("POST", "/messages", json.dumps(body))
    assert (again.status, again.body["state"]) == (200, "DELIVERED")
    # And the bus has one event of each end, as the schema has it
    sent, delivered = receipts.consumer.wait_for(2, requestId=request_id)
    assert [sent["detail-type"], delivered["detail-type"]] == ["SMS Sent", "SMS Delivered"]
    assert sent["detail"]["eventId"] != delivered["detail"]["eventId"]
    assert list(Draft202012Validator(outcome_event_schema()).iter_errors(delivered)) == []


def test_message_is_undelivered_with_the_providers_error(receipts: Receipts) -> None:
    # Given a device that cannot be reached
    device = a_device()
    receipts.stack.cube.configure(sent_statuses={device: FAILED})
    request_id = receipts.send(device)
    # When its receipt is asked for
    assert receipts.ask(request_id) == [State.UNDELIVERED]
    # Then the event has the provider's code
    _, undelivered = receipts.consumer.wait_for(2, requestId=request_id)
    assert undelivered["detail-type"] == "SMS Undelivered"
    assert undelivered["detail"]["code"] == "CB-04-0001"
    shown = receipts.stack.call_api("GET", f"/messages/{request_id}?account={V4_ACCOUNT}")
    assert (shown.status, shown.body["state"], shown.body["code"]) == (200, "UNDELIVERED", "CB-04-0001")


def test_same_text_twice_is_delivered_no_more_often_than_the_provider_says(receipts: Receipts) -> None:
    # Given three messages that are alike, of which the provider knows the first one's end
    device = a_device()
    receipts.stack.cube.configure(sent_statuses={device: [DELIVERED, PROCESSING]})
    request_ids = [receipts.send(device) for _ in range(3)]
    asked = receipts.stack.cube.stats()["read"]
    # When the last one is asked for alone, it may take the receipt for its own
    (state,) = receipts.ask(request_ids[2])
    assert state is State.DELIVERED
    # Then the others do not take it once more, and one question asks for both
    assert receipts.ask(*request_ids[:2]) == [State.SENT, State.SENT]
    assert receipts.stack.cube.stats()["read"] == asked + 2
    # And when the provider knows all, there are as many of each as it says
    receipts.stack.cube.configure(sent_statuses={device: [DELIVERED, FAILED, DELIVERED]})
    receipts.ask(*request_ids[:2])
    assert Counter(receipts.record(each).state for each in request_ids) == {State.DELIVERED: 2, State.UNDELIVERED: 1}


def test_receipt_of_another_text_or_type_is_not_taken(receipts: Receipts) -> None:
    # Given a message that is not over, and another one to the same device that is
    device = a_device()
    receipts.stack.cube.configure(sent_statuses={device: [PROCESSING, DELIVERED]})
    waiting, over = receipts.send(device, "first"), receipts.send(device, "second")
    # When both are asked for, then each has its own
    assert receipts.ask(waiting, over) == [State.SENT, State.DELIVERED]


def test_window_that_is_over_is_told_and_nobody_is_asked(receipts: Receipts) -> None:
    # Given a message that was sent four days ago
    device = a_device()
    request_id = receipts.send(device)
    receipts.stack.aws.client("dynamodb").update_item(
        TableName=receipts.stack.outputs["MessagesTableName"],
        Key={"messageId": {"S": f"{V4_ACCOUNT}#{request_id}"}},
        UpdateExpression="SET updatedAt = :past",
        ExpressionAttributeValues={":past": {"S": "2026-01-01T00:00:00.000Z"}},
    )
    asked = receipts.stack.cube.stats()["read"]
    # When it is due
    assert receipts.ask(request_id) == [State.SENT]
    # Then it stays as it is, nobody asks any more, and the log says so
    assert receipts.record(request_id).due_at is None
    assert receipts.stack.cube.stats()["read"] == asked
    lines = [entry for entry in receipts.stack.outcomes() if entry.get("request_id") == request_id]
    assert lines[-1]["message"] == "receipt overdue"


def test_campaign_says_how_many_were_delivered_and_its_result_which(receipts: Receipts, tmp_path: Path) -> None:
    # Given a campaign to devices that get its message, that cannot be reached, and that are off
    devices = [a_device() for _ in range(3)]
    ends = (DELIVERED, FAILED, PROCESSING)
    receipts.stack.cube.configure(sent_statuses=dict(zip(devices, ends, strict=True)))
    name = f"campaign-{uuid4()}"
    file = tmp_path / f"{name}.csv"
    file.write_text("\n".join(["deviceId,account", *(f"{device},{V4_ACCOUNT}" for device in devices)]))
    # When it has ended, then each row is sent
    started = cube_sms(receipts.stack, "campaign", "start", str(file), "--text", TEXT, "--json")
    assert (started.status, started.json["states"]) == (0, {"SENT": 3})
    # When the receipts are there
    known = [State.DELIVERED, State.UNDELIVERED, State.SENT]
    assert receipts.ask(*(f"{name}-{number}" for number in (1, 2, 3))) == known
    # Then whoever looks again sees how many were delivered
    counts = dict.fromkeys(map(str, known), 1)

    def shown() -> bool:
        return bool(cube_sms(receipts.stack, "campaign", "watch", name, "--once", "--json").json["states"] == counts)

    wait_until(f"{counts}", shown)
    # And the result has the state of each row
    output = tmp_path / "result.csv"
    fetched = cube_sms(receipts.stack, "campaign", "result", name, "--output", str(output), "--json")
    assert (fetched.status, fetched.json["states"]) == (0, counts), fetched.err
    assert "stays as it is" not in fetched.err
    with output.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["deviceId"], row["state"]) for row in rows] == list(zip(devices, known, strict=True))
    assert rows[1]["code"] == "CB-04-0001"
    # And nothing was sent twice, nor did the end of the campaign change
    posts = Counter(post["deviceId"] for post in receipts.stack.cube.requests() if post["accepted"])
    assert [posts[device] for device in devices] == [1, 1, 1]
    assert fetched.json["endedAt"] == started.json["endedAt"]
    # And when the rows are deleted, the last result stays
    bucket = receipts.stack.outputs["CampaignBucketName"]
    receipts.stack.aws.client("s3").delete_object(Bucket=bucket, Key=f"runs/{name}.rows.jsonl")
    shown_again = cube_sms(receipts.stack, "campaign", "result", name, "--output", "-")
    assert f"The rows of the campaign {name} are deleted. The result stays as it is." in shown_again.err
    assert shown_again.out.splitlines() == output.read_text(encoding="utf-8").splitlines()


def test_account_of_csss_has_no_receipts(receipts: Receipts) -> None:
    # When a message of such an account is sent
    request_id = f"csss-{uuid4()}"
    body = json.dumps({"deviceId": a_device(), "content": TEXT, "requestId": request_id})
    assert receipts.stack.call_api("POST", "/messages", body).status == 200
    # Then it is in no index
    item = receipts.stack.aws.client("dynamodb").get_item(
        TableName=receipts.stack.outputs["MessagesTableName"], Key={"messageId": {"S": f"default#{request_id}"}}
    )["Item"]
    assert item.keys().isdisjoint({"due", "dueAt", "contentHash"})


def test_logs_and_table_show_no_content(receipts: Receipts) -> None:
    # Given what the tests above have sent and asked for
    lines = receipts.stack.log_lines()
    assert [line for line in lines if '"message DELIVERED"' in line]
    items = receipts.stack.aws.client("dynamodb").scan(TableName=receipts.stack.outputs["MessagesTableName"])["Items"]
    # Then nothing of it is in a log or an item
    assert [line for line in lines if "Kx4711q" in line or "请勿" in line] == []
    assert "Kx4711q" not in json.dumps(items, ensure_ascii=False)


# ── Permissions ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def guarded() -> Iterator[Receipts]:
    """Return a stack whose functions may do what their roles allow and nothing else."""
    with LocalStack({"Receipts": "true"}, is_limited=False, authenticate=True) as stack:
        yield Receipts(stack, OutcomeConsumer(stack))


@pytest.mark.parametrize(
    "permission",
    [
        Permission("FollowUpRole", "FindDue", "dynamodb:Query"),
        Permission("FollowUpRole", "ReadItems", "dynamodb:BatchGetItem"),
        Permission("FollowUpRole", "WriteItems", "dynamodb:UpdateItem"),
        Permission("FollowUpRole", "ReadCredentials", "secretsmanager:GetSecretValue"),
    ],
    ids=lambda permission: permission.action,
)
def test_a_receipt_needs_each_permission(guarded: Receipts, permission: Permission) -> None:
    # Given a message that is due, and a function that has not fetched the secret yet
    request_id = guarded.send(a_device())
    change_environment(guarded.stack, RESTARTED_FOR=permission.sid)
    guarded.make_due(request_id)
    # When a permission is missing, then its end is not known
    with without(guarded.stack, permission):
        guarded.invoke()
        assert guarded.record(request_id).state is State.SENT
    # And with it, it is
    wait_until("a receipt", lambda: guarded.ask(request_id) == [State.DELIVERED])


def test_a_pause_is_heeded_by_whoever_may_look_for_it(guarded: Receipts) -> None:
    # Given an operator's pause, a worker that has not looked at the gate shortly before it, and a message that is due
    request_id = guarded.send(a_device())
    dynamodb, table = guarded.stack.aws.client("dynamodb"), guarded.stack.outputs["MessagesTableName"]
    order_pause(dynamodb, table, Pause(time.time(), math.inf, "drill"))
    change_environment(guarded.stack, RESTARTED_FOR="a pause")
    asked = guarded.stack.cube.stats()["read"]
    guarded.make_due(request_id)
    # When it is looked at, then nobody is asked
    wait_until("a run", lambda: "FunctionError" not in guarded.invoke())
    assert (guarded.record(request_id).state, guarded.stack.cube.stats()["read"]) == (State.SENT, asked)
    # But without the permission the pause is not seen
    with without(guarded.stack, Permission("FollowUpRole", "ReadItems", "dynamodb:GetItem")):
        change_environment(guarded.stack, RESTARTED_FOR="GetItem")
        assert guarded.ask(request_id) == [State.DELIVERED]
    end_pause(dynamodb, table)


# ── Two followers at the same moment ────────────────────────────────────────────────────────────────────────────────

_followed: tuple[FollowedRecords, Barrier] | None = None


def test_two_followers_at_once_settle_a_message_once(receipts: Receipts) -> None:
    # Given messages that are alike, two by two, and one receipt for each two
    pairs = []
    for number in range(10):
        device = a_device()
        pairs.append((device, [receipts.record(receipts.send(device, f"{TEXT} {number}")) for _ in range(2)]))
    url, table = receipts.stack.aws.url, receipts.stack.outputs["MessagesTableName"]
    arguments: Any = (url, table, CONTEXT.Barrier(FOLLOWERS))
    with ProcessPoolExecutor(FOLLOWERS, CONTEXT, initializer=_prepare, initargs=arguments) as pool:
        # When two processes use it at the same moment, for the same message and then each for one of its own
        for own in (0, 1):
            tasks = [[(device, records[own * number]) for device, records in pairs] for number in range(FOLLOWERS)]
            runs = [pool.submit(_settle_all, task) for task in tasks]
            settled = list(zip(*(run.result(timeout=300) for run in runs), strict=True))
            # Then one of them has it, and after that none
            assert [sum(each) for each in settled] == [1 - own] * len(pairs)
    # And of each two messages one is delivered, once, and has one event
    for _, (first, second) in pairs:
        states = [receipts.record(each.message_id.partition("#")[2]).state for each in (first, second)]
        assert states == [State.DELIVERED, State.SENT]
    receipts.consumer.catch_up()
    ends = Counter(
        event["detail"]["messageId"] for event in receipts.consumer.events() if event["detail-type"] == "SMS Delivered"
    )
    assert [ends[first.message_id] for _, (first, _) in pairs] == [1] * len(pairs)


def _prepare(url: str, table: str, barrier: Barrier) -> None:
    global _followed
    client = boto3.client(
        "dynamodb", endpoint_url=url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
    )
    _followed = FollowedRecords(client, table, retention=86400.0), barrier


def _settle_all(tasks: list[tuple[str, Record]]) -> list[bool]:
    assert _followed
    records, barrier = _followed
    settled = []
    for device, record in tasks:
        receipt = Receipt(1_800_000_000.0, "Text", TEXT, is_delivered=True)
        (final,) = final_receipts(V4_ACCOUNT, device, [receipt])
        barrier.wait(300)
        settled.append(records.settle(record, State.DELIVERED, final.key, code=None, message=None))
    return settled
