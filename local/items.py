"""An item of DynamoDB in memory: which conditions it meets, and what an update makes of it."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

type Item = dict[str, dict[str, Any]]

_CONDITION = re.compile(r"(attribute_not_exists\()?(#\w+)\)?(?: (=|<>|<) (:\w+))?")
_ASSIGNMENT = re.compile(r"\s*([#\w]+)\s*=\s*((?:[^,(]|\([^)]*\))+)")
_TERM = re.compile(r"if_not_exists\(([#\w]+), ?(:\w+)\)|([:#\w]+)|([+-])")


def meets(item: Item, call: Mapping[str, Any]) -> bool:
    """Return whether an item meets the condition of an update, of those that `cube_sms.updates` makes."""
    return all(_holds(item, part, call) for part in call["ConditionExpression"].split(" AND "))


def apply(item: Item, call: Mapping[str, Any]) -> None:
    """Change an item as an update says, whatever its condition."""
    names, values = call.get("ExpressionAttributeNames", {}), call.get("ExpressionAttributeValues", {})
    assignments, removed = _parse(call["UpdateExpression"])
    item |= {names.get(name, name): _value(terms, item, names, values) for name, terms in assignments}
    for name in removed:
        item.pop(names.get(name, name), None)


@cache
def _parse(update: str) -> tuple[list[tuple[str, list[tuple[str, ...]]]], list[str]]:
    clauses = re.split(r"\s*\b(SET|REMOVE)\s+", update)
    found = dict(zip(clauses[1::2], clauses[2::2], strict=True))
    assignments = [(name, _TERM.findall(value)) for name, value in _ASSIGNMENT.findall(found.get("SET", ""))]
    return assignments, [name.strip() for name in found.get("REMOVE", "").split(",") if name.strip()]


def _value(terms: list[tuple[str, ...]], item: Item, names: Mapping[str, str], values: Item) -> dict[str, Any]:
    total: dict[str, Any] | None = None
    sign = 1
    for attribute, default, operand, operator in terms:
        if operator:
            sign = -1 if operator == "-" else 1
            continue
        if attribute:
            value = item.get(names.get(attribute, attribute), values[default])
        else:
            value = values[operand] if operand.startswith(":") else item[names.get(operand, operand)]
        if total is None:
            total = dict(value)
        elif "N" in total:
            total = {"N": f"{float(total['N']) + sign * float(value['N']):g}"}
        else:
            raise ValueError(f"ValidationException: {total} is no number")
    return total or {}


def _holds(item: Item, condition: str, call: Mapping[str, Any]) -> bool:
    names, values = call["ExpressionAttributeNames"], call.get("ExpressionAttributeValues", {})
    for part in condition.removeprefix("(").removesuffix(")" * condition.startswith("(")).split(" OR "):
        match = _CONDITION.fullmatch(part)
        if match is None:
            raise ValueError(f"not understood: {part}")
        is_absence, name, operator, value = match.groups()
        found = item.get(names[name])
        if found is None:
            holds = bool(is_absence) or operator == "<>"
        elif is_absence:
            holds = False
        elif operator in ("=", "<>"):
            holds = (found == values[value]) is (operator == "=")
        else:
            # Of two types none is less.
            holds = "N" in found and float(found["N"]) < float(values[value]["N"])
        if holds:
            return True
    return False
