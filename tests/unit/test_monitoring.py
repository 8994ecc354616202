"""Alarms, dashboard and runbook: each alarm watches what AWS knows, and has its page; the metrics of CubeSms are the
matter of tests/e2e/test_alarms.py.
"""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore
import botocore.session
import pytest

from cube_sms.replies.refusals import Refusal
from local.cloudwatch import Line, Metric, Query, calculate, emitted, lines, metric, statistic
from tests.cloudformation import application, stacks, written

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
TEMPLATES = application(written)
TEMPLATE = TEMPLATES["template.yaml"]
DASHBOARD = TEMPLATES["monitoring/dashboard.yaml"]
RESOURCES: dict[str, dict[str, Any]] = {
    name: resource for template in TEMPLATES.values() for name, resource in template["Resources"].items()
}
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text("utf-8")


def _given(node: Any, passed: dict[str, Any]) -> Any:
    """Return a part of a nested template in the words of the one around it."""
    if isinstance(node, list):
        return [_given(item, passed) for item in node]
    if not isinstance(node, dict):
        return node
    if node.keys() == {"Ref"}:
        return passed.get(node["Ref"], node)
    return {key: _given(item, passed) for key, item in node.items()}


# What each nested template is given, by the name of its parameter.
PASSED = {stack["TemplateURL"]: stack["Parameters"] for stack in stacks(TEMPLATE).values()}
ALARMS = {
    name: _given(each["Properties"], PASSED[path])
    for path, template in TEMPLATES.items()
    for name, each in template["Resources"].items()
    if each["Type"] == "AWS::CloudWatch::Alarm"
}
FAILURES = ("rejected", "failed", "expired", "unknown")

# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
AWS_METRICS = {
    "AWS/Lambda": ({"Errors", "Throttles", "IteratorAge"}, {"FunctionName"}),
    "AWS/SQS": (
        {
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesVisible",
            "ApproximateNumberOfMessagesNotVisible",
        },
        {"QueueName"},
    ),
}
# How a resource's name is had that such a dimension takes, by the type of the resource.
NAMES: dict[str, tuple[str, Callable[[str], object]]] = {
    "FunctionName": ("AWS::Serverless::Function", lambda name: {"Ref": name}),
    "QueueName": ("AWS::SQS::Queue", lambda name: {"Fn::GetAtt": [name, "QueueName"]}),
}

each_alarm = pytest.mark.parametrize("name", ALARMS)


