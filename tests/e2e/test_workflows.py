"""The stack in workflows (docs/workflows.md): events in and out, tasks that wait, schedules, and campaigns."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from cube_sms.delivery.records import read_item
from local.stack import LocalStack, wait_until
from local.workflows import (
    EventConsumer,
    Execution,
    campaign_result,
    create_state_machine,
    put_request_event,
    schedule,
    start_campaign,
)
from tests.e2e.test_permissions import Permission, for_all_resources, without
from tests.e2e.test_send import a_device
from tests.support import EVENTS, load_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

type Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module", params=["standard", "fifo"])
def stack(request: pytest.FixtureRequest) -> Iterator[LocalStack]:
    """Return a stack with campaigns whose functions may do what their roles allow, with a queue of each type."""
    parameters = {"Campaigns": "true", "QueueType": request.param, "MaxAttempts": "2"}
    with (
        LocalStack(parameters, is_limited=False, authenticate=True) as stack,
        for_all_resources(stack, "PublishOutcomesRole", "AnswerTasks"),
    ):
        yield stack


@pytest.fixture(scope="module")
def consumer(stack: LocalStack) -> EventConsumer:
    return EventConsumer(stack, {"source": ["cube-sms"]})


@pytest.fixture(scope="module")
def send_and_wait(stack: LocalStack) -> Run:
    """Return what runs the state machine of the example to its end."""
    state_machine = create_state_machine(stack)

    def run(**data: Any) -> dict[str, Any]:
        execution = Execution.start(stack, state_machine, {"content": "Report your position", **data})
        return ended(execution)

    return run


def ended(execution: Execution) -> dict[str, Any]:
    return wait_until(f"{execution.arn} to end", execution.ended) or {}


def an_id() -> str:
    return f"order-{uuid4()}"


def accepted(stack: LocalStack, device: str) -> list[str]:
    """Return the contents that Cube has accepted for a device."""
    return [content for post in stack.cube.requests(device) if post["accepted"] for content in post["contents"]]


# ── Events ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_request_comes_as_an_event_and_its_outcome_goes_as_one(stack: LocalStack, consumer: EventConsumer) -> None:
    # Given a request without an id of its own
    device = a_device()

    # When it is put onto the bus
    event_id = put_request_event(stack, {"deviceId": device, "content": "Report your position"})

    # Then it is sent under the event's id, and who consumes the bus is told
    (detail,) = wait_until("the outcome event", lambda: consumer.details(event_id))
    assert accepted(stack, device) == ["Report your position"]
    assert detail["messageId"] == f"default#{event_id}"
    assert (detail["deviceId"], detail["state"], detail["code"]) == (device, "SENT", "0000")


def test_the_sample_of_a_request_event_is_one(stack: LocalStack, consumer: EventConsumer) -> None:
    # Given the event as EventBridge puts it onto the queue
    (record,) = load_event("eventbridge-requested")["Records"]
    event = json.loads(record["body"])

    # When it lies there, on a FIFO queue in the rule's own group
    stack.enqueue(record["body"], group="events")

    # Then it is sent
    assert wait_until("its outcome", lambda: consumer.details(event["id"]))
    assert accepted(stack, event["detail"]["deviceId"]) == [event["detail"]["content"]]


def test_a_consumer_gets_what_its_pattern_asks_for(stack: LocalStack, consumer: EventConsumer) -> None:
    # Given a consumer that wants to know what was not sent for one account
    not_sent = EventConsumer(stack, load_event("outcome-pattern"))
    sent, rejected, (good, bad) = an_id(), an_id(), (a_device(), a_device())
    stack.cube.configure(device_faults={bad: "rejected:4711"})

    # When one message is sent and one is rejected
    stack.enqueue(json.dumps({"deviceId": good, "content": "x", "requestId": sent}))
    stack.enqueue(json.dumps({"deviceId": bad, "content": "x", "requestId": rejected}))
    wait_until("both outcomes", lambda: consumer.details(sent) and consumer.details(rejected))

    # Then it is told of that one
    (event,) = wait_until("its event", not_sent.events)
    assert (event["source"], event["detail-type"]) == ("cube-sms", "SMS Rejected")
    assert (event["detail"]["requestId"], event["detail"]["code"]) == (rejected, "4711")


def test_a_message_that_is_put_twice_has_one_event(stack: LocalStack, consumer: EventConsumer) -> None:
    # Given a message whose outcome has been told
    body = json.dumps({"deviceId": a_device(), "content": "x", "requestId": (request_id := an_id())})
    stack.enqueue(body)
    wait_until("its event", lambda: consumer.details(request_id))

    # When it is put onto the queue once more, and then another one
    stack.enqueue(body)
    stack.enqueue(json.dumps({"deviceId": a_device(), "content": "x", "requestId": (last := an_id())}))
    wait_until("it to be suppressed", lambda: is_suppressed(stack, request_id))
    wait_until("the other one's event", lambda: consumer.details(last))

    # Then nothing is told of it again
    assert len(consumer.details(request_id)) == 1


def is_suppressed(stack: LocalStack, request_id: str) -> bool:
    return any(
        entry["message"] == "duplicate suppressed" and entry["request_id"] == request_id for entry in stack.outcomes()
    )


# ── A task that waits ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_task_waits_until_its_message_is_sent(stack: LocalStack, send_and_wait: Run) -> None:
    device = a_device()

    result = send_and_wait(deviceId=device)

    # Its id is the execution's name: a task that is tried again sends no second message
    assert result["status"] == "SUCCEEDED"
    assert (result["output"]["state"], result["output"]["requestId"]) == ("SENT", result["name"])
    assert accepted(stack, device) == ["Report your position"]


@pytest.mark.parametrize(
    ("fault", "fields", "state"),
    [
        ("rejected:4711", {}, "REJECTED"),
        ("status:503*2", {}, "FAILED"),
        ("lost", {"delivery": "at-most-once"}, "UNKNOWN"),
        (None, {"expiresAt": "2026-01-12T10:00:00Z"}, "EXPIRED"),
    ],
)
def test_a_task_goes_on_by_what_became_of_its_message(
    stack: LocalStack, send_and_wait: Run, fault: str | None, fields: dict[str, str], state: str
) -> None:
    device = a_device()
    stack.cube.configure(device_faults={device: fault} if fault else {})

    result = send_and_wait(deviceId=device, **fields)

    if state == "UNKNOWN":
        # A branch of its own: nobody knows that it was not sent
        assert (result["status"], result["output"]["error"]) == ("SUCCEEDED", "CubeSms.Unknown")
        detail = result["output"]
    else:
        assert (result["status"], result["error"]) == ("FAILED", f"CubeSms.{state.title()}")
        detail = json.loads(result["cause"])
    assert (detail["deviceId"], detail["state"]) == (device, state)


def test_a_task_whose_request_is_refused_fails_and_names_the_fault(stack: LocalStack, send_and_wait: Run) -> None:
    device, request_id = a_device(), an_id()

    # When a request is not valid, and when its id belongs to another one
    invalid = send_and_wait(deviceId=device, kontent="x", requestId=request_id)
    sent = send_and_wait(deviceId=device, requestId=request_id)
    conflict = send_and_wait(deviceId=device, requestId=request_id, content="Something else")

    # Then neither waits for its timeout
    assert (invalid["error"], invalid["cause"]) == (
        "CubeSms.InvalidRequest",
        "kontent: is not a field of a send request",
    )
    assert conflict["error"] == "CubeSms.Conflict"
    assert conflict["cause"] == f"requestId: {request_id} belongs to a different request"
    assert sent["status"] == "SUCCEEDED"
    assert accepted(stack, device) == ["Report your position"]


def test_a_second_task_for_the_same_request_is_answered_from_the_record(
    stack: LocalStack, consumer: EventConsumer, send_and_wait: Run
) -> None:
    device, request_id = a_device(), an_id()

    first, second = (send_and_wait(deviceId=device, requestId=request_id) for _ in range(2))

    assert (first["status"], second["status"]) == ("SUCCEEDED", "SUCCEEDED")
    assert first["output"] == second["output"]
    assert len(accepted(stack, device)) == 1
    assert wait_until("its event", lambda: consumer.details(request_id)) == [first["output"]]


def test_no_token_is_in_any_log(stack: LocalStack, send_and_wait: Run) -> None:
    # Given tasks whose requests are sent, answered from a record, and refused for what they hold or whose id they take
    device, request_id = a_device(), an_id()
    send_and_wait(deviceId=device, requestId=request_id)
    send_and_wait(deviceId=device, requestId=request_id)
    send_and_wait(deviceId=device, requestId=request_id, content="Something else")
    send_and_wait(deviceId="not a device", requestId=an_id())

    # When the tokens are gathered that passed through the table, and all lines of all logs
    tables = stack.aws.client("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs["MessagesTableName"])
    found = [each for page in tables for item in page["Items"] if (each := read_item(item))]
    tokens = {token for each in found for token in each.task_tokens}
    logs = stack.aws.client("logs")
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    printed = [
        event["message"]
        for group in groups
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        for event in page["events"]
    ]

    # Then none of them is there
    assert len(tokens) >= 4
    assert any(request_id in line for line in printed)
    assert [line for line in printed if any(token in line for token in tokens)] == []


# ── A schedule ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_is_sent_at_its_time(stack: LocalStack, consumer: EventConsumer) -> None:
    # Given a message for the second after next
    device, request_id, at = a_device(), an_id(), datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    name = schedule(stack, {"deviceId": device, "content": "Now", "requestId": request_id}, at)

    # When its time has come
    (detail,) = wait_until("its event", lambda: consumer.details(request_id))

    # Then it has been sent, not before, and the schedule is gone
    assert accepted(stack, device) == ["Now"]
    assert datetime.fromisoformat(detail["createdAt"]) >= at
    scheduler = stack.aws.client("scheduler")
    wait_until(
        "the schedule to go", lambda: name not in [each["Name"] for each in scheduler.list_schedules()["Schedules"]]
    )


# ── A campaign ──────────────────────────────────────────────────────────────────────────────────────────────────────


def a_campaign(**fields: Any) -> dict[str, Any]:
    name = f"campaign-{uuid4()}"
    return {"key": f"{name}.csv", "campaign": name, **fields}


def test_each_row_of_a_campaign_has_its_message_and_its_outcome(stack: LocalStack) -> None:
    # Given a file as Excel writes it, with rows of every kind
    sent, own, unknown, identified = a_device(), a_device(), a_device(), a_device()
    stack.cube.configure(device_faults={unknown: "rejected:9404"})
    request_id = an_id()
    rows = (
        "\ufeffdeviceId,city,content,requestId,account\r\n"
        f"{sent},Oslo,,,\r\n"
        f'{own},"Bergen, ""west""","Two\nlines, one text",,\r\n'
        "sensor 7,,,,\r\n"
        f"{unknown},,,,\r\n"
        f"{identified},,,{request_id},\r\n"
        f"{a_device()},,,,nobody\r\n"
    )
    campaign = a_campaign(content="Hello")

    # When it is run
    execution = ended(start_campaign(stack, rows, campaign))

    # Then the result tells each row's outcome, and Cube's books agree
    counts = {"SENT": 3, "REFUSED": 2, "REJECTED": 1}
    key = f"{campaign['campaign']}.outcomes.csv"
    bucket = stack.outputs["CampaignBucketName"]
    assert execution["output"] == {"bucket": bucket, "key": key, "rows": 6, "states": counts, "isStopped": False}
    result = campaign_result(stack, campaign["key"])
    assert [(row["deviceId"], row["requestId"], row["state"]) for row in result] == [
        (sent, f"{campaign['campaign']}-1", "SENT"),
        (own, f"{campaign['campaign']}-2", "SENT"),
        ("sensor 7", f"{campaign['campaign']}-3", "REFUSED"),
        (unknown, f"{campaign['campaign']}-4", "REJECTED"),
        (identified, request_id, "SENT"),
        (result[5]["deviceId"], f"{campaign['campaign']}-6", "REFUSED"),
    ]
    assert result[1]["city"] == 'Bergen, "west"'
    assert result[2]["reason"].startswith("deviceId: must be")
    assert result[3]["code"] == "9404"
    assert result[5]["reason"] == "account: has no credentials in this deployment"
    assert accepted(stack, sent) == accepted(stack, identified) == ["Hello"]
    assert accepted(stack, own) == ["Two\nlines, one text"]


