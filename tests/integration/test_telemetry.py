"""What both functions print: logs, metrics, and nothing that should stay inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.outcome import Outcome
from cube_sms.delivery.report import report_sent
from cube_sms.delivery.states import State
from cube_sms.platform.errors import Fault
from cube_sms.platform.telemetry import Telemetry
from cube_sms.request.errors import InvalidRequestError
from tests.integration.wire import FAILURE, Wire, answer
from tests.support import ACCESS_CODE, SECRET, Context, Printed, load_event, queue_event, send_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment

UNITS = {
    "MessagesSent": "Count",
    "MessagesRejected": "Count",
    "MessagesFailed": "Count",
    "MessagesExpired": "Count",
    "MessagesUnknown": "Count",
    "MessagesRetried": "Count",
    "MessagesInvalid": "Count",
    "DuplicatesSuppressed": "Count",
    "CubeThrottled": "Count",
    "CubeAuthenticationFailed": "Count",
    "AccountsClosed": "Count",
    "StaleCredentials": "Count",
    "CredentialsUnusable": "Count",
    "CubeLatency": "Milliseconds",
    "GateWait": "Milliseconds",
    "QueueAge": "Milliseconds",
    "QuotaUsed": "Percent",
}


def device(number: int) -> str:
    return f"8931440400093995{number:04d}"


def assert_valid(metrics: list[dict[str, Any]]) -> None:
    for each in metrics:
        assert each["service"] == "cube-sms"
        assert isinstance(each["_aws"]["Timestamp"], int)
        (directive,) = each["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "CubeSms"
        # What belongs to an account belongs to all accounts too.
        totals = [] if each["Account"] in ("all", "unknown") else [["service"]]
        assert [sorted(dimensions) for dimensions in directive["Dimensions"]] == [["Account", "service"], *totals]
        units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
        assert units
        assert units.items() <= UNITS.items()
        assert each.keys() == {"_aws", "service", "Account", *units}
        for name in units:
            values = each[name] if isinstance(each[name], list) else [each[name]]
            assert 1 <= len(values) <= 100
            assert all(isinstance(value, int | float) and value >= 0 for value in values)


def test_metrics_of_a_mixed_batch(cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]) -> None:
    # Given one message for each outcome, of which one is a duplicate and one at its last attempt, and two accounts
    gateway.set_accounts(default=(ACCESS_CODE, SECRET), fleet=(ACCESS_CODE, SECRET))
    cube.configure(
        unknown_devices=[device(3)],
        device_faults={device(4): "status:503", device(5): "status:429", device(6): "lost", device(7): "status:401*1"},
    )
    duplicate = queue_event({"deviceId": device(10), "content": "text"})
    used_up = queue_event({"deviceId": device(4), "content": "text"})
    for earlier in (duplicate, used_up, used_up):
        gateway.consume(earlier)
    cube.reset()
    printed()
    event = queue_event(
        {"deviceId": device(1), "content": "text"},
        {"deviceId": device(2), "content": "text", "account": "fleet"},
        {"deviceId": device(3), "content": "text"},
        {"deviceId": device(4), "content": "text"},
        {"deviceId": device(5), "content": "text"},
        {"deviceId": device(6), "content": "text", "delivery": "at-most-once"},
        {"deviceId": device(7), "content": "text"},
        {"deviceId": device(8), "content": "text", "expiresAt": "2020-01-01T00:00:00Z"},
        {"deviceId": device(9), "content": ""},
    )
    # When
    gateway.consume({"Records": event["Records"] + used_up["Records"] + duplicate["Records"]})
    # Then there is one object for each account, and one for what belongs to none
    output = printed()
    assert_valid(output.metrics)
    assert sorted(each["Account"] for each in output.metrics) == ["default", "fleet", "unknown"]
    counts = {name: sum(output.values(name)) for name, unit in UNITS.items() if unit == "Count"}
    assert {name: count for name, count in counts.items() if count} == {
        "MessagesSent": 2,
        "MessagesRejected": 1,
        "MessagesRetried": 2,
        "MessagesFailed": 1,
        "MessagesUnknown": 1,
        "MessagesExpired": 1,
        "DuplicatesSuppressed": 1,
        "CubeThrottled": 1,
    }
    assert sum(output.values("MessagesInvalid", "unknown")) == 1
    assert output.values("MessagesSent", "fleet") == [1]
    # And one latency for each POST, and one age for each message that is now done with
    assert len(output.values("CubeLatency") + output.values("CubeLatency", "fleet")) == cube.stats()["received"]
    assert len(output.values("QueueAge")) == 6
    assert min(output.values("QueueAge")) > 1000


def test_metrics_of_many_messages_lose_no_value(gateway: Deployment, printed: Callable[[], Printed]) -> None:
    # Given one message more than an EMF object takes values of one metric, when cold, then as many, when warm
    for number in (101, 100):
        requests = [{"deviceId": device(n), "content": "text"} for n in range(number)]
        # Tried with others if a slow machine has not done all of them before a batch has to end
        while gateway.consume(queue_event(*requests)):
            printed()
        # Then
        output = printed()
        assert_valid(output.metrics)
        assert sum(output.values("MessagesSent")) == number
        assert len(output.values("CubeLatency")) == len(output.values("QueueAge")) == number
        assert len(output.logs) == number


def test_metrics_of_the_api(cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]) -> None:
    for fault, metric in [("delay:0", "MessagesSent"), ("rejected", "MessagesRejected"), ("lost", "MessagesRetried")]:
        cube.configure(next_faults=[fault])
        gateway.post({"deviceId": device(1), "content": "text", "requestId": metric})
        output = printed()
        assert_valid(output.metrics)
        assert (output.values(metric), len(output.values("CubeLatency"))) == ([1], 1)
    gateway.call(load_event("api-post-invalid"))
    assert printed().values("MessagesInvalid", "unknown") == [1]


def test_credentials_are_counted_as_refused_when_fresh_ones_are(
    cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
) -> None:
    # Given a message whose credentials are refused once, as after a rotation, and one whose credentials stay refused
    cube.configure(device_faults={device(1): "status:401*1", device(2): "status:403"})
    # When
    gateway.consume(queue_event({"deviceId": device(1), "content": "text"}))
    rotated = printed()
    gateway.consume(queue_event({"deviceId": device(2), "content": "text"}))
    gateway.post({"deviceId": device(2), "content": "text"})
    refused = printed()
    # Then
    assert rotated.values("CubeAuthenticationFailed") == []
    assert refused.values("CubeAuthenticationFailed") == [1, 1]
    assert_valid(refused.metrics)


def test_deployments_are_told_apart_by_their_service(capsys: pytest.CaptureFixture[str]) -> None:
    # Given what another deployment of the same AWS account calls itself
    telemetry = Telemetry("cube-sms-staging")
    # When something is reported, when cold, then warm
    for _ in range(2):
        telemetry.failed(InvalidRequestError([Fault("deviceId", "is missing")]), "id")
        report_sent(telemetry, send_request(), Outcome(state=State.SENT), "id")
        telemetry.flush()
        # Then both dimension sets carry its name. A line has no need of it: its log group has it.
        output = Printed.parse(capsys.readouterr().out)
        assert [each["service"] for each in output.metrics] == ["cube-sms-staging"] * 2
        assert ["service" in each for each in output.logs] == [False] * 2
        (sent,) = (each for each in output.metrics if "MessagesSent" in each)
        (directive,) = sent["_aws"]["CloudWatchMetrics"]
        assert directive["Dimensions"] == [["Account", "service"], ["service"]]


@pytest.mark.parametrize("account", ["all", "unknown"])
def test_account_may_be_called_as_no_account_is(capsys: pytest.CaptureFixture[str], account: str) -> None:
    telemetry = Telemetry("cube-sms")
    report_sent(telemetry, send_request(account=account), Outcome(state=State.FAILED), "id")
    telemetry.flush()
    # What alarms watch
    (failed,) = (each for each in Printed.parse(capsys.readouterr().out).metrics if "MessagesFailed" in each)
    (directive,) = failed["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["Account", "service"], ["service"]]


def test_invocation_without_anything_to_tell_prints_no_metrics(
    gateway: Deployment, printed: Callable[[], Printed]
) -> None:
    gateway.consume(load_event("sqs-text"), Context(0.0))
    gateway.call(load_event("api-post-text") | {"resource": "/other"})
    gateway.call(load_event("api-post-async"))
    assert printed().metrics == []


def test_each_message_is_logged_under_its_ids(
    cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
) -> None:
    # Given
    event = load_event("sqs-batch")
    event["Records"] += load_event("sqs-invalid")["Records"]
    cube.configure(device_faults={"89314404000939952231": "rejected:7001"})
    gateway.configure(KEEP_PROVIDER_MESSAGES="true")
    # When
    gateway.consume(event)
    # Then
    logs = printed().logs
    assert [log["correlation_id"] for log in logs] == [record["messageId"] for record in event["Records"]]
    assert {log["function_request_id"] for log in logs} == {Context().aws_request_id}
    assert logs[0]["message_id"] == "default#order-7789-wakeup"
    assert (logs[0]["state"], logs[0]["code"], logs[0]["cube_message"]) == ("REJECTED", "7001", "rejected")
    assert logs[0]["device_id"] == "*" * 16 + "2231"
    assert logs[2]["message_id"] == f"default#{event['Records'][2]['messageId']}"
    assert len(logs[5]["faults"]) == 3


def test_each_call_of_the_api_is_logged_under_its_id(gateway: Deployment, printed: Callable[[], Printed]) -> None:
    for name in ("api-post-text", "api-post-async", "api-post-invalid"):
        event = load_event(name)
        gateway.call(event)
        assert [log["correlation_id"] for log in printed().logs] == [event["requestContext"]["requestId"]]


@pytest.mark.parametrize("workers", ["1", "4"])
def test_logs_of_messages_sent_side_by_side_do_not_mix(
    cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed], workers: str
) -> None:
    gateway.configure(QUEUE_SEND_CONCURRENCY=workers)
    cube.configure(latency=0.02)
    event = queue_event(*({"deviceId": device(n), "requestId": f"order-{n}", "content": "text"} for n in range(20)))
    assert gateway.consume(event) == []
    expected = {
        record["messageId"]: (f"default#order-{n}", f"{'*' * 16}{n:04d}") for n, record in enumerate(event["Records"])
    }
    output = printed()
    assert {log["correlation_id"]: (log["message_id"], log["device_id"]) for log in output.logs} == expected
    assert len(output.values("CubeLatency")) == 20


def test_libraries_add_nothing_to_the_logs(
    gateway: Deployment, printed: Callable[[], Printed], caplog: pytest.LogCaptureFixture
) -> None:
    # Given a provider whose HTTP is broken in a way that its library would talk about
    broken = answer(FAILURE).replace(b"\r\n\r\n", b"\r\nyour text was: Wake up and report\r\nno header\r\n\r\n")
    with Wire(broken, hang_up=True) as wire:
        gateway.configure(CUBE_BASE_URL=wire.url)
        # When
        gateway.consume(load_event("sqs-text"))
    # Then
    assert len(printed().logs) >= 1
    assert {record.name for record in caplog.records if record.levelname != "DEBUG"} == {"cube-sms"}
