"""The parameters and bodies in docs/openapi.json: made of the types and constants that the code validates with."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from cube_sms.api.history import DEFAULT_LIMIT
from cube_sms.delivery import MOST_PER_PAGE
from cube_sms.replies.accounts import TOKEN_FORM
from cube_sms.replies.forms import FORMS
from cube_sms.replies.receiver import MAX_BODY
from cube_sms.replies.verification import ALGORITHM, TIMESTAMP
from cube_sms.request import DEFAULT_ACCOUNT, DeviceId
from cube_sms.request.models import Account, RequestId
from scripts.reference.markdown import PROJECT

from .answers import JSON, ref, sentence

EVENTS = PROJECT / "events"


def parameter(name: str, place: str, schema: dict[str, Any], description: str = "") -> dict[str, Any]:
    """Return a parameter, described by its schema if nothing else is given."""
    own = schema.pop("description", "")
    description = description or sentence(own)
    return {"name": name, "in": place, "required": place == "path", "description": description, "schema": schema}


def _id_in_a_header() -> dict[str, Any]:
    characters, end, rest = msgspec.json.schema(RequestId)["pattern"].removeprefix("^").partition("$")
    return {"type": "string", "pattern": f'^({characters}|"{characters}"){end}{rest}'}


PARAMETERS = {
    "requestId": parameter("requestId", "path", msgspec.json.schema(RequestId)),
    "account": parameter("account", "query", {**msgspec.json.schema(Account), "default": DEFAULT_ACCOUNT}),
    "idempotencyKey": parameter(
        "Idempotency-Key",
        "header",
        _id_in_a_header(),
        "The `requestId` of the body, plain or in quotes. If both are given, they are the same.",
    ),
    "prefer": parameter(
        "Prefer",
        "header",
        {"type": "string", "examples": ["respond-async"]},
        "With `respond-async` the message is put onto the queue. Other preferences (RFC 7240) are ignored.",
    ),
    "deviceId": parameter("deviceId", "path", msgspec.json.schema(DeviceId)),
    "limit": parameter(
        "limit",
        "query",
        {"type": "integer", "minimum": 1, "maximum": MOST_PER_PAGE, "default": int(DEFAULT_LIMIT)},
        "Entries of the page at most.",
    ),
    "next": parameter("next", "query", {"type": "string"}, "`next` of the page before."),
    "token": parameter(
        "token", "path", {"type": "string", "pattern": f"^{TOKEN_FORM.pattern}$"}, "The account's `callback_token`."
    ),
    "version": parameter("x-lf-notification-version", "header", {"type": "string"}, "Version of the notification."),
    "algorithm": parameter("x-lf-algo", "header", {"const": ALGORITHM}, "Algorithm of the signature."),
    "timestamp": parameter(
        "x-lf-timestamp",
        "header",
        {"type": "string", "pattern": f"^{TIMESTAMP.pattern}$"},
        "Milliseconds since the epoch.",
    ),
    "signature": parameter(
        "x-lf-signature",
        "header",
        {"type": "string", "pattern": "^[^/]*/"},
        "`{keyId}/{Base64}`. An account with a key needs it. Without it, the other headers are ignored.",
    ),
}


def body(schema: dict[str, Any], *, sample: str) -> dict[str, Any]:
    """Return a required body, with a sample event as its example."""
    example = json.loads(json.loads((EVENTS / f"{sample}.json").read_text("utf-8"))["body"])
    return {"required": True, "content": {JSON: {"schema": schema, "examples": {sample: {"value": example}}}}}


def callback_schema() -> dict[str, Any]:
    """Return the schema of a callback."""
    other = {"description": "Another form. The queue of unknown callbacks keeps it."}
    return {
        "description": f"JSON of at most {MAX_BODY} bytes.",
        "anyOf": [*(ref(form.__name__) for form in FORMS), other],
    }