def test_a_campaign_of_the_same_name_sends_nothing_twice(stack: LocalStack) -> None:
    # Given a campaign that has run
    devices = [a_device() for _ in range(3)]
    campaign = a_campaign(content="Hello")
    lines = ["deviceId,content", *(f"{device}," for device in devices)]
    ended(start_campaign(stack, "\n".join(lines), campaign))

    # When it runs once more, with another text in one row and a row more
    devices.append(a_device())
    lines[1] += "Goodbye"
    again = ended(start_campaign(stack, "\n".join([*lines, f"{devices[3]},"]), campaign))

    # Then that row is refused, the new one is sent, and the others are answered from their records
    assert again["output"]["states"] == {"REFUSED": 1, "SENT": 3}
    assert "belongs to a different request" in campaign_result(stack, campaign["key"])[0]["reason"]
    assert [accepted(stack, device) for device in devices] == [["Hello"]] * 4


def test_a_campaign_has_the_name_of_its_execution_unless_it_is_given_one(stack: LocalStack) -> None:
    device, key = a_device(), f"{uuid4()}.csv"

    execution = start_campaign(stack, f"deviceId,content\n{device},Hello\n", {"key": key})

    assert ended(execution)["output"]["states"] == {"SENT": 1}
    assert campaign_result(stack, key)[0]["requestId"] == f"{execution.name}-1"


