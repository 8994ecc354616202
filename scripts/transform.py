"""Write template.yaml as CloudFormation sees it: transformed, as `sam deploy` has it done, without an AWS account.

Usage: ``python scripts/transform.py FILE``. What the code is uploaded as is left open.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

TEMPLATE = Path(__file__).parents[1] / "template.yaml"


def main() -> None:
    """Write the transformed template."""
    Path(sys.argv[1]).write_text(json.dumps(transformed(), indent=2), "utf-8")


def transformed(template: Path = TEMPLATE) -> dict[str, Any]:
    """Return a template as CloudFormation sees it."""
    source = yaml_parse(template.read_text("utf-8"))
    for resource in source["Resources"].values():
        for code in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][code] = "s3://bucket/key"
    # The translator asks boto3 for the region, to tell the partition.
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    # The managed policies that it would look up are none of ours: every function has a role of its own.
    document: dict[str, Any] = transform(source, {}, NoManagedPolicies())
    return document


class NoManagedPolicies:
    """What stands for the managed policies of an account."""

    def load(self) -> dict[str, str]:
        """Return none."""
        return {}


if __name__ == "__main__":
    main()
