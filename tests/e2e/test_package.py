"""`sam package`: what a deployment uploads."""

from __future__ import annotations

import io
import os
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
    """Package the build into a bucket of the local AWS, and return the template that comes of it."""
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


def properties(template: dict[str, Any]) -> dict[str, Any]:
    """Return what the resources of a template are made of, without what SAM notes beside it."""
    return {name: resource["Properties"] for name, resource in template["Resources"].items()}


def test_everything_a_release_needs_is_uploaded(stack: LocalStack, tmp_path: Path) -> None:
    # When the build is packaged
    packaged = package(stack, tmp_path / "packaged.yaml")

    # Then the code of every function and layer is there, as it was built
    code = {
        name: resource["Properties"].get("CodeUri") or resource["Properties"]["ContentUri"]
        for name, resource in packaged["Resources"].items()
        if resource["Type"] in ("AWS::Serverless::Function", "AWS::Serverless::LayerVersion")
    }
    source = yaml_parse((ROOT / "template.yaml").read_text("utf-8"))["Resources"]
    functions = {name for name, resource in source.items() if resource["Type"] == "AWS::Serverless::Function"}
    assert {name for name in code if name.endswith("Function")} == functions
    for name, url in code.items():
        with zipfile.ZipFile(io.BytesIO(uploaded(stack, url))) as archive:
            files = {member.filename for member in archive.infolist() if not member.is_dir()}
        built = {path.relative_to(BUILD / name).as_posix() for path in (BUILD / name).rglob("*") if path.is_file()}
        assert files == built, name

    # And so are the nested templates
    for name, path in (("Dashboard", "monitoring/dashboard.yaml"), ("EventSchemas", "schemas/registry.yaml")):
        key = packaged["Resources"][name]["Properties"]["TemplateURL"].rpartition("/")[2]
        nested = yaml_parse(uploaded(stack, f"s3://{BUCKET}/{key}").decode())
        assert properties(nested) == properties(yaml_parse((ROOT / path).read_text("utf-8")))
