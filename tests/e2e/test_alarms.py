"""What alarms and dashboard watch, against what the deployed functions emit in a run that has everything happen."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import pytest
from samtranslator.yaml_helper import yaml_parse

from cube_sms.pacing.leases import LEASES_KEY
from cube_sms.platform.metrics import METRICS
from local.cloudwatch import Metric, Query, emitted, lines
from local.stack import ACCESS_CODE, DEFAULT_ACCOUNT, SECRET, STACK_NAME, V4_ACCOUNT, LocalStack, wait_until
from local.workflows import Execution, create_state_machine
from tests.e2e.aws_proxy import ACCESS_DENIED, INTERNAL_ERROR, AwsProxy, Rule, always, route

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
# Of campaigns there are alarms on metrics of AWS alone.
TEMPLATES = ("monitoring/alarms.yaml", "replies.yaml", "followup.yaml")

PARAMETERS = {"MaxAttempts": "2", "Replies": "callback", "Receipts": "true"}
SETTINGS = {"SECRET_MAX_AGE": "10", "CUBE_READ_TIMEOUT": "2"}
# All but that of a gate item which somebody has spoiled by hand.
EVERYTHING = METRICS.keys() - {"GateRepaired"}


# Lines of other groups than those that the query is about.
ELSEWHERE = ("not published", "reply not published", "no receipts")


class Run(NamedTuple):
    """What a run left behind."""

    metrics: set[Metric]
    log: list[dict[str, Any]]
    stack: LocalStack


def request(**fields: Any) -> str:
    return json.dumps({"deviceId": f"8931{uuid4().int % 10**16:016d}", "content": "text", **fields})


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Let everything happen that there is a metric for."""
    devices = {
        fault: f"8931{number:016d}" for number, fault in enumerate(("lost", "status:500", "status:403", "status:400"))
    }
    with AwsProxy() as proxy, LocalStack(PARAMETERS) as stack:
        proxy.upstream = stack.aws.url
        route(stack, proxy, "SECRETS_MANAGER", "EVENTBRIDGE", "SFN", **SETTINGS)
        stack.cube.configure(device_faults={device: fault for fault, device in devices.items()})
        # Used up, refused, invalid, expired, unknown, and sent from the queue, one of them twice
        stack.enqueue(request(deviceId=devices["status:500"]))
        stack.enqueue(request(deviceId=devices["status:403"]))
        stack.enqueue(request(content=""))
        stack.enqueue(request(expiresAt="2020-01-01T00:00:00Z"))
        stack.enqueue(request(deviceId=devices["lost"], delivery="at-most-once"))
        twice = request(requestId="twice")
        assert stack.call_api("POST", "/messages", twice).status == 200
        stack.enqueue(twice)
        assert stack.call_api("DELETE", "/messages/cancelled").status == 200
        wait_until("a rejection", lambda: _call(stack, deviceId=devices["status:400"]) == 422)
        # Delivered, undelivered, not to be had, and too late to be asked for
        _let_receipts_come(stack)
        # Called back: in a form that is known, in one that is not, too large, and with a wrong token
        for fault in ("", "unknown", "large", "forged"):
            stack.cube.call_back({"deviceId": "8931", "content": "text", "fault": fault})
        called_back = {"RepliesPublished", "CallbacksNotUnderstood", "CallbacksRefused", "CallbacksMisaddressed"}
        wait_until("callbacks", lambda: _names(stack) >= called_back)
        # Before anything else blocks these messages: a message that is blocked waits for minutes
        ends = {"MessagesFailed", "MessagesUnknown", "MessagesExpired", "MessagesInvalid", "DuplicatesSuppressed"}
        wait_until("the ends of all of them", lambda: _names(stack) >= ends | {"CubeAuthenticationFailed"})
        # Rejected one after the other, which closes the gate for an account
        good = {"access_code": ACCESS_CODE, "secret": SECRET}
        stack.put_credentials({"default": good, "fleet": good})
        bad = {"account": "fleet", "deviceId": devices["status:400"]}
        wait_until("a closed account", lambda: _call(stack, **bad) and "AccountsClosed" in _names(stack))
        # Sent while Secrets Manager is unavailable, by functions whose credentials are too old
        with proxy.applying(Rule("GetSecretValue", always(INTERNAL_ERROR))):
            wait_until("stale credentials", lambda: _call(stack) and "StaleCredentials" in _names(stack))
        # Not sent while a credential has a line break behind it, until that is mended
        stack.put_credentials({"default": {"access_code": ACCESS_CODE, "secret": f"{SECRET}\n"}})
        wait_until("unusable credentials", lambda: _call(stack) and "CredentialsUnusable" in _names(stack))
        stack.put_credentials({"default": DEFAULT_ACCOUNT})
        wait_until("good credentials", lambda: _call(stack) == 200)
        # Changed by hand, which the publisher comes upon
        stack.aws.client("dynamodb").update_item(
            TableName=stack.outputs["MessagesTableName"],
            Key={"messageId": {"S": "default#twice"}},
            UpdateExpression="SET updatedAt = :text",
            ExpressionAttributeValues={":text": {"S": "yesterday"}},
        )
        wait_until("a damaged record", lambda: "RecordsDamaged" in _names(stack))
        # Asked for a reply that does not come
        stack.enqueue(request(taskToken="of a task that waits for a reply", awaitReply=1))
        wait_until("silence", lambda: _follow_up(stack) and "RepliesMissed" in _names(stack))
        # Tasks of workflows that wait, or wait no longer, and events while EventBridge is unavailable
        Execution.start(stack, create_state_machine(stack), json.loads(request()))
        stack.enqueue(request(taskToken="of a task that is over"))
        wait_until("tasks", lambda: _names(stack) >= {"TasksAnswered", "TasksUnanswered", "EventsPublished"})
        with proxy.applying(Rule("SendTaskSuccess", always(ACCESS_DENIED))):
            stack.enqueue(request(taskToken="of a task that may not be answered"))
            wait_until("a refused answer", lambda: "TaskAnswersRefused" in _names(stack))
        with proxy.applying(Rule("PutEvents", always(INTERNAL_ERROR))):
            wait_until("events that fail", lambda: _call(stack) and "EventsFailed" in _names(stack))
            stack.cube.call_back({"deviceId": "8931", "content": "text"})
            wait_until("a callback that fails", lambda: "CallbacksFailed" in _names(stack))
        # Turned away, since another call has the only connection
        taken = {"messageId": {"S": LEASES_KEY}, "place0": {"S": f"{time.time() + 30:.3f} another"}}
        stack.aws.client("dynamodb").put_item(TableName=stack.outputs["MessagesTableName"], Item=taken)
        assert _call(stack) == 429
        stack.aws.client("dynamodb").delete_item(
            TableName=stack.outputs["MessagesTableName"], Key={"messageId": {"S": LEASES_KEY}}
        )
        # Throttled, which closes the gate
        stack.cube.configure(next_faults=["status:429+10"])
        wait_until("a closed gate", lambda: _call(stack) and "GateClosed" in _names(stack))
        wait_until("every metric", lambda: _names(stack) >= EVERYTHING)
        yield Run(set(emitted(stack.metrics())), stack.outcomes(), stack)


