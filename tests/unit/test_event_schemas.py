"""The schemas of the events: written from the code, and true of events that the code makes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import OpenAPIV30SpecValidator

from cube_sms.delivery import RECEIVED as REPLY
from cube_sms.delivery import Received
from cube_sms.delivery.records import Record
from cube_sms.delivery.states import State
from cube_sms.outcomes.events import detail_of
from cube_sms.platform import SOURCE
from cube_sms.request.envelopes import DETAIL_TYPE, unwrap
from cube_sms.request.parsing import parse_send_request
from scripts.schemas import OUTCOMES, files, open_api, schema_name
from tests.cloudformation import stacks, written
from tests.support import DEVICE

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TEMPLATE = written("template.yaml")
REGISTRY = written("schemas/registry.yaml")
SCHEMAS = {
    name: each["Properties"]
    for name, each in REGISTRY["Resources"].items()
    if each["Type"] == "AWS::EventSchemas::Schema"
}


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((ROOT / "docs" / f"{name}.schema.json").read_text("utf-8"))
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


OUTCOME_EVENT, REQUEST_EVENT = validator("outcome-event"), validator("request-event")
REPLY_EVENT = validator("reply-event")

texts = st.none() | st.text()
times = st.sampled_from(["2027-01-31T12:00:00.000Z", "2027-01-31T12:00:07.318Z"])
records = st.builds(
    Record,
    message_id=st.builds("{}#{}".format, st.sampled_from(["default", "a-1"]), st.sampled_from(["order-1", "a.b:c_d"])),
    state=st.sampled_from(list(OUTCOMES.values())),
    attempts=st.integers(0, 50),
    request_hash=st.text(),
    device_id=st.sampled_from([DEVICE, "a"]),
    created_at=times,
    updated_at=times,
    owner=st.text(),
    possibly_duplicated=st.booleans(),
    code=texts,
    message=texts,
    reason=texts,
    task_tokens=st.frozensets(st.text(min_size=1)),
)


def event(detail_type: str, source: str, detail: Any) -> dict[str, Any]:
    """Return an event as EventBridge delivers it."""
    return {
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": detail_type,
        "source": source,
        "account": "123456789012",
        "time": "2027-01-31T12:00:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": detail,
    }


def outcome_event(record: Record) -> dict[str, Any]:
    detail = json.loads(msgspec.json.encode(detail_of(record)))
    return event(f"SMS {record.state.title()}", SOURCE, detail)


def open_api_accepts(detail_type: str, event: dict[str, Any]) -> bool:
    document = open_api(detail_type)
    schema = {"$ref": "#/components/schemas/AWSEvent", "components": document["components"]}
    return bool(OAS30Validator(schema).is_valid(event))


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield each schema of an object with properties, at any depth."""
    if isinstance(schema, dict):
        if "required" in schema and "properties" in schema:
            yield schema
        for value in schema.values():
            yield from objects(value)


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_file_is_what_the_code_makes(path: Path) -> None:
    # To write them: make schemas
    assert path.read_text("utf-8") == files()[path]


each_schema = pytest.mark.parametrize(
    "event", [OUTCOME_EVENT, REQUEST_EVENT, REPLY_EVENT], ids=lambda it: it.schema["title"]
)


@each_schema
def test_schema_is_itself_valid(event: Draft202012Validator) -> None:
    Draft202012Validator.check_schema(event.schema)


@given(records)
def test_every_outcome_event_is_as_both_schemas_say(record: Record) -> None:
    # Given an event of a record that has ended
    made = outcome_event(record)

    # Then it is valid, and has what the schemas describe and nothing else
    assert [error.message for error in OUTCOME_EVENT.iter_errors(made)] == []
    assert made["detail"].keys() == OUTCOME_EVENT.schema["$defs"]["Detail"]["properties"].keys()
    assert open_api_accepts(made["detail-type"], made)


@given(
    st.builds(
        Received,
        account=st.sampled_from(["default", "a-1"]),
        device_id=st.just(DEVICE),
        message_type=st.sampled_from(["Text", "Binary"]),
        content=st.text(st.characters(exclude_categories=["Cs"])),
        received_at=st.integers(10**12, 4 * 10**12),
    ),
    st.sampled_from([None, "order-1"]),
)
def test_every_reply_event_is_as_both_schemas_say(received: Received, in_reply_to: str | None) -> None:
    told = received.event(in_reply_to)
    made = event(told.detail_type, SOURCE, told.detail)
    assert [error.message for error in REPLY_EVENT.iter_errors(made)] == []
    assert made["detail"].keys() == REPLY_EVENT.schema["$defs"]["Detail"]["properties"].keys()
    assert open_api_accepts(REPLY, made)


