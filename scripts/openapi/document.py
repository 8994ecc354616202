"""The document: its operations, and the routes of the templates that need them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.api import HistoryApi, MessagesApi
from cube_sms.api.replies import INVALID_CALL, NO_HISTORY, NO_SUCH_MESSAGE, NOT_NOW, NOT_RECORDED, TOO_LATE
from cube_sms.delivery import SpoiledRecordError, State
from cube_sms.platform import AwsUnavailableError, UnexpectedError
from cube_sms.provider import UnknownAccountError
from cube_sms.replies import CallbackReceiver
from cube_sms.replies.refusals import Refusal
from scripts.reference.answers import problems_of_gateway
from scripts.reference.errors import obstacles
from scripts.reference.templates import application, resources, template

from .answers import Refused, add_gateway_form, done, first_sentence, of_answer, of_error, problems, ref
from .inputs import PARAMETERS, body, callback_schema
from .schemas import schemas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_KINDS = sorted(obstacles(), key=lambda kind: kind.__name__)
_ERRORS = {kind.answer for kind in _KINDS}
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
            *(of_error(kind) for kind in _KINDS if kind is not UnknownAccountError),
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


def routes(name: str) -> Iterator[Route]:
    """Yield each route of a template."""
    apis = dict(resources(name, "AWS::Serverless::Api"))
    for _, function in resources(name, "AWS::Serverless::Function"):
        for event_name, event in function["Properties"].get("Events", {}).items():
            if event["Type"] == "Api":
                declared = event["Properties"]
                api = apis[declared["RestApiId"]["Ref"]]["Properties"]
                yield Route(event_name, declared["Method"], declared["Path"], api)


def document() -> dict[str, Any]:
    """Return the document."""
    main, *_ = application()
    paths: dict[str, Any] = {}
    for name in application():
        for route in routes(name):
            path = paths.setdefault(route.path, {} if name == main else {"servers": [_server(name)]})
            path[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cube-sms",
            "version": template(main)["Resources"]["Api"]["Properties"]["StageName"],
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


def _server(name: str) -> dict[str, Any]:
    # Of the output with the address of the API. That of callbacks has the path of its one route, without the token.
    outputs = template(name)["Outputs"]
    url = (outputs.get("ApiUrl") or outputs["CallbackUrl"])["Value"]["Fn::Sub"].removesuffix("/callbacks/")
    variables = {
        "apiId": {"default": "a1b2c3d4e5", "description": "The id of the API."},
        "region": {"default": "eu-central-1", "description": "The region of the deployment."},
        "suffix": {"default": "amazonaws.com", "description": "The domain of the AWS partition."},
    }
    for placeholder, variable in zip(re.findall(r"\$\{[\w:]+\}", url), variables, strict=True):
        url = url.replace(placeholder, f"{{{variable}}}")
    return {"url": url, "variables": variables}


def _operation(route: Route) -> dict[str, Any]:
    operation = OPERATIONS[f"{route.method} {route.path}"]
    is_signed = route.api.get("Auth", {}).get("DefaultAuthorizer") == "AWS_IAM"
    (limits,) = route.api["MethodSettings"]
    rate = f"{limits['ThrottlingRateLimit']} calls a second, or {limits['ThrottlingBurstLimit']} at once"
    responses = {
        **operation.answers,
        **problems((*operation.refused, *(Refused(*each) for each in problems_of_gateway(route.api)))),
    }
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
