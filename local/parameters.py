"""What CloudFormation says against parameters of a template, before anything is deployed."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class RuleError(Exception):
    """A rule that CloudFormation would not take."""


def refusals(template: Mapping[str, Any], given: Mapping[str, str]) -> list[str]:
    """Return what CloudFormation would say, a sentence for each fault; none if it would take the parameters.

    Parameters
    ----------
    template : Mapping[str, Any]
        The template.
    given : Mapping[str, str]
        Values of some of its parameters. The others have their defaults.
    """
    declared = template["Parameters"]
    faults = [fault for name, text in given.items() for fault in _faults(declared, name, text)]
    return faults or broken_rules(template, given)


def broken_rules(template: Mapping[str, Any], given: Mapping[str, str]) -> list[str]:
    """Return what the template's rules say against the parameters."""
    declared = template["Parameters"]
    texts = {**{name: str(parameter.get("Default", "")) for name, parameter in declared.items()}, **given}
    values = {name: _members(text) if _is_list(declared[name]) else text for name, text in texts.items()}
    return [
        assertion["AssertDescription"]
        for rule in template.get("Rules", {}).values()
        if "RuleCondition" not in rule or _evaluate(rule["RuleCondition"], values)
        for assertion in rule["Assertions"]
        if not _evaluate(assertion["Assert"], values)
    ]


def _faults(declared: Mapping[str, Any], name: str, text: str) -> Iterator[str]:
    if name not in declared:
        similar = difflib.get_close_matches(name, declared, n=1, cutoff=0.5)
        yield f"The template has no parameter {name}." + (f" Did you mean {similar[0]}?" if similar else "")
        return
    parameter = declared[name]
    if text not in [str(value) for value in parameter.get("AllowedValues", [text])]:
        yield f"{name} must be one of {', '.join(map(str, parameter['AllowedValues']))}, not {text!r}."
        return
    pattern = parameter.get("AllowedPattern", r"(?s).*")
    if not all(re.fullmatch(pattern, member) for member in (_members(text) if _is_list(parameter) else [text])):
        yield f"{name} {parameter.get('ConstraintDescription', f'must match {pattern}')}, not {text!r}."


def _is_list(parameter: Mapping[str, Any]) -> bool:
    return bool(parameter["Type"] == "CommaDelimitedList")


def _members(text: str) -> list[str]:
    return [member.strip() for member in text.split(",")]


def _evaluate(node: Any, values: Mapping[str, str | list[str]]) -> Any:
    """Return what CloudFormation makes of a rule's expression, given the values of the parameters."""
    if isinstance(node, str):
        return node
    if isinstance(node, list):
        return [_evaluate(item, values) for item in node]
    if not isinstance(node, dict) or len(node) != 1:
        raise RuleError(f"neither a function nor a string: {node!r}")
    ((function, operands),) = node.items()
    if function == "Ref":
        return values[operands]
    if function in ("Fn::And", "Fn::Or"):
        return (all if function == "Fn::And" else any)(_evaluate(operand, values) is True for operand in operands)
    if function == "Fn::Not":
        return _evaluate(operands[0], values) is False
    first, second = _evaluate(operands, values)
    if function == "Fn::Equals":
        return first == second
    if function == "Fn::Contains":
        return second in first
    if function == "Fn::EachMemberEquals":
        return all(member == second for member in first)
    raise RuleError(f"not a function of rules that is used here: {function}")
