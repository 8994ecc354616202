"""Size of the layers."""

from __future__ import annotations

import tempfile
import zipfile
from typing import TYPE_CHECKING

from benchmarks.functions import BUILD, LAYERS
from benchmarks.report import Row, Section, Spread

if TYPE_CHECKING:
    from pathlib import Path

TITLE = "Size"

# AWS's limit for a function with all its layers, unzipped.
_MOST_MEGABYTES = 250

_METHOD = """
Bytes of the built layers as they are deployed, with the native modules of both architectures, unzipped and as a zip
file (deflate); the peer is AWS's limit for a function with all its layers.
"""


def measure() -> Section:
    """Return the size of each layer and of both."""
    sizes = {layer: _megabytes(BUILD / layer) for layer in LAYERS}
    rows = [
        Row(f"{layer}, unzipped / zipped", f"{unzipped:.2f} / {zipped:.2f} MB")
        for layer, (unzipped, zipped) in sizes.items()
    ]
    unzipped, zipped = (sum(column) for column in zip(*sizes.values(), strict=True))
    ratio = Spread.of([unzipped / _MOST_MEGABYTES]).text()
    rows.append(
        Row("both layers, unzipped / zipped", f"{unzipped:.2f} / {zipped:.2f} MB", f"{_MOST_MEGABYTES} MB limit", ratio)
    )
    return Section(TITLE, _METHOD, rows)


def _megabytes(layer: Path) -> tuple[float, float]:
    files = sorted(path for path in layer.rglob("*") if path.is_file())
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, path.relative_to(layer))
        return sum(path.stat().st_size for path in files) / 1e6, file.tell() / 1e6