def widgets() -> list[dict[str, Any]]:
    """Return the dashboard's widgets, each substitution with its own name in place of its value."""
    text, values = DASHBOARD["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    assert values.keys() == {"RateLimit"}
    found: list[dict[str, Any]] = json.loads(re.sub(r"\$\{RateLimit\}", "{}", text))["widgets"]
    return found


def section(anchor: str) -> str:
    """Return what the runbook has under a heading."""
    (found,) = re.findall(rf"^## {re.escape(anchor)}$(.*?)(?=^## |\Z)", RUNBOOK, re.DOTALL | re.MULTILINE)
    return str(found)


def anchor_of(alarm: dict[str, Any]) -> str:
    return str(alarm["AlarmDescription"]).rpartition("docs/runbook.md#")[2]


def test_everything_there_should_be_an_alarm_for_has_one() -> None:
    assert {anchor_of(alarm) for alarm in ALARMS.values()} == {
        "dead-letters",
        "oldest-message",
        "function-errors",
        "function-throttles",
        "authentication-failures",
        "accounts-closed",
        "gate-closed",
        "quota",
        "unknown-outcomes",
        "failure-ratio",
        "api-busy",
        "task-answers-refused",
        "outcome-lag",
        "unpublished",
        "damaged-records",
        "undelivered-requests",
        "unknown-callbacks",
        "callbacks-refused",
        "callbacks-failed",
        "undelivered-ratio",
        "receipts-overdue",
    }
    functions = {name: each for name, each in RESOURCES.items() if each["Type"] == "AWS::Serverless::Function"}
    for watched in ("Errors", "Throttles"):
        assert sorted(target["Ref"] for target in watched_by(watched)) == sorted(functions)
    # A function that reads a stream may fall behind, and an operator has to see the messages at the end of a queue
    readers = [
        name for name, each in functions.items() if "'Type': 'DynamoDB'" in str(each["Properties"].get("Events"))
    ]
    assert [target["Ref"] for target in watched_by("IteratorAge")] == readers
    # except for those that Cube rejected, which failure-ratio covers
    ends = {name for name, each in RESOURCES.items() if each["Type"] == "AWS::SQS::Queue"} - {
        "SendQueue",
        "RejectedQueue",
    }
    assert {target["Fn::GetAtt"][0] for target in watched_by("ApproximateNumberOfMessagesVisible")} == ends


def watched_by(metric_name: str) -> list[dict[str, Any]]:
    """Return of what resources there is an alarm on a metric."""
    alarms = [alarm for alarm in ALARMS.values() if alarm.get("MetricName") == metric_name]
    return [alarm["Dimensions"][0]["Value"] for alarm in alarms]


@each_alarm
def test_alarm_says_what_no_data_means_whom_to_tell_and_where_to_read_on(name: str) -> None:
    alarm = ALARMS[name]
    assert alarm["TreatMissingData"] in ("notBreaching", "ignore")
    assert alarm["AlarmActions"] == alarm["OKActions"]
    assert alarm["AlarmActions"]["Fn::If"] == ["AlarmsNotify", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]
    assert re.fullmatch(r"\$\{ServiceName\}-[a-z-]+", alarm["AlarmName"]["Fn::Sub"])
    # And the runbook says what it means, how to look, what to do, with something to copy
    page = section(anchor_of(alarm))
    assert [word for word in ("**Means:**", "**Look:**", "**Do", "```bash") if word not in page] == []


@each_alarm
def test_alarm_on_a_metric_of_aws_watches_one_there_is(name: str) -> None:
    alarm = ALARMS[name]
    if alarm.get("Namespace", "CubeSms") == "CubeSms":
        return
    names, dimensions = AWS_METRICS[alarm["Namespace"]]
    assert alarm["MetricName"] in names
    assert {dimension["Name"] for dimension in alarm["Dimensions"]} == dimensions
    # And one of a resource of ours
    for dimension in alarm["Dimensions"]:
        kind, name_of = NAMES[dimension["Name"]]
        ours = [name_of(resource) for resource, each in RESOURCES.items() if each["Type"] == kind]
        assert dimension["Value"] in ours


def test_dashboard_shows_metrics_of_aws_that_there_are() -> None:
    parameters = PASSED["monitoring/dashboard.yaml"]
    assert parameters.keys() == DASHBOARD["Parameters"].keys()
    shown = [line.metric for widget in widgets() if widget["type"] == "metric" for line in lines(widget)]
    for each in filter(None, shown):
        if each.namespace == "CubeSms":
            continue
        names, dimensions = AWS_METRICS[each.namespace]
        assert each.name in names
        assert {name for name, _ in each.dimensions} == dimensions
        for name, value in each.dimensions:
            kind, name_of = NAMES[name]
            given = parameters[value.removeprefix("${").removesuffix("}")]
            assert given in [name_of(resource) for resource, its in RESOURCES.items() if its["Type"] == kind]


def test_widgets_do_not_overlap_and_fill_the_grid() -> None:
    cells = [
        (x, y)
        for widget in widgets()
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(cells) == len(set(cells)) == 24 * (1 + max(y for _, y in cells))


def test_runbook_has_a_page_for_each_alarm_and_leads_nowhere_else() -> None:
    pages = re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)
    assert sorted(pages) == sorted({anchor_of(alarm) for alarm in ALARMS.values()})
    assert set(re.findall(r"\]\(#([^)]*)\)", RUNBOOK)) <= set(pages)
    for path, anchor in re.findall(r"\]\(([a-z]+\.md)(?:#([a-z-]+))?\)", RUNBOOK):
        headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / path).read_text("utf-8"), re.MULTILINE)
        assert not anchor or anchor in [heading.lower().replace(" ", "-") for heading in headings]


