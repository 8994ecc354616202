"""The parameters of template.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .markdown import code, prose, section, table
from .templates import template

if TYPE_CHECKING:
    from collections.abc import Mapping


def parameters() -> str:
    """Return the parameters, in the groups in which the console shows them."""
    core = template("template.yaml")
    declared = core["Parameters"]
    return "".join(
        section(
            group["Label"]["default"],
            table(
                ["parameter", "default", ""],
                [[code(name), code(declared[name]["Default"]), about(declared[name])] for name in group["Parameters"]],
            ),
        )
        for group in core["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    )


def about(declared: Mapping[str, Any]) -> str:
    """Return what a parameter is for, and which values it takes.

    Examples
    --------
    >>> about({"Description": "See docs/colours.md.", "AllowedValues": ["red", "blue"]})
    'See [colours.md](../colours.md). One of `red`, `blue`.'
    """
    text = prose(declared["Description"])
    if values := declared.get("AllowedValues"):
        text += f" One of {code(*values)}."
    elif constraint := declared.get("ConstraintDescription"):
        text += f" {constraint[0].upper()}{constraint[1:]}."
    return text
