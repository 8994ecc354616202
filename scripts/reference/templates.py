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
    found: set[str] = set()
    if condition is None:
        return found
    for kind, name in _references(whole["Conditions"][condition]):
        found |= {name} if kind == "Ref" else parameters_of(whole, name)
    return {name for name in found if name in whole["Parameters"]}


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
    """Return what a part of a template, or of a policy, names.

    Examples
    --------
    >>> named([{"Fn::GetAtt": ["SendQueue", "Arn"]}, {"Ref": "AlarmTopicArn"}])
    '`SendQueue`, `AlarmTopic`'
    >>> named({"Fn::Sub": "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:*"})
    '`states stateMachine:*`'
    >>> named({"Fn::Sub": "${CampaignBucket.Arn}/runs/*"})
    '`CampaignBucket/runs/*`'
    >>> named(["arn:${Partition}:sqs:${Region}:${Account}:${SendQueueName}", "sqs.${Region}.*"])
    '`sqs SendQueueName`, `sqs`'
    """
    return code(*dict.fromkeys(_names(node)))


def _names(node: Any) -> Iterator[str]:
    match node:
        case list():
            for each in node:
                yield from _names(each)
        case {"Fn::If": [_, then, otherwise]}:
            yield from _names([each for each in (then, otherwise) if each != _NO_VALUE])
        case {"Ref": name}:
            yield str(name).removesuffix("Arn").removesuffix(".Alias")
        case {"Fn::GetAtt": [name, "StreamArn"]}:
            yield f"{name}/stream"
        case {"Fn::GetAtt": [name, *_]}:
            yield name
        case {"Fn::Sub": [text, dict(values)]}:
            # What a condition or a list decides stays a placeholder.
            known = {name: value for name, value in values.items() if isinstance(value, str)}
            yield _filled(re.sub(r"\$\{(\w+)\}", lambda found: known.get(found[1], found[0]), text))
        case {"Fn::Sub": text}:
            yield _filled(text)
        case str():
            yield _filled(node)


def _filled(text: str) -> str:
    """Return a text with the names of its placeholders, and an ARN as its service and what comes last."""
    text = re.sub(r"\.\$\{(?:AWS::)?Region\}\..*", "", text)
    if text.startswith("arn:"):
        _, _, service, *_, name = re.sub(r"\$\{AWS::\w+\}", "", text).split(":", 5)
        text = f"{service} {name}"
    return re.sub(r"\$\{(\w+?)(?:\.?Arn)?\}", r"\1", text)


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
