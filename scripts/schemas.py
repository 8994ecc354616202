"""Write the schemas of requests and events: docs/*.schema.json, and schemas/registry.yaml for EventBridge.

Usage: ``make schemas``. The JSON Schemas are for validating. The registry's are OpenAPI, as AWS's own are: code is made
of them.
"""

from __future__ import annotations

import json
import textwrap
from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from cube_sms.delivery import RECEIVED as REPLY
from cube_sms.delivery import State
from cube_sms.platform import SOURCE
from cube_sms.request.envelopes import DETAIL_TYPE
from cube_sms.request.schema import send_request_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT = Path(__file__).parents[1]
DIALECT = "https://json-schema.org/draft/2020-12/schema"

OUTCOMES = {f"SMS {state.title()}": state for state in State if state.is_final}


class Outcome(msgspec.Struct, rename="camel"):
    """The detail of an outcome event. It may get further members."""

    event_id: Annotated[
        str,
        Meta(
            description="Identifies the event. A repeat of the event has the same id, and a second outcome another one."
        ),
    ]
    message_id: Annotated[str, Meta(description="The message, across accounts: `<account>#<requestId>`.")]
    request_id: Annotated[str, Meta(description="The id of the request, from its sender or from the gateway.")]
    account: Annotated[str, Meta(description="The account of the message.")]
    device_id: Annotated[
        str | None,
        Meta(
            description="The device, usually the ICCID of its SIM. Null if the message was cancelled before its request"
            " arrived."
        ),
    ]
    state: Annotated[str, Meta(description="The final state of the message.")]
    attempts: Annotated[int, Meta(ge=0, description="The number of POSTs to the provider.")]
    possibly_duplicated: Annotated[
        bool, Meta(description="Whether the message was sent again after a POST with an unknown outcome.")
    ]
    code: Annotated[str | None, Meta(description="The code in the last answer of the provider.")]
    message: Annotated[
        str | None,
        Meta(description="The words in the last answer of the provider, if `KeepProviderMessages` keeps them."),
    ]
    reason: Annotated[str | None, Meta(description="The reason, if it is not from the provider.")]
    job_id: Annotated[
        str | None,
        Meta(description="The id that the provider gave to the query, if the dialect of the account has one."),
    ]
    created_at: Annotated[datetime, Meta(tz=True, description="The time at which the request was accepted.")]
    updated_at: Annotated[datetime, Meta(tz=True, description="The time of the outcome.")]


class Reply(msgspec.Struct, rename="camel"):
    """The detail of an event about a message from a device. It may get further members."""

    event_id: Annotated[str, Meta(description="Identifies the reply. A repeat of the event has the same id.")]
    account: Annotated[str, Meta(description="The account of the device.")]
    device_id: Annotated[str, Meta(description="The device, usually the ICCID of its SIM.")]
    message_type: Annotated[Literal["Text", "Binary"], Meta(description="The type of the content.")]
    content: Annotated[str, Meta(description="The content: a text, or the provider's form of a binary message.")]
    received_at: Annotated[datetime, Meta(tz=True, description="The time at which the provider received the reply.")]
    in_reply_to: Annotated[
        str | None,
        Meta(description="The id of the request that the reply answers, if one waited for it (`awaitReply`)."),
    ]


def outcome_schema(states: list[State]) -> dict[str, Any]:
    """Return the JSON Schema of the detail of an outcome event in one of these states."""
    schema: dict[str, Any] = msgspec.json.schema(Outcome)["$defs"]["Outcome"]
    schema["properties"]["state"]["enum"] = sorted(states)
    if State.CANCELLED not in states:
        device_id = schema["properties"]["deviceId"]
        schema["properties"]["deviceId"] = {"type": "string", "description": device_id["description"].split(". ")[0]}
    return schema


def outcome_event_schema() -> dict[str, Any]:
    """Return the JSON Schema of an outcome event, as EventBridge delivers it."""
    detail_types = [
        {"properties": {"detail-type": {"const": name}, "detail": {"properties": {"state": {"const": state}}}}}
        for name, state in OUTCOMES.items()
    ]
    return {
        "$schema": DIALECT,
        "title": "Outcome event",
        "description": "The outcome of a message, as EventBridge delivers it. Later versions may add members.",
        **envelope({"enum": list(OUTCOMES)}, {"const": SOURCE}),
        "oneOf": detail_types,
        "$defs": {"Detail": outcome_schema(list(OUTCOMES.values()))},
    }


def reply_event_schema() -> dict[str, Any]:
    """Return the JSON Schema of an event about a message from a device, as EventBridge delivers it."""
    return {
        "$schema": DIALECT,
        "title": "Reply event",
        "description": "A message from a device, as EventBridge delivers it. Later versions may add members.",
        **envelope({"const": REPLY}, {"const": SOURCE}),
        "$defs": {"Detail": msgspec.json.schema(Reply)["$defs"]["Reply"]},
    }


