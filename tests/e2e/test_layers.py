"""The built layers: complete, compiled, and for both architectures."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shutil
import subprocess
import sys
import tomllib
from datetime import datetime
from pathlib import Path

import pytest
from OpenSSL import crypto
from packaging.version import Version

PROJECT = Path(__file__).parents[2]
BUILD = PROJECT / ".aws-sam" / "build"
LAYERS = [BUILD / "CubeLayer" / "python", BUILD / "DependenciesLayer" / "python"]


def test_every_native_module_is_there_for_both_architectures() -> None:
    native = [path.name for layer in LAYERS for path in layer.rglob("*.so")]

    for suffix in ("cpython-313-aarch64-linux-gnu.so", "cpython-313-x86_64-linux-gnu.so"):
        assert [name for name in native if name.endswith(suffix)]
    assert len({name.partition(".")[0] for name in native}) * 2 == len(native)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.parent.name)
def test_layer_is_small(layer: Path, tmp_path: Path) -> None:
    packed = shutil.make_archive(str(tmp_path / "layer"), "zip", layer.parent)
    # Lambda takes 50 MB, and unpacks it at each cold start
    assert Path(packed).stat().st_size < 20e6


def test_packages_are_those_of_the_tests_and_held_back_by_nobody() -> None:
    # Given the packages in the built layer, and the versions of all that is locked
    packages = list(importlib.metadata.distributions(path=[str(LAYERS[1])]))
    locked = tomllib.loads((PROJECT / "uv.lock").read_text("utf-8"))["package"]

    assert len(packages) > 5
    for package in packages:
        # Then the tests import each in the same version
        assert package.version == importlib.metadata.version(package.name), package.name
        # And no other environment has a newer one: the SAM CLI and checkov hold back what they need themselves
        versions = [Version(other["version"]) for other in locked if other["name"] == package.name.replace("_", "-")]
        assert Version(package.version) == max(versions), package.name


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.parent.name)
def test_every_module_is_compiled_under_the_path_it_has_on_lambda(layer: Path) -> None:
    sources = list(layer.rglob("*.py"))

    assert sources
    for source in sources:
        compiled = Path(importlib.util.cache_from_source(str(source)))
        assert compiled.exists(), f"{source} is not compiled"
        # Flags 1: by hash and unchecked, so that the times packaging gives to files do not matter.
        assert compiled.read_bytes()[4] == 1, f"{compiled} would be checked against its source"
    assert b"/opt/python/" in Path(importlib.util.cache_from_source(str(sources[0]))).read_bytes()


@pytest.mark.parametrize("function", ["SendFromQueueFunction", "SendFromApiFunction"])
def test_a_handler_needs_nothing_but_its_layers(function: str) -> None:
    # Given an interpreter that sees the function and its layers, and no other package
    path = [str(BUILD / function), *map(str, LAYERS)]
    code = f"import sys; sys.path += {path}; import app, json; print(json.dumps(sorted(sys.modules)))"

    # When the handler is imported
    result = subprocess.run(
        # -B, since -I ignores the variable of the same meaning: what is built is packaged by another test meanwhile.
        [sys._base_executable, "-I", "-S", "-B", "-c", code],  # type: ignore[attr-defined]
        env={},
        capture_output=True,
        text=True,
        check=True,
    )

    # Then it finds all it needs, and loads none of what it should leave out
    modules = json.loads(result.stdout)
    assert "cube_sms.delivery.sending" in modules
    assert not {"requests", "pydantic", "aws_xray_sdk"} & set(modules)
    # What only an account that uses v4 needs
    assert not {"cryptography", "cffi"} & set(modules)


def test_openssl_finds_every_authority_of_botocore() -> None:
    # Given the layer's folder of authorities, and botocore's file of them
    packages = BUILD / "DependenciesLayer" / "python"
    begin = "-----BEGIN CERTIFICATE-----"
    _, *pems = packages.joinpath("botocore", "cacert.pem").read_text("utf-8").split(begin)
    authorities = [crypto.load_certificate(crypto.FILETYPE_PEM, f"{begin}{pem}".encode()) for pem in pems]

    # When each of them is looked for in the folder
    for authority in authorities:
        store = crypto.X509Store()
        store.load_locations(None, str(packages / "authorities"))
        # Some day it will have expired, which is not what this is about.
        born = (authority.get_notBefore() or b"").decode("ascii")
        store.set_time(datetime.strptime(born, "%Y%m%d%H%M%SZ"))
        # Then it is found, and vouches for itself
        crypto.X509StoreContext(store, authority).verify_certificate()
    assert len(authorities) == len(list(packages.joinpath("authorities").iterdir())) > 100