def _let_receipts_come(stack: LocalStack) -> None:
    """Let messages be sent, and their receipts be due at once."""
    devices = {
        case: f"8931{number:016d}" for number, case in enumerate(("delivered", "undelivered", "failed", "overdue"), 50)
    }
    stack.cube.configure(sent_statuses={devices["undelivered"]: 2})
    for case, device in devices.items():
        assert _call(stack, deviceId=device, account=V4_ACCOUNT, requestId=case) == 200
    stack.cube.configure(foreign_devices=[devices["failed"]])
    for case in devices:
        changes = {":past": {"N": "1"}}
        if case == "overdue":
            changes[":then"] = {"S": "2026-01-01T00:00:00.000Z"}
        stack.aws.client("dynamodb").update_item(
            TableName=stack.outputs["MessagesTableName"],
            Key={"messageId": {"S": f"{V4_ACCOUNT}#{case}"}},
            UpdateExpression="SET dueAt = :past" + (", updatedAt = :then" if case == "overdue" else ""),
            ExpressionAttributeValues=changes,
        )
    come = {"MessagesDelivered", "MessagesUndelivered", "ReceiptsFailed", "ReceiptsOverdue", "ReceiptsAsked"}
    wait_until("receipts", lambda: _follow_up(stack) and _names(stack) >= come)
    stack.cube.configure(foreign_devices=[])


def _call(stack: LocalStack, **fields: str) -> int:
    return stack.call_api("POST", "/messages", request(**fields)).status


def _follow_up(stack: LocalStack) -> bool:
    """Do what is done once a minute."""
    name = f"{stack.outputs['FollowUpFunctionName']}:live"
    return bool(stack.aws.client("lambda").invoke(FunctionName=name))


