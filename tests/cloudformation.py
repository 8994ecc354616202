"""Templates as they are written, and what CloudFormation makes of a transformed one once it knows the parameters.

Conditions are decided, what they leave out is gone, and of the functions those remain that are about resources.
"""

from __future__ import annotations

import pickle
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from samtranslator.yaml_helper import intrinsics_multi_constructor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PSEUDO_PARAMETERS = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/cube-sms/1a2b",
    "AWS::StackName": "cube-sms",
    "AWS::URLSuffix": "amazonaws.com",
}

_NO_VALUE = object()
_REFERENCE = re.compile(r"\$\{([^!}][^}]*)\}")


class _Loader(yaml.CSafeLoader):
    """SAM's, with the parser that is written in C: every worker reads the template for a dozen of modules."""


_Loader.add_multi_constructor("!", intrinsics_multi_constructor)


def written(path: str) -> dict[str, Any]:
    """Return a template of this project as it is written; each caller has one of its own."""
    template: dict[str, Any] = pickle.loads(_pickled(path))
    return template


@cache
def _pickled(path: str) -> bytes:
    return pickle.dumps(yaml.load((Path(__file__).parents[1] / path).read_text("utf-8"), _Loader))


def resolve(template: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return what is left of a template.

    Parameters
    ----------
    template : Mapping[str, Any]
        The template, without transforms.
    parameters : Mapping[str, str]
        Those that have other values than their defaults. Others without a default stay parameters: in a template that
        is nested they name resources of the one around it.

    Returns
    -------
    dict
        The template's resources and outputs, and the parameters that are left.
    """
    values: dict[str, Any] = dict(PSEUDO_PARAMETERS)
    left = {}
    for name, declared in template.get("Parameters", {}).items():
        if name not in parameters and "Default" not in declared:
            left[name] = declared
            continue
        text = str(parameters[name] if name in parameters else declared["Default"])
        values[name] = text.split(",") if declared["Type"] == "CommaDelimitedList" else text
    resolver = _Resolver(template, values)
    resolved = {section: resolver.section(section) for section in ("Resources", "Outputs")}
    return {**({"Parameters": left} if left else {}), **resolved}


def application(read: Callable[[str], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return template.yaml and each template that it nests, by name, as a function reads them."""
    names = ["template.yaml"]
    found = {}
    for name in names:
        found[name] = read(name)
        names += [stack["TemplateURL"] for stack in stacks(found[name]).values()]
    return found


def stacks(resolved: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the properties of the stacks that a template nests, by logical id."""
    return {
        name: resource["Properties"]
        for name, resource in resolved["Resources"].items()
        if resource["Type"] == "AWS::CloudFormation::Stack"
    }


def known(stack: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a nested stack that are the same whatever resources there are."""
    return {name: value for name, value in stack["Parameters"].items() if isinstance(value, str)}


def attributes(node: Any) -> set[tuple[str, str]]:
    """Return every resource of which a part of a resolved template asks an attribute, with that."""
    if isinstance(node, list):
        return {found for item in node for found in attributes(item)}
    if not isinstance(node, dict):
        return set()
    if "Fn::GetAtt" in node:
        name, attribute = node["Fn::GetAtt"]
        return {(name, attribute)}
    return attributes(list(node.values()))


def dangling(resolved: Mapping[str, Any]) -> list[str]:
    """Return every reference of a template to a resource that it has not, with where it stands."""
    there = resolved["Resources"].keys() | resolved.get("Parameters", {}).keys()
    found = [
        f"{section}.{owner}: {name}"
        for section in ("Resources", "Outputs")
        for owner, body in resolved[section].items()
        for name in references(body)
        if name not in there
    ]
    return sorted(set(found))


def references(node: Any) -> Iterator[str]:
    """Yield the logical id of every resource that a part of a resolved template refers to."""
    if isinstance(node, list):
        for item in node:
            yield from references(item)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == "Ref":
            yield value
        elif key == "Fn::GetAtt":
            yield (value if isinstance(value, str) else value[0]).partition(".")[0]
        elif key == "Fn::Sub":
            yield from (name.partition(".")[0] for name in _REFERENCE.findall(value))
        elif key == "DependsOn":
            yield from [value] if isinstance(value, str) else value
        else:
            yield from references(value)


class _Resolver:
    def __init__(self, template: Mapping[str, Any], values: dict[str, Any]) -> None:
        self._template = template
        self._values = values

    def section(self, name: str) -> dict[str, Any]:
        resolved = {}
        for logical_id, body in self._template.get(name, {}).items():
            if "Condition" not in body or self._is_met(body["Condition"]):
                rest = {key: item for key, item in body.items() if key != "Condition"}
                resolved[logical_id] = self.value(rest)
        return resolved

    def _is_met(self, condition: str) -> bool:
        met = self.value(self._template["Conditions"][condition])
        assert isinstance(met, bool), condition
        return met

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [item for item in map(self.value, node) if item is not _NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, operands),) = node.items()
            if function == "Fn::If":
                condition, yes, no = operands
                return self.value(yes if self._is_met(condition) else no)
            if function == "Ref":
                return _NO_VALUE if operands == "AWS::NoValue" else self._values.get(operands, node)
            if function == "Condition" and isinstance(operands, str):
                return self._is_met(operands)
            if function.startswith("Fn::") and function != "Fn::GetAtt":
                return self._call(function, operands)
        items = {key: self.value(item) for key, item in node.items()}
        return {key: item for key, item in items.items() if item is not _NO_VALUE}

    def _call(self, function: str, operands: Any) -> Any:
        if function == "Fn::Sub":
            return self._substituted(operands)
        known = self.value(operands)
        match function, known:
            case "Fn::Equals", [one, other]:
                return str(one) == str(other)
            case "Fn::Not", [one]:
                return not one
            case "Fn::And", _:
                return all(known)
            case "Fn::Or", _:
                return any(known)
            case "Fn::FindInMap", [mapping, top, second]:
                return self._template["Mappings"][mapping][top][second]
            case "Fn::Split", [delimiter, str(text)]:
                return text.split(delimiter)
            case "Fn::Select", [index, list(items)]:
                return items[int(index)]
            case "Fn::Join", [delimiter, list(items)] if all(isinstance(item, str) for item in items):
                return delimiter.join(items)
        assert function in ("Fn::Join", "Fn::Select", "Fn::Split"), function
        return {function: known}

    def _substituted(self, operands: Any) -> Any:
        text, variables = (operands, {}) if isinstance(operands, str) else operands
        known = self._values | self.value(variables)
        remaining = []

        def replaced(match: re.Match[str]) -> str:
            name = match[1]
            if isinstance(known.get(name), str):
                return str(known[name])
            # A resource's, or a variable that is made of some.
            remaining.append(name)
            if name in known:
                return str(known[name].get("Fn::Sub", "".join(f"${{{inner}}}" for inner in references(known[name]))))
            return match[0]

        text = _REFERENCE.sub(replaced, text)
        return {"Fn::Sub": text} if remaining else text