@pytest.mark.parametrize(
    "change",
    [
        {"detail-type": "SMS Rejected"},
        {"detail-type": DETAIL_TYPE},
        {"source": "elsewhere"},
        {"detail": {}},
    ],
    ids=repr,
)
def test_other_events_are_no_outcome_events(change: dict[str, Any]) -> None:
    record = Record(
        message_id="default#order-1",
        state=State.SENT,
        attempts=1,
        request_hash="",
        device_id=DEVICE,
        created_at="2027-01-31T12:00:00.000Z",
        updated_at="2027-01-31T12:00:00.000Z",
        owner="",
    )
    assert OUTCOME_EVENT.is_valid(outcome_event(record))
    assert not OUTCOME_EVENT.is_valid(outcome_event(record) | change)


@pytest.mark.parametrize(
    ("detail", "is_valid"),
    [
        ({"deviceId": DEVICE, "content": "a"}, True),
        ({"deviceId": DEVICE, "content": "a", "requestId": "order-1", "taskToken": "AQ" * 400}, True),
        ({"deviceId": DEVICE, "smsContentList": [{"smsTemplateContent": "a", "smsType": None}]}, True),
        ({"deviceId": DEVICE}, False),
        ({"deviceId": DEVICE, "content": "a", "unknown": 1}, False),
        ({"content": "a"}, False),
        ([], False),
    ],
)
def test_a_request_event_is_valid_where_the_queue_function_takes_it(detail: Any, is_valid: bool) -> None:
    # Given an event with a request in it, from whatever source
    made = event(DETAIL_TYPE, "orders", detail)

    # Then both schemas say of it what becomes of it
    request, _ = unwrap(json.dumps(made).encode())
    assert _is_taken(request) is is_valid
    assert REQUEST_EVENT.is_valid(made) is is_valid
    assert open_api_accepts(DETAIL_TYPE, made) is is_valid


def _is_taken(request: bytes) -> bool:
    try:
        parse_send_request(request)
    except ValueError:
        return False
    return True


def test_registry_has_every_detail_type_and_no_other() -> None:
    # Given what its template registers
    contents = [json.loads(schema["Content"]) for schema in SCHEMAS.values()]
    events = [content["components"]["schemas"]["AWSEvent"] for content in contents]

    # Then it is every detail type there is, in EventBridge's own form, in one registry
    assert [each["x-amazon-events-detail-type"] for each in events] == [DETAIL_TYPE, *OUTCOMES, REPLY]
    assert {name.removeprefix("SMS ").upper() for name in OUTCOMES} == {state for state in State if state.is_final}
    assert [each.get("x-amazon-events-source") for each in events] == [None] + [SOURCE] * (len(OUTCOMES) + 1)
    assert {schema["Type"] for schema in SCHEMAS.values()} == {"OpenApi3"}
    assert all(schema["RegistryName"] == {"Fn::GetAtt": ["Registry", "RegistryName"]} for schema in SCHEMAS.values())


@pytest.mark.parametrize("name", SCHEMAS)
def test_registered_schema_is_one_that_eventbridge_takes(name: str) -> None:
    content = json.loads(SCHEMAS[name]["Content"])

    # Names have no spaces, the document is OpenAPI, and what it requires is there
    assert name == schema_name(content["components"]["schemas"]["AWSEvent"]["x-amazon-events-detail-type"])
    assert set(SCHEMAS[name]["SchemaName"]) <= set("-@.") | set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    assert len(SCHEMAS[name]["Content"]) <= 100_000
    OpenAPIV30SpecValidator(content).validate()
    for each in objects(content):
        assert set(each["required"]) <= each["properties"].keys()


def test_registry_is_a_stack_of_its_own_that_one_command_deploys() -> None:
    # Given the command that the page has for it
    page = (ROOT / "docs" / "events.md").read_text("utf-8")
    (path,) = re.findall(r"aws cloudformation deploy --template-file (\S+) --stack-name", page)

    # Then it names the registry's template, which needs nothing else: no parameters, nor the bucket of a longer one
    assert path == "schemas/registry.yaml"
    assert "Parameters" not in REGISTRY
    assert len((ROOT / path).read_bytes()) <= 51_200
    # And the application does without it
    assert path not in {stack["TemplateURL"] for stack in stacks(TEMPLATE).values()}
