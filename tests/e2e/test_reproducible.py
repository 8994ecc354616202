"""The layers, built a second time: the same bytes, and the same upload."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
BUILD = PROJECT / ".aws-sam" / "build"
# Not the Python and the pip that `make build` uses, though a Python of the same release.
PYTHON = PROJECT / ".venv-uv" / "bin" / "python3.13"
SAM_PYTHON = PROJECT / ".venv-sam" / "bin" / "python3.13"


def build(layer: str, source: Path, target: Path) -> None:
    """Build a layer as `sam build` does: with its makefile, in a copy of its folder."""
    shutil.copytree(source, target.parent / "source")
    target.mkdir()
    subprocess.run(
        ["make", "--silent", f"build-{layer}", f"PYTHON={PYTHON}", f"ARTIFACTS_DIR={target}"],
        cwd=target.parent / "source",
        # The order of sets hangs on the seed.
        env=os.environ | {"PYTHONHASHSEED": "4711"},
        umask=0o077,
        capture_output=True,
        check=True,
    )


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return everything in a folder: names, modes and contents."""
    return {
        path.relative_to(root).as_posix(): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in root.rglob("*")
    }


def checksum_of_upload(layer: Path) -> str:
    """Return what `sam package` calls a folder when it uploads it: another name is another version of the layer."""
    code = "import sys; from samcli.lib.utils.hash import dir_checksum; print(dir_checksum(sys.argv[1]))"
    return subprocess.run([SAM_PYTHON, "-c", code, str(layer)], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("layer", "source"), [("CubeLayer", "cube"), ("DependenciesLayer", "dependencies")])
def test_layer_is_the_same_whoever_builds_it(layer: str, source: str, tmp_path: Path) -> None:
    # Given the layer that `make build` made

    # When it is built again later, in another folder, by a user whose files are private. The installations of
    # Python and of pip and the seed of hashes are others too
    again = tmp_path / layer
    build(layer, PROJECT / "layers" / source, again)

    # Then both are the same: names, modes and contents, those of the compiled files too
    one, other = tree(BUILD / layer), tree(again)
    assert any(name.endswith(".pyc") for name in one)
    assert [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)] == []
    # And what is uploaded has the same name, so that nothing is deployed again
    assert checksum_of_upload(BUILD / layer) == checksum_of_upload(again)
