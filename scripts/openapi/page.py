"""docs/reference/api.md: docs/openapi.json as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scripts.reference.markdown import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEAD = """\
# API

<!-- Written by `make schemas`, from docs/openapi.json. -->

These tables show the OpenAPI 3.1 document [openapi.json](../openapi.json), which is made from the code. If a call
fails, the answer is a [problem](#problem). An `object` is an answer of API Gateway in its own form.

Tests compare each answer of the functions with the document, and schemathesis makes calls from it. They leave out the
answers of API Gateway itself: 403, 413 in its own form, 429, and 503 with the title “No answer”.
"""

TAIL = """\
## Beyond the document

A call can keep to the document, and still be refused for a rule that a schema cannot express:

| rule | status |
| --- | --- |
| A text has at most `MaxContentLength` characters. Of control characters, it has only line breaks and tabs. | 400 |
| The content of a Binary message is an even number of hexadecimal digits. | 400 |
| `Idempotency-Key` and `requestId` are the same, if both are given. | 400 |
| `expiresAt` is in the future. | 400 |
| With `respond-async`, the request fits onto the send queue. | 400 |
| `awaitReply` is for a deployment with `Replies`. | 400 |
| `next` is from the page before. | 400 |
| The account has credentials in the secret. | 400 |
"""


def page(document: Mapping[str, Any]) -> str:
    """Return the page."""
    calls = [
        _call(f"{method.upper()} {path}", operation, document)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "servers"
    ]
    objects = [_object(name, schema) for name, schema in document["components"]["schemas"].items()]
    return "\n".join([HEAD, *calls, "## Objects\n", *objects, TAIL])


def _call(name: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    signed = "Its callers sign with AWS Signature Version 4." if operation["security"] else "Its callers know a token."
    return "\n".join(
        [
            f"## {name}\n",
            f"{operation['summary']} {signed} {operation['description']}\n",
            f"{table(['input', 'in', 'type', ''], _inputs(operation, document))}\n",
            f"{table(['status', 'body', 'headers', ''], _answers(operation['responses']))}\n",
        ]
    )


def _inputs(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[list[str]]:
    for each in operation["parameters"]:
        parameter = document["components"]["parameters"][each["$ref"].rpartition("/")[2]]
        schema = parameter["schema"]
        default = f" Default: `{schema['default']}`." if "default" in schema else ""
        yield [f"`{parameter['name']}`", parameter["in"], _type(schema), parameter["description"] + default]
    for media in operation.get("requestBody", {}).get("content", {}).values():
        yield ["body", "", _type(media["schema"]), media["schema"].get("description", "")]


def _answers(responses: Mapping[str, Any]) -> Iterator[list[str]]:
    for status, response in responses.items():
        bodies = [_type(media["schema"]) for media in response["content"].values()]
        headers = [
            f"`{name}`" + ("" if header["required"] else " for some")
            for name, header in response.get("headers", {}).items()
        ]
        first, _, problems = response["description"].partition("\n\n")
        text = problems.replace("- ", "", 1).replace("\n- ", "<br>") or first
        yield [status, " or ".join(bodies), ", ".join(headers), text]


def _object(name: str, schema: Mapping[str, Any]) -> str:
    if name == "SendRequest":
        return f"### {name}\n\n[send-request.md](send-request.md) has its fields.\n"
    rows = [
        [
            f"`{member}`" + ("" if member in schema["required"] else " (optional)"),
            _type(about),
            about.get("description", ""),
        ]
        for member, about in schema["properties"].items()
    ]
    about = [f"{schema['description']}\n"] if "description" in schema else []
    return "\n".join([f"### {name}\n", *about, f"{table(['member', 'type', ''], rows)}\n"])


def _type(schema: Mapping[str, Any]) -> str:
    """Return a schema in a few words.

    Examples
    --------
    >>> _type({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]})
    'date-time or null'
    """
    match schema:
        case {"$ref": str(target)}:
            name = target.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"allOf": [first, *_]}:
            return _type(first)
        case {"const": value}:
            return f"`{value}`"
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values if value != "")
        case {"anyOf": options} | {"oneOf": options}:
            return " or ".join(filter(None, map(_type, options)))
        case {"type": "array", "items": items}:
            return f"array of {_type(items)}"
        case {"minimum": least, "maximum": most}:
            return f"{least} to {most}"
        case {"type": str(name), **rest}:
            return str(rest.get("format", name))
        case {"type": names}:
            return " or ".join(names)
    return ""
