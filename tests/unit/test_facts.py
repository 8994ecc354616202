"""Each fact is declared once, in the code: what tells it elsewhere tells the same, and what is missing is named."""

from __future__ import annotations

import ast
import inspect
import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from cube_sms import __version__
from cube_sms.campaigns.files import COLUMNS, NO_COLUMNS
from cube_sms.campaigns.reports import OUTCOME
from cube_sms.delivery import Record, State
from cube_sms.delivery.asks.telling import NO_REPLY
from cube_sms.delivery.records import REFUSED_KEY, TRANSITIONS, RecordStore
from cube_sms.pacing.gate_item import GATE_KEY
from cube_sms.pacing.leases import LEASES_KEY
from cube_sms.platform import KEY, FollowUpSettings, ProviderSettings, Settings
from cube_sms.platform.metrics import METRICS
from cube_sms.platform.telemetry import NAMESPACE
from cube_sms.queue.dead_letters import CUT_FROM, OWN
from cube_sms.replies.accounts import MEMBERS
from cube_sms.replies.refusals import Refusal
from cube_sms.request import FIELDS, SendRequest
from cube_sms.request.schema import send_request_schema
from local.cloudwatch import lines
from scripts.schemas import outcome_event_schema
from scripts.smoke_test import UNDER_WAY
from tests.cloudformation import resolve, written
from tests.documents import ROOT, names_in, pages, section, table
from tests.streams import template_filters
from tests.support import letters, send_request
from tests.unit.records_table import TABLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from mypy_boto3_dynamodb import DynamoDBClient

TEMPLATES = [*ROOT.glob("*.yaml"), *(ROOT / "monitoring").glob("*.yaml")]
FINAL = {state for state in State if state.is_final}
NOT_SENT = {state for state in FINAL if not state.is_sent}

# Who cancels a message wants it not to be sent: that is no failure.
FAILURES = NOT_SENT - {State.CANCELLED}
# Those with a task that waits for its message.
STATE_MACHINES = [
    path for path in (ROOT / "statemachine").glob("*.json") if "waitForTaskToken" in path.read_text("utf-8")
]

# Tells of an item that has repaired itself: there is a line in the log, and nothing to watch.
NOT_SHOWN = {"GateRepaired"}


def differences(said: Collection[str], true: Collection[str]) -> dict[str, list[str]]:
    """Return what is missing in what is said, and what is said beyond what is true."""
    found = {"missing": sorted(set(true) - set(said)), "unknown": sorted(set(said) - set(true))}
    return {what: names for what, names in found.items() if names}


def documented(kind: type) -> list[str]:
    """Return the parameters that a class's docstring tells of."""
    found = re.findall(r"^(\w[\w, ]*) :", inspect.getdoc(kind) or "", re.MULTILINE)
    return [name for names in found for name in names.split(", ")]


class TestRequestField:
    def test_is_in_the_documents(self) -> None:
        rows = {name: row for row in table("field") for name in names_in(row[0])}
        assert differences(rows, FIELDS) == {}
        # And so are its default, or that it is required
        schema = send_request_schema()
        told = {
            name: json.dumps(field["default"]) for name, field in schema["properties"].items() if "default" in field
        }
        assert {name: rows[name][1].strip("`") for name in told} == told
        assert [name for name in FIELDS if rows[name][1] == "required"] == schema["required"]

    def test_is_told_by_the_model(self) -> None:
        assert differences(documented(SendRequest), SendRequest.__struct_fields__) == {}

    def test_is_a_column_of_a_campaign_unless_there_is_a_reason(self) -> None:
        assert differences(COLUMNS, set(FIELDS) - NO_COLUMNS) == {}
        # A cell is a text: a field of another type has to be read from one
        properties = send_request_schema()["properties"]
        types = {name: properties[name].get("type", "string") for name in COLUMNS}
        assert {name: kind for name, kind in types.items() if "string" not in kind} == {}

    def test_is_named_where_the_columns_are(self) -> None:
        assert set(COLUMNS) - set(names_in(section("docs/workflows.md", "A campaign"))) == set()


