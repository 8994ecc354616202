"""Write docs/reference/parameters.md, from the parameters of template.yaml.

Usage: ``make schemas``. What stands above the mark in the page is written by hand, and stays.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtranslator.yaml_helper import yaml_parse

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "reference" / "parameters.md"
MARK = "<!-- Below: written by `make schemas`, from template.yaml. -->\n"


def row(name: str, declared: Mapping[str, Any]) -> str:
    """Return the line of the table for a parameter.

    Examples
    --------
    >>> row("Colour", {"Default": "red", "Description": "See docs/colours.md.", "AllowedValues": ["red", "blue"]})
    '| `Colour` | `red` | See [colours.md](../colours.md). One of `red`, `blue`. |'
    """
    default = f"`{text}`" if (text := str(declared["Default"])) else ""
    about = re.sub(r"\bdocs/(\S+\.md)", r"[\1](../\1)", declared["Description"])
    if values := declared.get("AllowedValues"):
        about += f" One of {', '.join(f'`{value}`' for value in values)}."
    elif constraint := declared.get("ConstraintDescription"):
        about += f" {constraint[0].upper()}{constraint[1:]}."
    return f"| `{name}` | {default} | {about} |"


def parameters_page(template: Mapping[str, Any]) -> str:
    """Return the page with the parameters of a template, in the groups that the console shows them in."""
    by_hand = PAGE.read_text("utf-8").partition(MARK)[0]
    sections = [
        f"\n## {group['Label']['default']}\n\n| parameter | default | |\n| --- | --- | --- |\n"
        + "".join(f"{row(name, template['Parameters'][name])}\n" for name in group["Parameters"])
        for group in template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    ]
    return by_hand + MARK + "".join(sections)


if __name__ == "__main__":
    PAGE.write_text(parameters_page(yaml_parse((PROJECT / "template.yaml").read_text("utf-8"))), "utf-8")
