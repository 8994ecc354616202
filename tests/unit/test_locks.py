"""The locks: every package from PyPI, with the hash of each of its files, and each from npm with its own."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "uv.lock"
NODE = ROOT / "examples" / "node"


def test_every_package_is_locked_to_files_of_pypi_by_their_hashes() -> None:
    [ours, *others] = sorted(
        tomllib.loads(LOCK.read_text("utf-8"))["package"], key=lambda package: package["name"] != "cube-sms"
    )

    assert ours["source"] == {"editable": "."}
    assert len(others) > 100
    for package in others:
        # And not from an index that one machine alone has
        assert package["source"] == {"registry": "https://pypi.org/simple"}
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files, package["name"]
        for file in files:
            assert re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]), file
            assert file["url"].startswith("https://files.pythonhosted.org/"), file


def test_every_package_of_npm_is_locked_by_its_hash_and_runs_nothing_when_it_is_installed() -> None:
    packages = json.loads((NODE / "package-lock.json").read_text("utf-8"))["packages"]

    ours = packages.pop("")
    assert ours["dependencies"] == json.loads((NODE / "package.json").read_text("utf-8"))["dependencies"]
    assert len(packages) > 10
    for name, package in packages.items():
        assert package["integrity"].startswith("sha512-"), name
        assert "hasInstallScript" not in package, name
        # And not from an index that one machine alone has
        assert "resolved" not in package or package["resolved"].startswith("https://registry.npmjs.org/"), name
