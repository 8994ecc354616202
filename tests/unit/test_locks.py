"""The lock: every package from PyPI, with the hash of each of its files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

LOCK = Path(__file__).parents[2] / "uv.lock"


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
