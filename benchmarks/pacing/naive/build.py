"""Builder of the naive peer, into a folder of the form that `sam build` leaves."""

from __future__ import annotations

import shutil
from importlib.metadata import files
from pathlib import Path
from typing import TYPE_CHECKING

from local.paths import BUILD

if TYPE_CHECKING:
    from collections.abc import Iterator

# What `requests` needs and the layer of dependencies does not have.
_PACKAGES = ("requests", "certifi", "charset-normalizer", "idna")
_HERE = Path(__file__).parent


def build(folder: Path) -> None:
    """Put template, function and dependencies into a folder, the packages as they are locked for development."""
    shutil.copy(_HERE / "template.yaml", folder)
    shutil.copytree(BUILD / "DependenciesLayer", folder / "DependenciesLayer")
    function = folder / "function"
    shutil.copytree(_HERE / "function", function, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _PACKAGES:
        for relative, source in _files(name):
            target = function / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def _files(package: str) -> Iterator[tuple[Path, Path]]:
    for path in files(package) or ():
        # Commands are outside site-packages.
        if ".." not in path.parts:
            yield Path(path), Path(str(path.locate()))