def test_a_batch_takes_few_state_transitions(stack: LocalStack) -> None:
    # Given a campaign of more than a batch
    devices = [a_device() for _ in range(320)]
    campaign = a_campaign(content="Hello")

    # When it has run
    execution = start_campaign(stack, "\n".join(["deviceId", *devices]), campaign)
    states = ended(execution)["output"]["states"]

    # Then every row was sent once, and the states that were entered are as many as $5 for a million rows allow
    assert states == {"SENT": 320}
    assert sorted(post["deviceId"] for post in stack.cube.requests() if post["deviceId"] in devices) == sorted(devices)
    (run,) = execution.states.list_map_runs(executionArn=execution.arn)["mapRuns"]
    children = execution.states.list_executions(mapRunArn=run["mapRunArn"])["executions"]
    entered = [
        event
        for child in children
        for event in execution.states.get_execution_history(executionArn=child["executionArn"])["events"]
        if event["type"].endswith("StateEntered")
    ]
    assert len(children) == 2
    assert 2 * 4 <= len(entered) <= 320 / 5


def manage(stack: LocalStack, campaign: dict[str, str], action: str = "show") -> dict[str, Any]:
    """Ask of a campaign what an operator does."""
    payload = json.dumps({"campaign": campaign["campaign"], "action": action})
    answer = stack.aws.client("lambda").invoke(
        FunctionName=stack.outputs["ManageCampaignFunctionName"], Payload=payload
    )
    assert "FunctionError" not in answer
    told: dict[str, Any] = json.load(answer["Payload"])
    return told


