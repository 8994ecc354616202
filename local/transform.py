"""The template as CloudFormation sees it: transformed, as `sam deploy` has it done, without an AWS account.

Usage: ``python -m local.transform FILE`` writes what template.yaml becomes.
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

TEMPLATE = Path(__file__).parents[1] / "template.yaml"


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
    # The translator asks boto3 for the region, to tell the partition.
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    # The managed policies that it would look up are none of ours: every function has a role of its own.
    document: dict[str, Any] = translate(source, dict(parameters or {}), _NoManagedPolicies())
    return document


def template_as_deployed() -> dict[str, Any]:
    """Return template.yaml as CloudFormation sees it."""
    return transform(yaml_parse(TEMPLATE.read_text("utf-8")))


class _NoManagedPolicies:
    def load(self) -> dict[str, str]:
        return {}


def main() -> None:
    """Write the transformed template."""
    Path(sys.argv[1]).write_text(json.dumps(template_as_deployed(), indent=2), "utf-8")


if __name__ == "__main__":
    main()
