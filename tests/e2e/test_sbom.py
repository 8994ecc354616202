"""The bill of materials that `make build` writes: valid, complete, and true to the built layers."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
BUILD = PROJECT / ".aws-sam" / "build"
SBOM = PROJECT / ".aws-sam" / "sbom.cdx.json"


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(SBOM.read_text("utf-8"))
    return document


def test_bill_is_valid_cyclonedx(bill: dict[str, Any]) -> None:
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")

    # When it is held against the schema, strictly
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(SBOM.read_text("utf-8"))

    # Then there is nothing to say
    assert fault is None


def test_bill_lists_what_is_in_the_layer(bill: dict[str, Any]) -> None:
    # Given the packages in the built layer
    packages = distributions(path=[str(BUILD / "DependenciesLayer" / "python")])
    in_layer = {(canonicalize_name(package.name), package.version) for package in packages}

    # Then the bill has each of them, and no other
    listed = [(canonicalize_name(component["name"]), component["version"]) for component in bill["components"]]
    assert len(listed) > 5
    assert sorted(listed) == sorted(in_layer)
    # And by no other name where tools look for it
    assert [component["purl"] for component in bill["components"]] == [
        f"pkg:pypi/{name}@{version}" for name, version in listed
    ]


def test_every_module_in_the_layer_belongs_to_a_listed_package(bill: dict[str, Any]) -> None:
    listed = {canonicalize_name(component["name"]) for component in bill["components"]}
    modules = {
        path.stem.partition(".")[0]
        for path in (BUILD / "DependenciesLayer" / "python").iterdir()
        if path.suffix != ".dist-info" and path.name != "__pycache__"
    }

    # The authorities are botocore's, each in a file of its own, and cffi has a module beside its package.
    names = {"dateutil": "python-dateutil", "authorities": "botocore", "_cffi_backend": "cffi"}
    assert {canonicalize_name(names.get(name, name)) for name in modules} == listed


def test_hashes_are_those_of_locked_wheels(bill: dict[str, Any]) -> None:
    lock = tomllib.loads((PROJECT / "uv.lock").read_text("utf-8"))["package"]
    locked = {wheel["hash"] for package in lock for wheel in package.get("wheels", [])}

    for component in bill["components"]:
        wheels = component["externalReferences"]
        hashes = [found["content"] for wheel in wheels for found in wheel["hashes"]]
        assert len(hashes) == len(wheels) > 0
        for sha256 in hashes:
            assert f"sha256:{sha256}" in locked
        # One wheel is the package; of several, one for each architecture, none is.
        assert component.get("hashes", []) == (wheels[0]["hashes"] if len(wheels) == 1 else [])


def test_every_package_has_a_licence_and_its_dependencies(bill: dict[str, Any]) -> None:
    dependencies = {entry["ref"]: entry.get("dependsOn", []) for entry in bill["dependencies"]}

    assert not [component["name"] for component in bill["components"] if not component["licenses"]]
    # All that is in the layer is there because the application needs it, or something that it needs.
    needed, to_do = set(), ["cube-sms"]
    while to_do:
        needed.add(reference := to_do.pop())
        to_do += [other for other in dependencies[reference] if other not in needed]
    assert needed == {"cube-sms", *(component["bom-ref"] for component in bill["components"])}


@pytest.mark.parametrize("layer", ["CubeLayer", "DependenciesLayer"])
def test_bill_holds_the_digest_of_each_layer(bill: dict[str, Any], layer: str) -> None:
    # Given what `find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum` prints
    paths = [path for path in (BUILD / layer).rglob("*") if path.is_file()]
    files = {path.relative_to(BUILD / layer).as_posix(): path.read_bytes() for path in paths}
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]

    properties = {entry["name"]: entry["value"] for entry in bill["metadata"]["component"]["properties"]}
    assert properties[f"cube-sms:{layer}:sha256"] == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_bill_is_written_the_same_again(bill: dict[str, Any], tmp_path: Path) -> None:
    # When it is written again
    again = tmp_path / "sbom.cdx.json"
    subprocess.run([sys.executable, PROJECT / "scripts" / "sbom.py", BUILD, again], check=True, capture_output=True)

    # Then not a byte differs, because nothing in it is of its time
    assert again.read_bytes() == SBOM.read_bytes()
    assert "serialNumber" not in bill
    assert "timestamp" not in bill["metadata"]