def test_a_campaign_is_stopped_and_goes_on_without_sending_anything_twice(stack: LocalStack) -> None:
    # Given a campaign whose rows are on the queue, and of which none is sent yet
    devices = [a_device() for _ in range(40)]
    campaign = a_campaign(content="Hello")
    with stack.queue_paused():
        execution = start_campaign(stack, "\n".join(["deviceId", *devices]), campaign)
        wait_until("its rows to be put", lambda: manage(stack, campaign).get("states") == {"QUEUED": 40})

        # When it is stopped
        stopped = manage(stack, campaign, "stop")
        again = manage(stack, campaign, "stop")

        # Then nothing of it is sent any more, and its result says so
        assert stopped["states"] == again["states"] == {"CANCELLED": 40}
        output = ended(execution)["output"]
        assert (output["states"], output["isStopped"]) == ({"CANCELLED": 40}, True)
        assert {row["reason"] for row in campaign_result(stack, campaign["key"])} == {"its campaign was stopped"}
        assert manage(stack, campaign)["status"] == "STOPPED"

        # And when it goes on
        assert "error" not in manage(stack, campaign, "resume")
        wait_until("it to run", lambda: manage(stack, campaign)["execution"] != execution.arn)
        wait_until("its rows to be put", lambda: manage(stack, campaign).get("states") == {"QUEUED": 40})
    wait_until("its end", lambda: manage(stack, campaign)["status"] == "ENDED")

    # Then every row is sent once
    assert manage(stack, campaign)["states"] == {"SENT": 40}
    assert [accepted(stack, device) for device in devices] == [["Hello"]] * 40