class TestState:
    def test_is_in_the_diagram_with_what_may_follow(self) -> None:
        arrows = re.findall(r"^    (\S+) --> ([^\s:]+)", pages()["docs/delivery.md"], re.MULTILINE)
        true = {(str(before or "[*]"), str(after)) for before, states in TRANSITIONS.items() for after in states}
        # What nothing follows ends there. What was sent does too, if no receipt is asked for.
        ends = {(str(state), "[*]") for state in State if not TRANSITIONS[state]} | {("SENT", "[*]")}
        assert set(arrows) ^ (true | ends) == set()

    def test_is_let_through_to_the_publisher_where_it_is_final(self) -> None:
        images = [json.loads(each["Pattern"])["dynamodb"]["NewImage"] for each in template_filters()]
        (states,) = [image["state"]["S"] for image in images if "state" in image]
        assert differences(states, FINAL) == {}
        assert [image[KEY]["S"] for image in images if KEY in image] == [[{"prefix": REFUSED_KEY}]]

    def test_has_a_detail_type_that_every_page_names_which_names_others(self) -> None:
        told = {
            page: set(re.findall(r"`SMS (\w+)`", text)) - {"Requested", "Received"} for page, text in pages().items()
        }
        true = {state.title() for state in FINAL}
        assert {page: differences(names, true) for page, names in told.items() if names and names != true} == {}
        assert any(told.values())

    def test_is_in_the_sample_of_what_was_not_sent(self) -> None:
        pattern = json.loads((ROOT / "events" / "outcome-pattern.json").read_text("utf-8"))
        assert differences(pattern["detail-type"], [f"SMS {state.title()}" for state in NOT_SENT]) == {}

    @pytest.mark.parametrize("path", STATE_MACHINES, ids=lambda path: path.stem)
    def test_is_an_error_that_state_machines_know(self, path: Path) -> None:
        # Those that nobody knows would be taken for an outage, and the task tried again
        caught = set(re.findall(r"CubeSms\.(\w+)", path.read_text("utf-8"))) - {"InvalidCampaign", NO_REPLY}
        assert differences(caught, {state.title() for state in NOT_SENT} | letters()) == {}

    def test_is_an_error_that_the_documents_tell(self) -> None:
        told = re.findall(r"`CubeSms\.(\w+)`", section("docs/workflows.md", "A task that waits"))
        assert differences(set(told) - {NO_REPLY}, {state.title() for state in NOT_SENT} | letters()) == {}

    def test_is_waited_for_by_the_smoke_test_unless_it_is_final(self) -> None:
        assert differences(UNDER_WAY, set(State) - FINAL) == {}

    def test_counts_for_the_ratio_of_failures(self) -> None:
        (alarm,) = [each for name, each in alarms() if name.startswith("FailureRatio")]
        watched = {query["MetricStat"]["Metric"]["MetricName"] for query in alarm["Metrics"] if "MetricStat" in query}
        assert differences(watched, {state.metric.name for state in FAILURES | {State.SENT}}) == {}
        # And the runbook looks for the same
        (query,) = re.findall(r"logs '(.*)'", section("docs/runbook.md", "failure-ratio"))
        assert differences(re.findall(r'state = "(\w+)"', query), FAILURES) == {}


class TestMemberOfARecord:
    def test_is_in_a_campaigns_result_or_among_what_the_row_says(self) -> None:
        members = set(outcome_event_schema()["$defs"]["Detail"]["properties"]) - {"eventId", "messageId"}
        assert differences({*OUTCOME, "account", "deviceId", "createdAt"}, members) == {}
        assert set(OUTCOME) - set(names_in(section("docs/workflows.md", "A campaign"))) == set()

    def test_is_in_the_event_that_is_shown(self) -> None:
        (shown,) = re.findall(r"^```json\n(.*?)^```$", section("docs/workflows.md", "Outcome events"), re.DOTALL | re.M)
        faults = Draft202012Validator(outcome_event_schema()).iter_errors(json.loads(shown))
        assert [fault.message for fault in faults] == []


