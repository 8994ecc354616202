"""The IAM actions of each function, and of each group of the operator's commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cube_sms_cli.policies import EVERY, GROUPS, policies

from .markdown import code, section, table
from .templates import application, named, options, parameters_of, resources, statement_remarks, template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SHARED = "AWS::IAM::ManagedPolicy"
_ROLE = "AWS::IAM::Role"


def permissions() -> str:
    """Return the statements of every role of the application, and of the operator's policies."""
    return "".join(
        [
            *(_shared(name) for name in application()),
            *(_roles(name, on) for name, on in application().items()),
            *_operators(),
        ]
    )


def _shared(name: str) -> str:
    return "".join(
        section(
            logical_id,
            each["Properties"]["Description"],
            _table(name, logical_id, (each["Properties"]["PolicyDocument"], ())),
        )
        for logical_id, each in resources(name, _SHARED)
    )


def _roles(name: str, on: set[str]) -> str:
    users = {
        named(each["Properties"]["Role"]): (logical_id, each["Properties"].get("Description", ""))
        for kind in ("AWS::Serverless::Function", "AWS::Serverless::StateMachine")
        for logical_id, each in resources(name, kind)
    }
    found = []
    for logical_id, each in resources(name, _ROLE):
        user, description = users.get(code(logical_id), (f"{logical_id} of {name}", ""))
        needed = on | parameters_of(template(name), each.get("Condition"))
        where = f"Role `{logical_id}` in `{name}`." + (f" It depends on {code(*sorted(needed))}." if needed else "")
        found.append(section(user, f"{description} {where}", _table(name, logical_id, *_documents(each["Properties"]))))
    return "".join(found)


def _documents(role: Mapping[str, Any]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    for policy, conditions in options(role["Policies"]):
        yield policy["PolicyDocument"], conditions


def _table(name: str, owner: str, *documents: tuple[Any, tuple[str, ...]]) -> str:
    """Return the statements of some policies, each with the conditions of the policy."""
    remarks = statement_remarks(name)
    rows = []
    for whole, outer in documents:
        for statement, inner in options(whole["Statement"]):
            sid = statement["Sid"]
            remark = remarks.get((owner, sid)) or remarks.get(("", sid), "")
            needed = {each for condition in (*outer, *inner) for each in parameters_of(template(name), condition)}
            rows.append([code(sid), *_what(statement), code(*sorted(needed)), remark])
    return table(["statement", "actions", "resources", "depends on", "why"], rows)


def _what(statement: Mapping[str, Any]) -> list[str]:
    """Return the actions and the resources of a statement, with its conditions."""
    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    effect = "deny " if statement["Effect"] == "Deny" else ""
    return [effect + code(*actions), named(statement["Resource"]) + _conditions(statement.get("Condition", {}))]


def _conditions(condition: Mapping[str, Mapping[str, Any]]) -> str:
    return "".join(
        f", if `{key}` is {'set' if operator == 'Null' else named(values)}"
        for operator, keys in condition.items()
        for key, values in keys.items()
        if not (operator == "Null" and len(condition) > 1)
    )


def _operators() -> Iterator[str]:
    written = policies()
    for group in (EVERY, *GROUPS):
        commands = ", ".join(f"`cube-sms {command}`" for command in GROUPS.get(group, ()))
        rows = [[code(each["Sid"]), *_what(each)] for each in written[group]]
        text = f"Needed by {commands}." if commands else "Needed by every command of a stack."
        yield section(f"Operators: {group}", text, table(["statement", "actions", "resources"], rows))
