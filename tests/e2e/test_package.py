"""`sam package`: what a deployment uploads."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtranslator.yaml_helper import yaml_parse

from local.paths import BUILD

if TYPE_CHECKING:
    from local.stack import LocalStack

ROOT = Path(__file__).parents[2]
SAM = ROOT / ".venv-sam" / "bin" / "sam"
BUCKET = "cube-sms-releases"


def package(stack: LocalStack, output: Path) -> dict[str, Any]:
    """Package the build into a bucket of the local AWS, and return the packaged template."""
    s3 = stack.aws.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    environment = os.environ | stack.aws.environment | {"SAM_CLI_TELEMETRY": "0"}
    template = BUILD / "template.yaml"
    command = [
        str(SAM),
        "package",
        "--template-file",
        str(template),
        "--s3-bucket",
        BUCKET,
        "--output-template-file",
        str(output),
    ]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    packaged: dict[str, Any] = yaml_parse(output.read_text("utf-8"))
    return packaged


def uploaded(stack: LocalStack, url: str) -> bytes:
    """Return what is at an address of the bucket."""
    key = url.removeprefix(f"s3://{BUCKET}/")
    content: bytes = stack.aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return content


CODE = ("CodeUri", "ContentUri", "DefinitionUri")
STACK = "AWS::CloudFormation::Stack"


def properties(template: dict[str, Any]) -> dict[str, Any]:
    """Return what the resources of a template are made of, without their code and what SAM notes beside it."""
    return {
        name: {key: value for key, value in resource["Properties"].items() if key not in CODE}
        for name, resource in template["Resources"].items()
    }


def code(template: dict[str, Any]) -> dict[str, str]:
    """Return where the code of each resource is that has some."""
    found = {
        name: resource["Properties"][key]
        for name, resource in template["Resources"].items()
        for key in CODE
        if key in resource["Properties"]
    }
    return {name: url if isinstance(url, str) else f"s3://{url['Bucket']}/{url['Key']}" for name, url in found.items()}


def test_everything_a_release_needs_is_uploaded(stack: LocalStack, tmp_path: Path) -> None:
    # When the build is packaged, with every template that it nests
    templates = [("template.yaml", BUILD, package(stack, tmp_path / "packaged.yaml"))]
    for path, build, packaged in templates:
        source = yaml_parse((ROOT / path).read_text("utf-8"))
        for name, resource in source["Resources"].items():
            if resource["Type"] == STACK:
                key = packaged["Resources"][name]["Properties"]["TemplateURL"].rpartition("/")[2]
                text = uploaded(stack, f"s3://{BUCKET}/{key}").decode()
                # CloudFormation takes no aliases of YAML
                assert not re.search(r"^\s*[\w-]+: [&*]\w", text, re.MULTILINE)
                nested = yaml_parse(text)
                templates.append((resource["Properties"]["TemplateURL"], build / name, nested))
                if "Transform" not in nested:
                    assert properties(nested) == properties(yaml_parse((ROOT / templates[-1][0]).read_text("utf-8")))
    assert [path for path, *_ in templates] == [
        "template.yaml",
        "campaigns.yaml",
        "replies.yaml",
        "followup.yaml",
        "monitoring/alarms.yaml",
        "monitoring/dashboard.yaml",
    ]

    # Then the code of every function and layer is there, as it was built
    uploads = 0
    for path, build, packaged in templates:
        urls = code(packaged)
        assert urls.keys() == code(yaml_parse((ROOT / path).read_text("utf-8"))).keys()
        for name, url in urls.items():
            uploads += 1
            content = uploaded(stack, url)
            if "Machine" in name:
                assert json.loads(content)["StartAt"]
                continue
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                files = {member.filename for member in archive.infolist() if not member.is_dir()}
            built = {path.relative_to(build / name).as_posix() for path in (build / name).rglob("*") if path.is_file()}
            assert files == built, name
    assert uploads == 13