class TestAttributeOfAnItem:
    def test_is_known_to_the_records_alone(self, store: RecordStore, dynamodb: DynamoDBClient) -> None:
        # Given what is kept of a message and told to nobody
        request = send_request(requestId="order-of-facts", taskToken="token")
        claimed = dynamodb_item(dynamodb, store.claim(request).record)
        hidden = claimed.keys() - outcome_event_schema()["$defs"]["Detail"]["properties"].keys()
        assert hidden >= {"leaseUntil", "requestHash", "taskTokens"}

        # Then no other module names it, nor the key of an item that is another's
        hidden |= {"NewImage", "OldImage", REFUSED_KEY, GATE_KEY, LEASES_KEY}
        package = ROOT / "layers" / "cube" / "cube_sms"
        named = {
            (path.relative_to(ROOT).as_posix(), name)
            for path in [*package.rglob("*.py"), *(ROOT / "scripts").glob("*.py")]
            if not path.is_relative_to(package / "delivery" / "records")
            for text in strings(path)
            for name in hidden
            if text == name
        }
        assert named == {
            # DynamoDB's own, for every item that is to go by itself
            ("layers/cube/cube_sms/campaigns/progress.py", "ttl"),
            ("layers/cube/cube_sms/delivery/asks/store.py", "ttl"),
            ("layers/cube/cube_sms/pacing/gate_item.py", GATE_KEY),
            ("layers/cube/cube_sms/pacing/leases.py", LEASES_KEY),
        }


class TestAttributeOfALetter:
    def test_is_in_the_documents(self) -> None:
        rows = {name: row for row in table("attribute", "") for name in names_in(row[0])}
        assert differences(rows, OWN | {CUT_FROM}) == {}
        assert (
            differences(names_in(rows["reason"][1]), letters() | {state.letter for state in State if state.letter})
            == {}
        )


class TestParameter:
    def test_is_in_the_documents(self) -> None:
        told = [name for row in table("parameter") for name in names_in(row[0])]
        assert differences(told, written("template.yaml")["Parameters"]) == {}
        assert len(told) == len(set(told))

    @pytest.mark.parametrize("name", ["SendFromQueueFunction", "SendFromApiFunction", "ShowMessageFunction"])
    def test_reaches_the_functions_that_send(self, name: str) -> None:
        fields = {field.upper() for field in Settings.__struct_fields__}
        assert differences(variables(name), fields) == {}

    def test_has_the_default_of_its_setting(self) -> None:
        # Given the environment of a stack with no parameter set, with a name for each of its resources
        values = variables("SendFromQueueFunction")
        environment = {name: value if isinstance(value, str) else name for name, value in values.items()}
        settings = Settings.from_environment(environment)
        fields = msgspec.structs.fields(Settings)
        bare = Settings(**{field.name: getattr(settings, field.name) for field in fields if field.required})
        defaults = {field.name: getattr(bare, field.name) for field in fields}
        assert {name: getattr(settings, name) for name in defaults} == defaults

    @pytest.mark.parametrize("kind", [Settings, FollowUpSettings])
    def test_is_told_where_it_is_read(self, kind: type[ProviderSettings]) -> None:
        told = [name for each in (ProviderSettings, kind) for name in documented(each)]
        assert differences(told, kind.__struct_fields__) == {}

    def test_reaches_the_function_that_asks_later(self) -> None:
        # What it needs, but for what no query of its own hangs on
        fields = {field.upper() for field in FollowUpSettings.__struct_fields__}
        assert differences(variables("FollowUpFunction", "followup.yaml"), fields) == {
            "missing": ["CUBE_LANGUAGE", "CUBE_TIMESTAMP_UNIT", "SECRET_MAX_AGE"]
        }


