"""Whether what the API answers is as docs/openapi.json describes it."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENT = Path(__file__).parents[1] / "docs" / "openapi.json"


@cache
def document() -> dict[str, Any]:
    """Return the document, but with objects in answers that have no members beside those it describes."""
    made: dict[str, Any] = json.loads(DOCUMENT.read_text("utf-8"))
    for schema in made["components"]["schemas"].values():
        schema.setdefault("additionalProperties", False)
    return made


def faults(method: str, route: str, answer: Mapping[str, Any]) -> list[str]:
    """Return in what a function's answer to API Gateway differs from the document; nothing for a route that it has not.

    Parameters
    ----------
    method, route : str
        What was called, such as ``GET`` and ``/messages/{requestId}``.
    answer : Mapping[str, Any]
        The answer.
    """
    operation = document()["paths"].get(route, {}).get(method.lower())
    if not operation:
        return []
    status = str(answer["statusCode"])
    if status not in operation["responses"]:
        return [f"{method} {route} answers {status}"]
    response = operation["responses"][status]
    declared = response.get("headers", {})
    headers = {name: lines[0] for name, lines in answer["multiValueHeaders"].items()}
    media_type = headers.pop("Content-Type")
    if media_type not in response["content"]:
        return [f"{status}: {media_type}"]
    missing = [name for name, header in declared.items() if header["required"] and name not in headers]
    unknown = [name for name in headers if name not in declared]
    errors = validator(method, route, status, media_type).iter_errors(json.loads(answer["body"]))
    return [
        *(f"{status}: no {name}" for name in missing),
        *(f"{status}: {name}" for name in unknown),
        *(f"{status}: {error.json_path}: {error.message}" for error in errors),
    ]


@cache
def validator(method: str, route: str, status: str, media_type: str) -> Draft202012Validator:
    """Return the validator of a body."""
    response = document()["paths"][route][method.lower()]["responses"][status]
    schema = copy.deepcopy(response["content"][media_type]["schema"])
    return Draft202012Validator(
        {**schema, "components": document()["components"]}, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