def request_event_schema() -> dict[str, Any]:
    """Return the JSON Schema of a request event, as EventBridge delivers it."""
    request = send_request_schema()
    del request["$schema"]
    return {
        "$schema": DIALECT,
        "title": "Request event",
        "description": "A send request as EventBridge delivers it, from any source. If it has no `requestId`, the id of"
        " the event is its id.",
        **envelope({"const": DETAIL_TYPE}, {"type": "string"}),
        "$defs": {"Detail": request},
    }


def envelope(detail_type: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an event whose detail is defined elsewhere."""
    properties = {
        "version": {"type": "string"},
        "id": {"type": "string"},
        "detail-type": detail_type,
        "source": source,
        "account": {"type": "string", "description": "The AWS account."},
        "time": {"type": "string", "format": "date-time"},
        "region": {"type": "string"},
        "resources": {"type": "array", "items": {"type": "string"}},
        "detail": {"$ref": "#/$defs/Detail"},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def open_api(detail_type: str) -> dict[str, Any]:
    """Return what the registry has of a detail type: an OpenAPI document with no paths.

    The names in it are EventBridge's: it makes code of a schema that is called ``AWSEvent``.
    """
    name = schema_name(detail_type)
    if detail_type in OUTCOMES:
        detail = outcome_schema([OUTCOMES[detail_type]])
    else:
        detail = {REPLY: reply_event_schema, DETAIL_TYPE: request_event_schema}[detail_type]()["$defs"]["Detail"]
    event = envelope({"type": "string"}, {"type": "string"})
    event["properties"]["detail"] = {"$ref": f"#/components/schemas/{name}"}
    event["x-amazon-events-detail-type"] = detail_type
    if detail_type != DETAIL_TYPE:
        event["x-amazon-events-source"] = SOURCE
    return {
        "openapi": "3.0.0",
        "info": {"version": "1.0.0", "title": name},
        "paths": {},
        "components": {"schemas": {"AWSEvent": event, name: _as_open_api(detail)}},
    }


def _as_open_api(schema: Any) -> Any:
    # OpenAPI 3.0 has no type for null, and what makes code of it wants a type beside each enumeration.
    if isinstance(schema, list):
        return [_as_open_api(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: _as_open_api(value) for key, value in schema.items()}
    if {"type": "null"} in (options := schema.get("anyOf", [])):
        (other,) = [option for option in options if option != {"type": "null"}]
        del schema["anyOf"]
        schema |= {**other, "nullable": True}
    elif isinstance(types := schema.get("type"), list):
        (schema["type"],) = set(types) - {"null"}
        schema["nullable"] = True
    elif "enum" in schema:
        schema.setdefault("type", "string")
        # Nor a null among the values. Code that is made of it leaves such a field out instead.
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    return schema


def schema_name(detail_type: str) -> str:
    """Return what a detail type is called where names have no spaces.

    Examples
    --------
    >>> schema_name("SMS Sent")
    'SMSSent'
    """
    return detail_type.replace(" ", "")


def registry_template() -> str:
    """Return the template with the registry and a schema for each detail type."""
    return _REGISTRY + "".join(
        _SCHEMA.format(
            name=schema_name(detail_type),
            # As EventBridge names those that it discovers. Who asks has a source of their own.
            full_name=("" if detail_type == DETAIL_TYPE else f"{SOURCE}@") + schema_name(detail_type),
            detail_type=detail_type,
            content=textwrap.indent(json.dumps(open_api(detail_type), indent=1, ensure_ascii=False), " " * 8),
        )
        for detail_type in (DETAIL_TYPE, *OUTCOMES, REPLY)
    )


_REGISTRY = """\
# Written by `make schemas`.
AWSTemplateFormatVersion: "2010-09-09"
Description: >-
  The schemas of the events of cube-sms, for a stack of its own beside the application's. Nothing depends on it.

Resources:
  Registry:
    Type: AWS::EventSchemas::Registry
    Properties:
      RegistryName: !Ref AWS::StackName
      Description: Events that cube-sms takes and publishes.
"""

_SCHEMA = """
  {name}:
    Type: AWS::EventSchemas::Schema
    Properties:
      RegistryName: !GetAtt Registry.RegistryName
      SchemaName: {full_name}
      Description: Events of the detail type "{detail_type}".
      Type: OpenApi3
      Content: |
{content}
"""


def files() -> dict[Path, str]:
    """Return every file that is made of the schemas, and what it holds."""
    schemas = {
        "send-request": send_request_schema(),
        "request-event": request_event_schema(),
        "outcome-event": outcome_event_schema(),
        "reply-event": reply_event_schema(),
    }
    return {
        **{
            PROJECT / "docs" / f"{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
            for name, schema in schemas.items()
        },
        PROJECT / "schemas" / "registry.yaml": registry_template(),
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, "utf-8")
