"""The templates: what intrinsic functions name, on which parameters a condition depends, and the comments."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from samtranslator.yaml_helper import yaml_parse

from .docstrings import comment_above
from .markdown import PROJECT, code, prose

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NO_VALUE = {"Ref": "AWS::NoValue"}


@cache
def template(name: str) -> Any:
    """Return a template as it is written."""
    return yaml_parse((PROJECT / name).read_text("utf-8"))


def application() -> dict[str, set[str]]:
    """Return template.yaml and the templates with functions that it nests, with the parameters that turn them on."""
    core = template("template.yaml")
    nested = {
        each["Properties"]["TemplateURL"]: parameters_of(core, each.get("Condition"))
        for each in core["Resources"].values()
        if each["Type"] == "AWS::CloudFormation::Stack"
    }
    found = {"template.yaml": set[str](), **nested}
    return {name: on for name, on in found.items() if any(resources(name, "AWS::Serverless::Function"))}


def resources(name: str, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the resources of a type in a template, by their logical ids."""
    for logical_id, each in template(name)["Resources"].items():
        if each["Type"] == kind:
            yield logical_id, each


def parameters_of(whole: Mapping[str, Any], condition: str | None) -> set[str]:
    """Return the parameters on which a condition depends."""
    if condition is None:
        return set()
    found = set()
    for kind, name in _references(whole["Conditions"][condition]):
        found |= {name} if kind == "Ref" else parameters_of(whole, name)
    return found & whole["Parameters"].keys()


def _references(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for item in node:
            yield from _references(item)
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("Ref", "Condition") and isinstance(value, str):
                yield key, value
            yield from _references(value)


def options(node: Any) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Yield the items of a list whose items may be conditional, each with its conditions.

    Examples
    --------
    >>> list(options({"Fn::If": ["IsInVpc", ["network", "traces"], ["traces"]]}))
    [('network', ('IsInVpc',)), ('traces', ())]
    """
    for item in node if isinstance(node, list) else [node]:
        match item:
            case {"Fn::If": [condition, *branches]}:
                then, otherwise = [list(options(each)) for each in branches]
                for inner, conditions in [*then, *(each for each in otherwise if each not in then)]:
                    is_always = (inner, conditions) in then and (inner, conditions) in otherwise
                    yield inner, conditions if is_always else (condition, *conditions)
            case {"Ref": "AWS::NoValue"}:
                pass
            case _:
                yield item, ()


def named(node: Any) -> str:
    """Return what a part of a template names.

    Examples
    --------
    >>> named({"Fn::GetAtt": ["SendQueue", "Arn"]})
    '`SendQueue`'
    >>> named({"Fn::Sub": "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:*"})
    '`states stateMachine:*`'
    >>> named({"Fn::Sub": "${CampaignBucket.Arn}/runs/*"})
    '`CampaignBucket/runs/*`'
    """
    match node:
        case list():
            return ", ".join(dict.fromkeys(named(each) for each in node))
        case {"Ref": name}:
            return code(str(name).removesuffix("Arn").removesuffix(".Alias"))
        case {"Fn::GetAtt": [name, *attribute]}:
            stream = "/stream" if attribute == ["StreamArn"] else ""
            return code(f"{name}{stream}")
        case {"Fn::GetAtt": str(text)}:
            return named({"Fn::GetAtt": text.split(".")})
        case {"Fn::Sub": [text, dict(values)]}:
            # What a condition or a list decides stays a placeholder.
            known = {name: named(value).strip("`") for name, value in values.items() if isinstance(value, str)}
            return named({"Fn::Sub": re.sub(r"\$\{(\w+)\}", lambda found: known.get(found[1], found[0]), text)})
        case {"Fn::Sub": str(text)}:
            text = re.sub(r"\$\{(\w+?)(?:\.?Arn)?\}", r"\1", text.removesuffix(".${AWS::Region}.${AWS::URLSuffix}"))
            if text.startswith(("arn:", "${AWS::Partition}")):
                _, _, service, *_, name = text.split(":", 5) if "::" not in text else _split(text)
                text = f"{service} {name}"
            return code(text)
        case {"Fn::If": [_, then, otherwise]}:
            return named([each for each in (then, otherwise) if each != _NO_VALUE])
    return code(node)


def _split(arn: str) -> list[str]:
    return re.sub(r"\$\{AWS::\w+\}", "", arn).split(":", 5)


@cache
def statement_remarks(name: str) -> dict[tuple[str, str], str]:
    """Return the comments above the statements of a template's policies, by resource and Sid.

    A statement that others repeat by its anchor is under the empty resource, too.
    """
    found: dict[tuple[str, str], str] = {}
    lines = (PROJECT / name).read_text("utf-8").splitlines()
    owner = ""
    for number, line in enumerate(lines):
        if resource := re.match(r"  (\w+):$", line):
            owner = resource[1]
        if sid := re.search(r"\bSid: (\w+)", line):
            above = lines[number::-1]
            start = next(place for place, each in enumerate(above) if re.match(r" *(?:- )+", each))
            # The condition of the statement stands between it and its comment.
            while re.match(r" *- (?:!If|[A-Z]\w+)$", above[start + 1]):
                start += 1
            remark = prose(comment_above(above[start + 1 :])) if above[start + 1].lstrip().startswith("#") else ""
            found[owner, sid[1]] = remark
            if "- &" in above[start]:
                found["", sid[1]] = remark
    return found
