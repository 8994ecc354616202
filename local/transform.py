"""The template as CloudFormation sees it: transformed, as `sam deploy` has it done, without an AWS account.

Usage: ``python -m local.transform FOLDER`` writes what template.yaml becomes, and each template that it nests.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtranslator.translator.transform import transform as translate
from samtranslator.yaml_helper import yaml_parse

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]


def transform(source: dict[str, Any], parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a template as CloudFormation sees it.

    Parameters
    ----------
    source : dict
        The template. Code that is not uploaded yet gets an address that stands for one.
    parameters : Mapping[str, str], optional
        Parameters of the template.

    Returns
    -------
    dict
        The transformed template.
    """
    for resource in source["Resources"].values():
        for code in {"CodeUri", "ContentUri", "DefinitionUri"} & resource.get("Properties", {}).keys():
            if not resource["Properties"][code].startswith("s3://"):
                resource["Properties"][code] = f"s3://bucket/{resource['Properties'][code]}"
    # The translator asks boto3 for the region, to find out the partition.
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    # The managed policies that it would look up are none of ours: every function has a role of its own.
    document: dict[str, Any] = translate(source, dict(parameters or {}), _NoManagedPolicies())
    return document


def template_as_deployed(name: str = "template.yaml") -> dict[str, Any]:
    """Return a template of the project as CloudFormation sees it."""
    source: dict[str, Any] = yaml_parse((ROOT / name).read_text("utf-8"))
    return transform(source) if "Transform" in source else source


def nested(template: Mapping[str, Any]) -> dict[str, str]:
    """Return which templates one nests: of each stack in it, by its logical id, the template's name."""
    return {
        logical_id: resource["Properties"]["TemplateURL"]
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::CloudFormation::Stack"
    }


class _NoManagedPolicies:
    def load(self) -> dict[str, str]:
        return {}


def main() -> None:
    """Write the transformed templates."""
    folder, names = Path(sys.argv[1]), ["template.yaml"]
    for name in names:
        template = template_as_deployed(name)
        names += nested(template).values()
        path = (folder / name).with_suffix(".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(template, indent=2), "utf-8")


if __name__ == "__main__":
    main()