def _names(stack: LocalStack) -> set[str]:
    return {metric.name for metric in emitted(stack.metrics())}


def _watched(alarm: dict[str, Any]) -> list[Metric]:
    """Return the metrics of ours that an alarm of the template is about."""
    queries = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
    return [
        Metric(
            each["Namespace"],
            each["MetricName"],
            frozenset(
                (
                    dimension["Name"],
                    STACK_NAME if dimension["Value"] == {"Ref": "ServiceName"} else dimension["Value"],
                )
                for dimension in each["Dimensions"]
            ),
        )
        for each in queries or [alarm]
        if each["Namespace"] == "CubeSms"
    ]


def test_every_alarm_watches_metrics_that_are_emitted(run: Run) -> None:
    # Given the alarms of the template
    templates = [yaml_parse((ROOT / path).read_text("utf-8")) for path in TEMPLATES]
    resources = [item for template in templates for item in template["Resources"].items()]
    alarms = {name: each["Properties"] for name, each in resources if each["Type"] == "AWS::CloudWatch::Alarm"}
    watched = {name: _watched(alarm) for name, alarm in alarms.items()}
    assert sum(map(len, watched.values())) == 21
    # Then each metric of ours was emitted, with these very dimensions
    assert {name: missing for name, each in watched.items() if (missing := set(each) - run.metrics)} == {}


def test_alarms_are_deployed_with_the_names_of_what_they_watch(run: Run) -> None:
    alarms = run.stack.aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    found = {alarm["AlarmName"]: {each["Name"]: each["Value"] for each in alarm["Dimensions"]} for alarm in alarms}
    queue = run.stack.outputs["SendQueueUrl"].rpartition("/")[2]
    assert found[f"{STACK_NAME}-oldest-message"] == {"QueueName": queue}
    dead_letters = run.stack.outputs["DeadLetterQueueUrl"].rpartition("/")[2]
    assert found[f"{STACK_NAME}-dead-letters"] == {"QueueName": dead_letters}
    function = run.stack.outputs["SendFromQueueFunctionName"]
    assert found[f"{STACK_NAME}-send-from-queue-errors"] == {"FunctionName": function}
    unpublished = run.stack.outputs["UnpublishedQueueUrl"].rpartition("/")[2]
    assert found[f"{STACK_NAME}-unpublished"] == {"QueueName": unpublished}
    publisher = run.stack.outputs["PublishOutcomesFunctionName"]
    assert found[f"{STACK_NAME}-outcome-lag"] == {"FunctionName": publisher}
    assert found[f"{STACK_NAME}-quota"] == {"service": STACK_NAME, "Account": "all"}


def test_dashboard_shows_what_is_emitted(run: Run) -> None:
    # Given the dashboard as it is deployed
    cloudwatch = run.stack.aws.client("cloudwatch")
    body = cloudwatch.get_dashboard(DashboardName=run.stack.outputs["DashboardName"])["DashboardBody"]
    widgets = json.loads(body)["widgets"]
    # Then every metric of ours in it was emitted, and every metric that is emitted is in it
    shown = {line.metric for widget in widgets if widget["type"] == "metric" for line in lines(widget) if line.metric}
    ours = {metric for metric in shown if metric.namespace == "CubeSms"}
    assert ours - run.metrics == set()
    assert {metric.name for metric in ours} == EVERYTHING
    # And those of AWS are about the functions and queues there are
    functions = run.stack.aws.client("lambda").list_functions()["Functions"]
    queues = run.stack.sqs.list_queues()["QueueUrls"]
    names = {each["FunctionName"] for each in functions} | {url.rpartition("/")[2] for url in queues}
    assert {value for metric in shown - ours for _, value in metric.dimensions} <= names
    # And the queries count fields that are logged, in groups there are
    (query,) = (widget["properties"]["query"] for widget in widgets if widget["type"] == "log")
    rows = Query.parse(query).counts([line for line in run.log if line["message"] not in ELSEWHERE])
    assert {state for state, *_ in rows} == {"RETRYING", "REJECTED", "FAILED", "UNKNOWN"}
    assert {"CubeOutcomeUnknown: HTTP 500", "CubeAuthenticationError: HTTP 403"} <= {error for _, _, error, _ in rows}
    assert any(code for _, code, *_ in rows)
    for output in ("SendFromQueueLogGroup", "SendFromApiLogGroup"):
        assert f"SOURCE '{run.stack.outputs[output]}'" in query