def test_runbook_asks_for_outputs_and_parameters_that_the_stack_has() -> None:
    assert set(re.findall(r"\$\(output (\w+)\)", RUNBOOK)) <= TEMPLATE["Outputs"].keys()
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", RUNBOOK))
    others = {
        "InvalidRequest",
        "AttemptsUsedUp",
        "SpoiledRecord",
        "SettingsError",
        "AccessDenied",
        "ResourceNotFound",
        "TasksUnanswered",
    }
    others |= {
        "KmsAccessDeniedException",
        "KmsInvalidStateException",
        "AccessDeniedException",
        "ThrottlingException",
        "InternalFailure",
    }
    others |= {"ConnectTimeoutError", "EndpointConnectionError"}
    others |= {refusal.reason for refusal in Refusal}
    assert named - others <= TEMPLATE["Parameters"].keys()
    resources = TEMPLATE["Resources"].values()
    groups = [each["Properties"]["LogGroupName"]["Fn::Sub"] for each in resources if "Logs" in each["Type"]]
    for function in ("send-from-queue", "send-from-api", "publish-outcomes"):
        assert f"/aws/lambda/${{AWS::StackName}}-{function}" in groups


def test_commands_of_the_runbook_are_ones_there_are() -> None:
    blocks = [
        textwrap.dedent(block) for block in re.findall(r"^ *```bash\n(.*?)^ *```$", RUNBOOK, re.DOTALL | re.MULTILINE)
    ]
    # Bash understands them, one after the other
    checked = subprocess.run(["bash", "-n"], input="\n".join(blocks), text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    # And every call of AWS names an operation and its parameters
    session = botocore.session.get_session()
    calls = re.findall(r"aws ([a-z0-9]+) ([a-z-]+)([^\n|;]*)", "\n".join(blocks).replace("\\\n", " "))
    assert len(calls) > 15
    for service, command, arguments in calls:
        if (service, command) == ("logs", "tail"):
            continue
        model = session.get_service_model(service)
        operations = {botocore.xform_name(name, "-"): name for name in model.operation_names}
        shape = model.operation_model(operations[command]).input_shape
        known = {botocore.xform_name(name, "-") for name in shape.members} if shape else set()
        options = {option.removeprefix("no-") for option in re.findall(r"(?<= --)[a-z-]+", arguments)}
        assert options - known - {"query", "output", "max-items"} == set(), command


@pytest.mark.parametrize(
    ("sent", "failures", "percent"),
    [
        (9, {"rejected": 1}, 10),
        (0, dict.fromkeys(FAILURES, 5), 100),
        (95, {"failed": 1, "unknown": 2, "expired": 2}, 5),
        (100, {}, 0),
        (8, {"rejected": 1}, 0),
        (0, {"rejected": 9}, 0),
        (0, {"rejected": 10}, 100),
    ],
)
def test_failure_ratio_is_the_percentage_of_messages_that_were_not_sent(
    sent: int, failures: dict[str, int], percent: float
) -> None:
    # Given one period, in which only what happened has data
    queries = {query["Id"]: query for query in ALARMS["FailureRatioAlarm"]["Metrics"]}
    names = {
        query["MetricStat"]["Metric"]["MetricName"]: id_ for id_, query in queries.items() if "MetricStat" in query
    }
    assert names == {"MessagesSent": "sent"} | {f"Messages{name.title()}": name for name in FAILURES}
    series = {name: {0.0: float(count)} for name, count in {"sent": sent, **failures}.items() if count}
    series = {name: series.get(name, {}) for name in names.values()}
    # When the alarm's expressions are evaluated, from the one that needs no other
    for query in reversed([query for query in queries.values() if "Expression" in query]):
        series[query["Id"]] = calculate(query["Expression"], series, 300)
    # Then
    assert series["ratio"] == {0: pytest.approx(percent)}
    assert [id_ for id_, query in queries.items() if query.get("ReturnData", True)] == ["ratio"]


def test_templates_of_their_own_keep_alarms_and_dashboard_out_of_the_application() -> None:
    kinds = {each["Type"] for each in TEMPLATE["Resources"].values()}
    assert kinds & {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard"} == set()


def test_all_that_is_nested_is_named_after_the_application() -> None:
    names = {path: passed["ServiceName"] for path, passed in PASSED.items() if "ServiceName" in passed}
    assert names.keys() == {
        "monitoring/alarms.yaml",
        "monitoring/dashboard.yaml",
        "campaigns.yaml",
        "replies.yaml",
        "followup.yaml",
    }
    assert [name for name in names.values() if name != {"Ref": "AWS::StackName"}] == []


class TestCloudWatch:
    """The part of CloudWatch that tests and the picture of the dashboard build on."""

    def test_each_set_of_dimensions_makes_a_metric(self) -> None:
        directive = {"Namespace": "N", "Dimensions": [["a", "b"], ["a"]], "Metrics": [{"Name": "m"}, {"Name": "n"}]}
        emf = {"_aws": {"Timestamp": 5000, "CloudWatchMetrics": [directive]}, "a": "x", "b": "y", "m": [1, 2], "n": 3}
        assert emitted([emf, emf])[Metric("N", "m", frozenset({("a", "x")}))] == [(5.0, 1), (5.0, 2)] * 2
        assert emitted([emf])[metric("N", "n", "b", "y", "a", "x")] == [(5.0, 3)]

    def test_statistics_are_those_of_a_period(self) -> None:
        values = [(61.0, 1.0), (62.0, 3.0), (130.0, 5.0)]
        for stat, first in {"Sum": 4, "Maximum": 3, "SampleCount": 2, "p50": 2, "p99": 2.98}.items():
            assert statistic(values, stat, 60)[60.0] == pytest.approx(first)
        assert statistic(values, "Sum", 60) == {60: 4, 120: 5}

    def test_rows_of_a_widget_repeat_what_stands_above(self) -> None:
        rows = [
            [{"expression": "e"}],
            ["N", "m", "a", "x", {"stat": "p50"}],
            ["...", {"stat": "p99"}],
            ["...", "y"],
            [".", "n", ".", ".", "b", "z"],
        ]
        assert lines({"properties": {"metrics": rows}}) == [
            Line(None, {"expression": "e"}),
            Line(metric("N", "m", "a", "x"), {"stat": "p50"}),
            Line(metric("N", "m", "a", "x"), {"stat": "p99"}),
            Line(metric("N", "m", "a", "y"), {}),
            Line(metric("N", "n", "a", "y", "b", "z"), {}),
        ]

    @pytest.mark.parametrize("expression", ["f(x)", "'text'", "x if x else x", "IF(x > 1, x, x)"])
    def test_what_is_not_understood_is_refused(self, expression: str) -> None:
        with pytest.raises(ValueError, match="not understood"):
            calculate(expression, {"x": {0.0: 1.0}}, 60)
        with pytest.raises(ValueError, match="not understood"):
            Query.parse("fields @message")

    def test_queries_count_the_log(self) -> None:
        query = Query.parse(
            "SOURCE 'a' | SOURCE 'b' | filter ispresent(s) | stats count(*) as n by s, code | sort n desc"
        )
        log: list[dict[str, Any]] = [{"s": "X", "code": 1}, {"s": "Y"}, {"s": "X", "code": 1}, {"code": 1}, {}]
        assert query.counts(log) == [("X", "1", "2"), ("Y", "", "1")]
