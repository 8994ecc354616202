"""The schemas that have a name in docs/openapi.json: made of the models of requests, records, replies and callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cube_sms.delivery import State
from cube_sms.platform.errors import MAX_FAULTS
from cube_sms.replies.forms import FORMS
from cube_sms.request.schema import send_request_schema
from scripts.schemas import Reply, outcome_schema

from .answers import ref

if TYPE_CHECKING:
    from collections.abc import Container


def schemas() -> dict[str, Any]:
    """Return each schema by its name."""
    request = send_request_schema()
    del request["$schema"]
    message = _message()
    identity = {name: message[name] for name in ("requestId", "account")}
    # Answers about a call leave out what a record has as null.
    words = {name: _text(message[name]["description"]) for name in ("code", "message")}
    counts = {name: message[name] for name in ("attempts", "possiblyDuplicated")}
    kinds = {
        "HistoryMessage": _object({"kind": {"const": "message"}, **message}, optional={"expectedAt"}),
        "HistoryReply": _object({"kind": {"const": "reply"}, **_reply()}),
        "HistoryUnreadable": _object(
            {
                "kind": {"const": "unreadable"},
                "key": _text("Key of an item that somebody has changed by hand."),
                "reason": _text("Its fault."),
            }
        ),
    }
    sent = sorted(state for state in State if state.is_sent)
    return {
        "SendRequest": request,
        "Sent": _object({**identity, "state": {**message["state"], "enum": sent}, **words, **counts}, optional=words),
        "Queued": _object(identity),
        "Message": _object(message, optional={"expectedAt"}),
        "History": _object(
            {
                "entries": {
                    "type": "array",
                    "description": "The newest first. A page may have fewer than `limit`, even if it is not the last.",
                    "items": {"oneOf": [ref(name) for name in kinds]},
                },
                "next": {"type": ["string", "null"], "description": "Of the next page. Null if this is the last one."},
            }
        ),
        **kinds,
        "Problem": _problem({**identity, "state": message["state"], **words, **counts}),
        "Fault": _object(
            {
                "path": _text("Name of the member, parameter or header. `$` for the whole body."),
                "message": _text("Its fault. The value is not quoted."),
            }
        ),
        "Received": _object({"status": {"const": "received", "description": "The provider need not call again."}}),
        **_callbacks(),
    }


def _message() -> dict[str, Any]:
    members: dict[str, Any] = outcome_schema(list(State))["properties"]
    # An event has two more.
    del members["eventId"], members["messageId"]
    members["updatedAt"]["description"] = "When the record was written last."
    expected = {
        "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}],
        "description": "Only while it is `QUEUED`: the earliest time for it. Null if that is unknown.",
    }
    return {**members, "expectedAt": expected}


def _reply() -> dict[str, Any]:
    members: dict[str, Any] = msgspec.json.schema(Reply)["$defs"]["Reply"]["properties"]
    content = members["content"]
    content["type"] = ["string", "null"]
    content["description"] += " Null unless `KeepReplies` keeps it."
    return members


def _problem(members: dict[str, Any]) -> dict[str, Any]:
    own = {
        "title": _text("Kind of the problem. It is the same for each problem of a kind."),
        "status": {"type": "integer", "description": "HTTP status."},
        "detail": _text("What has happened."),
    }
    faults = {
        "errors": {
            "type": "array",
            "items": ref("Fault"),
            "minItems": 1,
            "maxItems": MAX_FAULTS,
            "description": "The faults of the call.",
        },
        "moreErrors": {
            "type": "integer",
            "minimum": 1,
            "description": f"How many faults there are in addition to the first {MAX_FAULTS}.",
        },
    }
    problem = _object({**own, **faults, **members}, optional={*faults, *members})
    return {**problem, "description": "A problem (RFC 9457) of the type `about:blank`."}


def _callbacks() -> dict[str, Any]:
    _, components = msgspec.json.schema_components(FORMS, ref_template="#/components/schemas/{name}")
    for schema in components.values():
        for member in schema["properties"].values():
            # The digits of a number are taken too.
            if member.get("type") == "integer":
                member["type"] = ["integer", "string"]
            elif all(isinstance(value, int) for value in member.get("enum", [""])):
                member["enum"] += [str(value) for value in member["enum"]]
    return components


def _object(members: dict[str, Any], optional: Container[str] = ()) -> dict[str, Any]:
    required = [name for name in members if name not in optional]
    return {"type": "object", "properties": members, "required": required}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}
