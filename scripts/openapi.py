"""Write docs/openapi.json, an OpenAPI 3.1 document of the whole API, and docs/reference/api.md, the same to read.

Usage: ``make schemas``. The routes are those of the templates. `openapi_inputs`, `openapi_answers` and
`openapi_schemas` have what they take and answer.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from samtranslator.yaml_helper import yaml_parse

from cube_sms.api import HistoryApi, MessagesApi
from cube_sms.api.replies import INVALID_CALL, NO_HISTORY, NO_SUCH_MESSAGE, NOT_NOW, NOT_RECORDED, TOO_LATE
from cube_sms.delivery import SpoiledRecordError, State
from cube_sms.platform import AwsUnavailableError, UnexpectedError
from cube_sms.provider import UnknownAccountError
from cube_sms.replies import CallbackReceiver
from cube_sms.replies.refusals import Refusal
from scripts.openapi_answers import (
    Refused,
    add_gateway_form,
    done,
    first_sentence,
    obstacles,
    of_answer,
    of_error,
    problems,
    ref,
)
from scripts.openapi_inputs import PARAMETERS, body, callback_schema
from scripts.openapi_page import page
from scripts.openapi_schemas import schemas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PROJECT = Path(__file__).parents[1]
DOCUMENT = PROJECT / "docs" / "openapi.json"
PAGE = PROJECT / "docs" / "reference" / "api.md"

_ERRORS = {kind.answer for kind in obstacles()}
_ANY_CALL = (of_error(AwsUnavailableError), of_error(UnexpectedError))
_A_RECORD = (of_error(SpoiledRecordError), *_ANY_CALL)
_INVALID = of_answer(INVALID_CALL, "a parameter is malformed")
_NOT_CANCELLED = (of_answer(TOO_LATE, "the message has ended"), of_answer(NOT_NOW, "the message is being sent"))


class Operation(NamedTuple):
    """What a call takes, and how it is answered.

    Parameters
    ----------
    does : Callable
        The method that answers it. Its docstring says what it does.
    parameters : tuple of str
        Its parameters.
    answers : dict
        The answers of a call that did what it is for, by status.
    refused : tuple of Refused
        All others.
    body : dict, optional
        The body that it needs.
    """

    does: Callable[..., Any]
    parameters: tuple[str, ...]
    answers: dict[str, Any]
    refused: tuple[Refused, ...]
    body: dict[str, Any] | None = None


OPERATIONS = {
    "POST /messages": Operation(
        MessagesApi.post,
        ("idempotencyKey", "prefer"),
        {
            "200": done("Sent", "Cube has accepted the message, now or before."),
            "202": done("Queued", "The message is on the queue.", "Location", "Preference-Applied"),
        },
        (
            # To the API, an unknown account is a fault of the request.
            *(of_error(kind) for kind in obstacles() if kind is not UnknownAccountError),
            # Some have the answer of an error.
            *(of_answer(state.answer) for state in State if not state.is_sent and state.answer not in _ERRORS),
            of_answer(NOT_RECORDED),
        ),
        body(ref("SendRequest"), sample="api-post-text"),
    ),
    "GET /messages/{requestId}": Operation(
        MessagesApi.get,
        ("requestId", "account"),
        {"200": done("Message", "The record.")},
        (_INVALID, of_answer(NO_SUCH_MESSAGE), *_A_RECORD),
    ),
    "DELETE /messages/{requestId}": Operation(
        MessagesApi.delete,
        ("requestId", "account"),
        {"200": done("Message", "The message is cancelled, now or before. It may have had no record.")},
        (_INVALID, of_answer(NO_SUCH_MESSAGE), *_NOT_CANCELLED, *_A_RECORD),
    ),
    "GET /devices/{deviceId}/messages": Operation(
        HistoryApi.get,
        ("deviceId", "limit", "next"),
        {"200": done("History", "The page.")},
        (_INVALID, of_answer(NO_HISTORY), *_ANY_CALL),
    ),
    "POST /callbacks/{token}": Operation(
        CallbackReceiver.receive,
        ("token", "version", "algorithm", "timestamp", "signature"),
        {"200": done("Received", "The callback is dealt with, or kept if its form is unknown.")},
        (*(of_answer(refusal.answer) for refusal in Refusal), *_A_RECORD),
        body(callback_schema(), sample="callback-reply"),
    ),
}
"""Every call, by its method and path."""


class Route(NamedTuple):
    """A route of a template: its name, method and path, and its API."""

    name: str
    method: str
    path: str
    api: Mapping[str, Any]


def templates() -> list[dict[str, Any]]:
    """Return the templates with an API, that of the application's own API first."""
    return [yaml_parse((PROJECT / name).read_text("utf-8")) for name in ("template.yaml", "replies.yaml")]