def test_a_campaign_whose_execution_was_killed_goes_on_with_the_next(stack: LocalStack) -> None:
    # Given a campaign whose execution is killed while its rows are on the queue
    devices = [a_device() for _ in range(40)]
    campaign = a_campaign(content="Hello")
    rows = "\n".join(["deviceId", *devices])
    with stack.queue_paused():
        first = start_campaign(stack, rows, campaign)
        wait_until("its rows to be put", lambda: manage(stack, campaign).get("states") == {"QUEUED": 40})

        # When another run of that name is started meanwhile, and one more when the first is gone
        second = ended(start_campaign(stack, rows, campaign))
        first.states.stop_execution(executionArn=first.arn)
        assert manage(stack, campaign)["status"] == "BROKEN_OFF"
        third = start_campaign(stack, rows, campaign)
        wait_until("it to run", lambda: manage(stack, campaign)["execution"] == third.arn)

    # Then the second is refused, and the third has every row sent once
    assert second["error"] == "CubeSms.InvalidCampaign"
    assert first.arn in second["cause"]
    assert ended(third)["output"]["states"] == {"SENT": 40}
    assert [accepted(stack, device) for device in devices] == [["Hello"]] * 40


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        ({"key": "there-is-none.csv", "campaign": "nothing"}, "There is no file there-is-none.csv in the bucket"),
        ({"key": "spring.csv", "campaign": "spring 2026"}, "campaign: must be 1 to 100 characters"),
        ({"campaign": "spring"}, "key: must be"),
    ],
)
def test_a_campaign_that_cannot_be_run_fails_at_once(stack: LocalStack, data: dict[str, str], cause: str) -> None:
    execution = Execution.start(stack, stack.outputs["CampaignStateMachineArn"], data)

    assert (ended(execution)["status"], ended(execution)["error"]) == ("FAILED", "CubeSms.InvalidCampaign")
    assert ended(execution)["cause"].startswith(cause)


def test_a_file_that_cannot_be_meant_fails_once_before_anything_is_sent(stack: LocalStack) -> None:
    # Given a file without a header, and one whose last row has a quote that is never closed
    devices = [a_device() for _ in range(3)]
    headless = a_campaign(content="Hello")
    unclosed = a_campaign()

    # When they are run
    first = ended(start_campaign(stack, f"{devices[0]},Hi\n{devices[1]},Hi\n", headless))
    second = ended(start_campaign(stack, f'deviceId,content\n{devices[2]},Hi\n{devices[2]},"Hi\n', unclosed))

    # Then each fails once, tells what was found and what is wanted, and nothing was sent
    assert {each["error"] for each in (first, second)} == {"CubeSms.InvalidCampaign"}
    assert f'"{devices[0]}", "Hi" (delimiter: comma): no "deviceId"' in first["cause"]
    assert "A quote that begins a cell in row 3 is never closed" in second["cause"]
    assert [accepted(stack, device) for device in devices] == [[], [], []]


def test_a_dry_run_checks_every_row_and_sends_nothing(stack: LocalStack) -> None:
    # Given a file with a row that is faulty and a device that stands there twice
    device = a_device()
    rows = f"deviceId,site\n{device},Oslo\nsensor 7,Bergen\n{device},Bodø\n8931440400093990000,Tromsø\n"
    campaign = a_campaign(content="Hello")

    # When it is run dry
    execution = start_campaign(stack, rows, {**campaign, "dryRun": True})
    found = ended(execution)["output"]

    # Then the execution ends with what was found
    must = "deviceId: must be 1 to 64 characters of 0-9, A-Z and a-z, usually the ICCID of the SIM"
    assert {name: found[name] for name in ("dryRun", "key", "campaign", "rows", "valid")} == {
        "dryRun": True,
        **{name: campaign[name] for name in ("key", "campaign")},
        "rows": 4,
        "valid": 3,
    }
    assert found["refused"] == {"count": 1, "first": [{"row": 2, "reason": must}]}
    assert found["repeatedDevices"] == {"count": 1, "first": [{"row": 3, "deviceId": "*" * 16 + device[-4:]}]}
    assert found["roundedIccids"] == {"count": 1, "first": [{"row": 4, "deviceId": "*" * 15 + "0000"}]}
    assert found["estimate"].keys() >= {"queries", "seconds", "endsAt", "days", "usedToday"}
    # Nothing was put onto the queue, and nothing is in the bucket but the file
    history = stack.aws.client("stepfunctions").get_execution_history(executionArn=execution.arn)["events"]
    entered = [each["stateEnteredEventDetails"]["name"] for each in history if "stateEnteredEventDetails" in each]
    assert entered == ["Prepare", "Check", "Checked"]
    assert accepted(stack, device) == []
    bucket, name = stack.outputs["CampaignBucketName"], campaign["campaign"]
    objects = stack.aws.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert [each["Key"] for each in objects if name in each["Key"]] == [campaign["key"]]


def test_a_file_without_rows_has_a_result_without_rows(stack: LocalStack) -> None:
    campaign = a_campaign(content="Hello")

    execution = ended(start_campaign(stack, "deviceId,site\n,\n", campaign))

    assert (execution["output"]["rows"], execution["output"]["states"]) == (0, {})
    assert campaign_result(stack, campaign["key"]) == []


