"""API Gateway in front of a function, as a WSGI application: an event of each request, a response of each answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from werkzeug.wrappers import Request, Response

from tests.openapi import document
from tests.support import load_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

STAGE = "/v1"


def api_gateway(invoke: Callable[[dict[str, Any]], dict[str, Any]], sample: str) -> WSGIApplication:
    """Return the application.

    Parameters
    ----------
    invoke : Callable
        Invokes the function with an event, and returns its answer.
    sample : str
        A sample event, for what is the same in every event.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = Response('{"message": "Missing Authentication Token"}', 403, content_type="application/json")
        if event := event_of(Request(environ), sample):
            answer = invoke(event)
            headers = [(name, line) for name, lines in answer["multiValueHeaders"].items() for line in lines]
            response = Response(answer["body"], answer["statusCode"], headers)
        return response(environ, start_response)

    return application


def event_of(request: Request, sample: str) -> dict[str, Any] | None:
    """Return the event of a request, or None if the document has no such route.

    Its path is as it came, and stays percent-encoded.
    """
    path = request.environ["RAW_URI"].partition("?")[0].removeprefix(STAGE)
    found = [
        (route, names) for route, item in document()["paths"].items() if (names := _match(route, path)) is not None
    ]
    if not found or request.method.lower() not in document()["paths"][found[0][0]]:
        return None
    ((route, names),) = found
    query = parse_qs(request.query_string.decode(), keep_blank_values=True)
    headers = {
        name: [line.strip(" \t") for line in request.headers.getlist(name)] for name in set(request.headers.keys())
    }
    return load_event(sample) | {
        "resource": route,
        "path": path,
        "httpMethod": request.method,
        "headers": {name: lines[-1] for name, lines in headers.items()},
        "multiValueHeaders": headers,
        "pathParameters": {name: unquote(value) for name, value in names.items()} or None,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "body": request.get_data().decode("utf-8", "replace") or None,
    }


def _match(route: str, path: str) -> dict[str, str] | None:
    found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route), path)
    return found.groupdict() if found else None