def routes(template: Mapping[str, Any]) -> Iterator[Route]:
    """Yield each route of a template."""
    for resource in template["Resources"].values():
        events = resource["Properties"].get("Events", {}) if resource["Type"] == "AWS::Serverless::Function" else {}
        for name, event in events.items():
            if event["Type"] == "Api":
                declared = event["Properties"]
                api = template["Resources"][declared["RestApiId"]["Ref"]]["Properties"]
                yield Route(name, declared["Method"], declared["Path"], api)


def document() -> dict[str, Any]:
    """Return the document."""
    main, *nested = templates()
    api = main["Resources"]["Api"]["Properties"]
    paths: dict[str, Any] = {}
    for template in (main, *nested):
        for route in routes(template):
            path = paths.setdefault(route.path, {} if template is main else {"servers": [_server(template)]})
            path[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cube-sms",
            "version": api["StageName"],
            "description": "A serverless SMS gateway in front of the Cube API. The history of a device needs the"
            " parameter `DeviceHistory` of the deployment, and callbacks need `Replies`. Objects may get more members.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [_server(main)],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "parameters": PARAMETERS,
            "securitySchemes": {
                "sigv4": {
                    "type": "apiKey",
                    "name": "Authorization",
                    "in": "header",
                    "description": "AWS Signature Version 4, with IAM credentials that allow `execute-api:Invoke`.",
                    "x-amazon-apigateway-authtype": "awsSigv4",
                }
            },
        },
    }


def _server(template: Mapping[str, Any]) -> dict[str, Any]:
    # Of the output with the address of the API. That of callbacks has the path of its one route, without the token.
    outputs = template["Outputs"]
    url = (outputs.get("ApiUrl") or outputs["CallbackUrl"])["Value"]["Fn::Sub"].removesuffix("/callbacks/")
    variables = {
        "apiId": {"default": "a1b2c3d4e5", "description": "The id of the API."},
        "region": {"default": "eu-central-1", "description": "The region of the deployment."},
        "suffix": {"default": "amazonaws.com", "description": "The domain of the AWS partition."},
    }
    for name, variable in zip(re.findall(r"\$\{[\w:]+\}", url), variables, strict=True):
        url = url.replace(name, f"{{{variable}}}")
    return {"url": url, "variables": variables}


def _operation(route: Route) -> dict[str, Any]:
    operation = OPERATIONS[f"{route.method} {route.path}"]
    is_signed = route.api.get("Auth", {}).get("DefaultAuthorizer") == "AWS_IAM"
    (limits,) = route.api["MethodSettings"]
    rate = f"{limits['ThrottlingRateLimit']} calls a second, or {limits['ThrottlingBurstLimit']} at once"
    responses = {**operation.answers, **problems((*operation.refused, *_of_gateway(route.api)))}
    if is_signed:
        add_gateway_form(responses, 403, "API Gateway refuses the caller.")
    if operation.body:
        add_gateway_form(responses, 413, "API Gateway refuses a body of over 10 MB.")
    if "THROTTLED" not in route.api["GatewayResponses"]:
        add_gateway_form(responses, 429, "API Gateway takes no more calls.")
    return {
        "operationId": route.name[0].lower() + route.name[1:],
        "summary": first_sentence(operation.does),
        "description": f"API Gateway takes at most {rate}, of all calls of this API.",
        "security": [{"sigv4": []}] if is_signed else [],
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in operation.parameters],
        **({"requestBody": operation.body} if operation.body else {}),
        "responses": dict(sorted(responses.items())),
    }


def _of_gateway(api: Mapping[str, Any]) -> Iterator[Refused]:
    """Yield the answers that API Gateway gives in our form."""
    for response in api["GatewayResponses"].values():
        told = json.loads(response["ResponseTemplates"]["application/json"])
        headers = response["ResponseParameters"]["Headers"]
        yield Refused(response["StatusCode"], told["title"], told["detail"], "Retry-After" in headers)


def files() -> dict[Path, str]:
    """Return both files, and what they hold."""
    made = document()
    return {DOCUMENT: json.dumps(made, indent=2, ensure_ascii=False) + "\n", PAGE: page(made)}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, "utf-8")