def test_a_row_is_sent_as_it_stands_in_the_file(stack: LocalStack) -> None:
    # Given a file of Excel's in a country of semicolons, with what other readers of CSV take for more than itself
    texts = ["back\\slash", "back\\\\slashes", "one\u2028line", "温度过高 🌡️", 'a "quoted" word', "a;b", "a,b"]
    devices = {a_device(): text for text in texts}
    rows = "".join(f'{device};"{text.replace('"', '""')}"\r\n' for device, text in devices.items())

    execution = ended(start_campaign(stack, f"\ufeffDeviceID; Content \r\n{rows}", a_campaign()))

    # Then every text is sent as it is
    assert execution["output"]["states"] == {"SENT": len(texts)}
    assert {device: accepted(stack, device) for device in devices} == {
        device: [text] for device, text in devices.items()
    }


@pytest.mark.parametrize(
    ("permission", "is_dry"),
    [
        (Permission("PrepareCampaignRole", "ReadFiles", "s3:GetObject"), False),
        (Permission("PrepareCampaignRole", "WriteRows", "s3:PutObject"), False),
        (Permission("PrepareCampaignRole", "NoteRun", "dynamodb:GetItem"), False),
        (Permission("PrepareCampaignRole", "NoteRun", "dynamodb:GetItem"), True),
        (Permission("PrepareCampaignRole", "NoteRun", "dynamodb:UpdateItem"), False),
        (Permission("PrepareCampaignRole", "KnowWhetherOneRuns", "states:DescribeExecution"), False),
    ],
    ids=["ReadFiles", "WriteRows", "GetRun", "GetGate", "NoteRun", "DescribeExecution"],
)
def test_reading_a_file_needs_each_permission(stack: LocalStack, permission: Permission, is_dry: bool) -> None:
    # Given a campaign that has ended
    campaign = a_campaign(content="Hello")
    ended(start_campaign(stack, f"deviceId\n{a_device()}\n", campaign))
    arn = f"{stack.outputs['CampaignStateMachineArn'].replace(':stateMachine:', ':execution:')}:again-{uuid4()}"
    data = {**campaign, "dryRun": is_dry}
    event = {"bucket": stack.outputs["CampaignBucketName"], "execution": arn, "input": data}

    # Then its file can be read once more, but not without this permission
    with without(stack, permission):
        assert not is_answered(stack, "PrepareCampaignFunction", event)
    assert is_answered(stack, "PrepareCampaignFunction", event)


def is_answered(stack: LocalStack, function: str, event: dict[str, Any]) -> bool:
    """Return whether a function ends as it should, with a refusal or without."""
    name = f"{stack.physical_id(function)}:live"
    answer = stack.aws.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    return "FunctionError" not in answer


@pytest.mark.parametrize(
    "permission",
    [
        Permission("ReportCampaignRole", "ReadRows", "s3:GetObject"),
        Permission("ReportCampaignRole", "WriteResults", "s3:PutObject"),
        Permission("ReportCampaignRole", "LetFilesGo", "s3:PutObjectTagging"),
        Permission("ReportCampaignRole", "KeepRecords", "dynamodb:BatchGetItem"),
        Permission("ReportCampaignRole", "KeepRecords", "dynamodb:GetItem"),
        Permission("ReportCampaignRole", "KeepRecords", "dynamodb:UpdateItem"),
    ],
    ids=lambda permission: permission.action,
)
def test_a_report_needs_each_permission(stack: LocalStack, permission: Permission) -> None:
    # Given a campaign that has ended, and whose outcomes are told by its records alone
    campaign = a_campaign(content="Hello")
    execution = start_campaign(stack, f"deviceId\n{a_device()}\n", campaign)
    ended(execution)
    event = {"bucket": stack.outputs["CampaignBucketName"], "execution": execution.arn, **campaign}
    stack.aws.client("s3").delete_object(
        Bucket=event["bucket"], Key=f"runs/{campaign['campaign']}.outcomes/000000001.jsonl"
    )

    # Then it can be reported once more, but not without this permission
    with without(stack, permission):
        assert not is_answered(stack, "ReportCampaignFunction", event)
    assert is_answered(stack, "ReportCampaignFunction", event)


def test_the_sample_campaign_is_one(stack: LocalStack) -> None:
    rows = (EVENTS / "campaign.csv").read_text("utf-8")

    execution = ended(start_campaign(stack, rows, load_event("campaign-input")))

    assert execution["output"]["states"] == {"SENT": 3, "REFUSED": 1}