class TestVersion:
    def test_is_an_output_of_the_stack(self) -> None:
        assert written("template.yaml")["Outputs"]["Version"]["Value"] == __version__


class TestRefusal:
    def test_is_in_the_documents_with_its_answer(self) -> None:
        rows = table("what", "answer", "reason in the log")
        told = {name: row[1] for row in rows for name in names_in(row[2]) if name[0].isupper()}
        assert told == {refusal.reason: str(refusal.answer.status) for refusal in Refusal}

    def test_is_no_reason_for_another_thing(self) -> None:
        assert {refusal.reason for refusal in Refusal} & letters() == set()

    @pytest.mark.parametrize("member", MEMBERS)
    def test_member_of_an_account_is_in_the_documents(self, member: str) -> None:
        assert member in {name for row in table("member of an account") for name in names_in(row[0])}


class TestMetric:
    def test_is_in_the_dashboard(self) -> None:
        assert differences({name for name, _ in shown()}, METRICS.keys() - NOT_SHOWN) == {}

    def test_is_watched_and_shown_with_the_dimensions_it_has(self) -> None:
        # What is an account's is summed up under the service alone
        dimensions = {name: None if metric.of == "account" else metric.of for name, metric in METRICS.items()}
        seen = {*shown(), *watched()}
        assert {name for name, _ in seen} - METRICS.keys() == set()
        assert {(name, account) for name, account in seen if account != dimensions[name]} == set()


def alarms() -> list[tuple[str, dict[str, Any]]]:
    """Return the alarms of all templates, by their logical ids."""
    templates = [written(path.relative_to(ROOT).as_posix()) for path in TEMPLATES]
    resources = [item for template in templates for item in template.get("Resources", {}).items()]
    return [(name, each["Properties"]) for name, each in resources if each["Type"] == "AWS::CloudWatch::Alarm"]


def watched() -> Iterator[tuple[str, str | None]]:
    """Yield the metrics of ours that alarms watch, each with its Account."""
    for _, alarm in alarms():
        queries = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
        for each in queries or [alarm]:
            if each["Namespace"] == NAMESPACE:
                values = {dimension["Name"]: dimension["Value"] for dimension in each["Dimensions"]}
                assert values.keys() <= {"service", "Account"}
                yield each["MetricName"], values.get("Account")


def shown() -> Iterator[tuple[str, str | None]]:
    """Yield the metrics of ours in the dashboard, each with its Account."""
    body, _ = written("monitoring/dashboard.yaml")["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    for widget in json.loads(body.replace("${RateLimit}", "{}"))["widgets"]:
        for line in lines(widget) if widget["type"] == "metric" else ():
            if line.metric and line.metric.namespace == NAMESPACE:
                values = dict(line.metric.dimensions)
                assert values.keys() <= {"service", "Account"}
                yield line.metric.name, values.get("Account")


def variables(function: str, path: str = "template.yaml") -> dict[str, Any]:
    """Return the environment that a function has of its own, with no parameter set."""
    template = {**written(path), "Outputs": {}}
    resource = {"Type": "", "Properties": template["Resources"][function]["Properties"]["Environment"]["Variables"]}
    found: dict[str, Any] = resolve({**template, "Resources": {"Own": resource}}, {})["Resources"]["Own"]["Properties"]
    return found


def dynamodb_item(dynamodb: DynamoDBClient, record: Record) -> dict[str, Any]:
    """Return the item of a record."""
    item: Any = dynamodb.get_item(TableName=TABLE, Key={KEY: {"S": record.message_id}})["Item"]
    return dict(item)


def strings(path: Path) -> set[str]:
    """Return the texts in a module's code."""
    tree = ast.parse(path.read_text("utf-8"), path)
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
