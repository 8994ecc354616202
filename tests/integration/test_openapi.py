"""The API as docs/openapi.json describes it: calls that schemathesis makes of the document, valid and not.

API Gateway has its own answers (403, 429, and 503 of the title “No answer”), which the document describes too. They are
not made here. tests/e2e/test_api_access.py has callers without permission.
"""

from __future__ import annotations

import copy
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration.api_gateway import api_gateway
from tests.integration.called_back import SIGNED_TOKEN, TOKEN
from tests.openapi import document
from tests.support import DEVICE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemathesis.specs.openapi.schemas import OpenApiSchema

    from tests.integration.called_back import Callbacks
    from tests.integration.deployment import Deployment

EXAMPLES = 40

# Signatures are API Gateway's.
CONFIG = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})

CONFORMANCE = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

# Why a call can be refused that is valid by the document: it cannot say this, or leaves it to the deployment.
UNSAID = (
    "must have 1 to 140 characters",
    "must be an even number of hexadecimal digits",
    "holds a control character",
    "in the body differs from the Idempotency-Key",
    "is in the past",
    "must be as a page before this one has it",
    "cannot be met: the parameter Replies of this deployment is off",
)


class Call(NamedTuple):
    """A call, how some of its examples are answered, and what is the same in all of them."""

    method: str
    path: str
    status: int
    fixed: Mapping[str, Any] = MappingProxyType({})

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


OF_ORDER_1 = {"path_parameters": {"requestId": "order-1"}, "query": {"account": "default"}}

CALLS = [
    Call("POST", "/messages", 200),
    Call("POST", "/messages", 202, {"headers": {"Prefer": "respond-async"}}),
    Call("GET", "/messages/{requestId}", 200, OF_ORDER_1),
    Call("GET", "/messages/{requestId}", 404),
    Call("DELETE", "/messages/{requestId}", 200),
    Call("DELETE", "/messages/{requestId}", 409, OF_ORDER_1),
    Call("GET", "/devices/{deviceId}/messages", 200, {"path_parameters": {"deviceId": DEVICE}}),
]
CALLBACKS = [
    Call("POST", "/callbacks/{token}", 200, {"path_parameters": {"token": TOKEN}}),
    Call("POST", "/callbacks/{token}", 401, {"path_parameters": {"token": SIGNED_TOKEN}}),
    Call("POST", "/callbacks/{token}", 404),
]


def schema_of(invoke: Callable[[dict[str, Any]], dict[str, Any]], sample: str) -> OpenApiSchema:
    """Return what makes calls of the document, in front of a function."""
    made = copy.deepcopy(document())
    # Of another account there are no credentials, and few examples would be sent.
    made["components"]["schemas"]["SendRequest"]["properties"]["account"] = {"enum": ["default", None]}
    schema = schemathesis.openapi.from_dict(made, config=CONFIG)
    schema.app = api_gateway(invoke, sample)
    return schema


@pytest.fixture
def api(gateway_with_history: Deployment) -> OpenApiSchema:
    """The API, with a message that was sent."""
    sent = gateway_with_history.post({"requestId": "order-1", "deviceId": DEVICE, "content": "Wake up"})
    assert sent.status == 200
    return schema_of(gateway_with_history.invoke, "api-post-text")


@pytest.fixture
def callback_api(callbacks: Callbacks) -> OpenApiSchema:
    """The API that the provider calls back."""
    return schema_of(callbacks.invoke, "callback-reply")


def answers(schema: OpenApiSchema, call: Call, mode: GenerationMode, *checks: Any) -> Counter[int]:
    """Make calls, hold each answer to the document and to further checks, and count their statuses."""
    statuses: Counter[int] = Counter()

    @settings(deadline=None, max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(schema[call.path][call.method].as_strategy(generation_mode=mode, **call.fixed))
    def make(case: schemathesis.Case[Any]) -> None:
        answer = case.call_and_validate(checks=[*CONFORMANCE, *checks])
        statuses[answer.status_code] += 1

    make()
    return statuses


def is_not_refused_for_what_the_document_says(_ctx: Any, response: schemathesis.Response, _case: Any) -> None:
    """Fail if a valid call is refused for something else than `UNSAID`."""
    if response.status_code == 400:
        told = response.json()
        faults = [error["message"] for error in told.get("errors", [])] or [told["detail"]]
        assert [fault for fault in faults if not any(part in fault for part in UNSAID)] == []


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_valid_calls_are_taken_and_answered_as_described(api: OpenApiSchema, call: Call) -> None:
    statuses = answers(api, call, GenerationMode.POSITIVE, is_not_refused_for_what_the_document_says)
    assert statuses[call.status] > 0


@pytest.mark.parametrize("call", [call for call in CALLS if not call.fixed], ids=str)
def test_other_calls_are_refused_as_described(api: OpenApiSchema, call: Call) -> None:
    statuses = answers(api, call, GenerationMode.NEGATIVE, negative_data_rejection)
    assert statuses.total() > 0


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("call", CALLBACKS, ids=str)
def test_callbacks_are_answered_as_described(callback_api: OpenApiSchema, call: Call, mode: GenerationMode) -> None:
    # Of a callback nothing is invalid by the document but its headers, which count if it is signed
    statuses = answers(callback_api, call, mode)
    assert statuses[call.status] > 0
