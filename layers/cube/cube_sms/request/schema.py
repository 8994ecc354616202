"""The JSON Schema of a send request, made from the model."""

from __future__ import annotations

from typing import Any

import msgspec

from .content import CONTENT_FIELD, ITEM_FIELDS, MAX_FIELD_LENGTH
from .models import SendRequest


def send_request_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a send request, made from the model.

    Returns
    -------
    dict[str, Any]
        The schema. The length of a text is left to the deployment's ``MaxContentLength``.

    Examples
    --------
    >>> send_request_schema()["required"]
    ['deviceId']
    """
    schema = msgspec.json.schema(SendRequest)["$defs"]["SendRequest"]
    # What the model's types cannot say and `content` checks.
    schema["properties"]["smsContentList"]["items"] = {
        "type": "object",
        "properties": {
            CONTENT_FIELD: {"type": "string", "minLength": 1},
            **{
                name: {"type": ["string", "null"], "maxLength": MAX_FIELD_LENGTH}
                for name in ITEM_FIELDS
                if name != CONTENT_FIELD
            },
        },
        "required": [CONTENT_FIELD],
        "additionalProperties": False,
    }
    for name, field in schema["properties"].items():
        if name in schema["required"]:
            continue
        # Null counts as absent.
        if "enum" in field:
            field["enum"].append(None)
        else:
            field["type"] = [field["type"], "null"]
    schema["oneOf"] = [
        {"required": ["content"], "properties": {"content": {"type": "string"}}},
        {"required": ["smsContentList"], "properties": {"smsContentList": {"type": "array", "items": {}}}},
    ]
    schema["anyOf"] = [
        {"required": ["taskToken"], "properties": {"taskToken": {"type": "string"}}},
        {"not": {"required": ["awaitReply"], "properties": {"awaitReply": {"type": "integer"}}}},
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Send request",
        "description": "A request to cube-sms to send one SMS to one device.",
    }
