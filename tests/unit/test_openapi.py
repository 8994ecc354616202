"""The document of the API: made from the code and the templates, and valid.

Every answer in tests/integration is held to it (tests/openapi.py). tests/integration/test_openapi.py makes calls of it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from cube_sms.delivery import State
from cube_sms.replies.refusals import Refusal
from scripts.openapi import DOCUMENT, OPERATIONS, files
from tests.cloudformation import application, written
from tests.support import obstacles

ROOT = Path(__file__).parents[2]
OPENAPI = json.loads(DOCUMENT.read_text("utf-8"))
CALLS = {
    f"{method.upper()} {path}": operation
    for path, item in OPENAPI["paths"].items()
    for method, operation in item.items()
    if method != "servers"
}


def titles(call: str) -> set[tuple[int, str]]:
    """Return status and title of every problem that a call may be answered with."""
    return {
        (int(status), title)
        for status, response in CALLS[call]["responses"].items()
        if "application/problem+json" in response["content"]
        for title in response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["title"][
            "enum"
        ]
    }


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_file_is_what_the_code_makes(path: Path) -> None:
    # To write them: make schemas
    assert path.read_text("utf-8") == files()[path]


def test_document_is_valid() -> None:
    OpenAPIV31SpecValidator(OPENAPI).validate()


def test_document_has_every_route_of_the_templates_and_no_other() -> None:
    # Given the routes of every template that the application is made of
    events = [
        event["Properties"]
        for template in application(written).values()
        for resource in template["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "Api"
    ]
    # Then
    routes = [f"{event['Method']} {event['Path']}" for event in events]
    assert sorted(routes) == sorted(CALLS) == sorted(OPERATIONS)


def test_caller_signs_where_the_api_asks_for_it() -> None:
    unsigned = {call for call, operation in CALLS.items() if operation["security"] == []}
    assert unsigned == {"POST /callbacks/{token}"}
    assert all(operation["security"] == [{"sigv4": []}] for call, operation in CALLS.items() if call not in unsigned)


def test_every_error_and_state_is_among_the_answers_to_a_message() -> None:
    answers = [kind.answer for kind in obstacles() if hasattr(kind, "answer")]
    answers += [state.answer for state in State if not state.is_sent]
    assert {(answer.status, answer.title) for answer in answers} <= titles("POST /messages")


def test_every_refusal_is_among_the_answers_to_a_callback() -> None:
    assert {(each.answer.status, each.answer.title) for each in Refusal} <= titles("POST /callbacks/{token}")


@pytest.mark.parametrize("call", CALLS)
def test_parameters_of_a_path_are_described(call: str) -> None:
    parameters = [
        OPENAPI["components"]["parameters"][each["$ref"].rpartition("/")[2]] for each in CALLS[call]["parameters"]
    ]
    in_path = {each["name"] for each in parameters if each["in"] == "path"}
    assert in_path == set(re.findall(r"\{(\w+)\}", call))
    assert all(each["description"] for each in parameters)


@pytest.mark.parametrize("call", CALLS)
def test_answers_of_api_gateway_are_described(call: str) -> None:
    # A call comes too often, or finds no function
    assert "429" in CALLS[call]["responses"]
    assert any(status == 503 and title == "No answer" for status, title in titles(call))
