"""The events that the gateway publishes and takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cube_sms.delivery import RECEIVED, State
from cube_sms.platform import SOURCE
from cube_sms.request.envelopes import DETAIL_TYPE
from scripts.schemas import OUTCOMES, outcome_event_schema, reply_event_schema, request_event_schema

from .docstrings import attribute_docs
from .markdown import code, prose, section, table
from .templates import application, options, resources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def events() -> str:
    """Return the events, who publishes them, and their members."""
    meanings = attribute_docs(State)
    publishers = _publishers()
    outcomes = [
        [code(name), code(SOURCE), publishers["PublishOutcomes"], meanings[state]] for name, state in OUTCOMES.items()
    ]
    reply = [code(RECEIVED), code(SOURCE), publishers["PublishReplies"], _first(reply_event_schema())]
    request = [code(DETAIL_TYPE), "any", "you", _first(request_event_schema())]
    return (
        section("All events", table(["detail-type", "source", "published by", "when"], [*outcomes, reply, request]))
        + section("Envelope", _members(outcome_event_schema()))
        + section("Detail of an outcome event", _members(outcome_event_schema()["$defs"]["Detail"]))
        + section("Detail of a reply event", _members(reply_event_schema()["$defs"]["Detail"]))
        + section("Detail of a request event", "It is a [send request](send-request.md).")
    )


def _first(schema: Mapping[str, Any]) -> str:
    return f"{schema['description'].split('. ')[0]}."


def _publishers() -> dict[str, str]:
    """Return the functions that may put events on the bus, by the Sid of the statement."""
    found: dict[str, list[str]] = {}
    for name in application():
        roles = dict(resources(name, "AWS::IAM::Role"))
        for function, each in resources(name, "AWS::Serverless::Function"):
            role = each["Properties"]["Role"]["Fn::GetAtt"]
            for sid in _puts(roles[role[0] if isinstance(role, list) else role.partition(".")[0]]):
                found.setdefault(sid, []).append(function)
    return {sid: code(*functions) for sid, functions in found.items()}


def _puts(role: Mapping[str, Any]) -> Iterator[str]:
    for policy, _ in options(role["Properties"]["Policies"]):
        for statement, _ in options(policy["PolicyDocument"]["Statement"]):
            if "events:PutEvents" in statement["Action"]:
                yield statement["Sid"]


def _members(schema: Mapping[str, Any]) -> str:
    return table(
        ["member", "type", ""],
        [[code(name), _type(each), prose(each.get("description", ""))] for name, each in schema["properties"].items()],
    )


def _type(schema: Mapping[str, Any]) -> str:
    """Return the type of a member.

    Examples
    --------
    >>> _type({"anyOf": [{"type": "string"}, {"type": "null"}]})
    'string or null'
    >>> _type({"type": "string", "format": "date-time"})
    'string (date-time)'
    """
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return "one of " + code(*schema["enum"])
    if "const" in schema:
        return code(schema["const"])
    if "$ref" in schema:
        return "object"
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    form = schema.get("format")
    return " or ".join(kinds) + (f" ({form})" if form else "")
