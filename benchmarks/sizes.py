"""Size of the layers, and of what is left out of them."""

from __future__ import annotations

import tempfile
import zipfile
from typing import TYPE_CHECKING

from benchmarks.functions import BUILD, LAYERS, PEERS_PACKAGES
from benchmarks.report import Row, Section, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TITLE = "Size"
MOST_ZIPPED = 12.0
MOST_UNZIPPED = 50.0

# AWS's limit for a function with all its layers, unzipped.
_LIMIT = 250

_METHOD = """
Bytes of the built layers as they are deployed, compiled and with the native modules of both architectures, unzipped and
as a zip file (deflate). botocore's data are its descriptions of AWS's services; the layer keeps those that are used.
"""


def measure(*, quick: bool = False) -> Section:
    """Return the size of each layer, of both, and of botocore's data."""
    del quick
    sizes = {layer: _megabytes(_files(BUILD / layer)) for layer in LAYERS}
    unzipped, zipped = (sum(column) for column in zip(*sizes.values(), strict=True))
    rows = [Row(f"{layer}, unzipped / zipped", _pair(size)) for layer, size in sizes.items()]
    rows += [
        _row("both layers, unzipped", unzipped, f"{_LIMIT} MB limit", f"{unzipped / _LIMIT:.2f}", MOST_UNZIPPED),
        _row("both layers, zipped", zipped, "", "", MOST_ZIPPED),
    ]
    kept = BUILD / "DependenciesLayer" / "python" / "botocore" / "data"
    everything = PEERS_PACKAGES / "botocore" / "data"
    services = [sum(path.is_dir() for path in folder.iterdir()) for folder in (kept, everything)]
    ours, all_of_it = _megabytes(_files(kept)), _megabytes(_files(everything))
    what = f"botocore's data of {services[0]} services / of {services[1]}, unzipped / zipped"
    rows.append(
        Row(what, _pair(ours), _pair(all_of_it), f"{ours[0] / all_of_it[0]:.2f} / {ours[1] / all_of_it[1]:.2f}")
    )
    return Section(TITLE, _METHOD, rows)


def _row(what: str, megabytes: float, peer: str, ratio: str, most: float) -> Row:
    return Row(what, f"{megabytes:.2f} MB", peer, ratio, f"<= {most:g} MB", verdict(megabytes, most))


def _pair(size: tuple[float, float]) -> str:
    return f"{size[0]:.2f} / {size[1]:.2f} MB"


def _files(folder: Path) -> list[tuple[Path, Path]]:
    return [(path, path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]


def _megabytes(files: Iterable[tuple[Path, Path]]) -> tuple[float, float]:
    files = list(files)
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, name in files:
                archive.write(path, name)
        return sum(path.stat().st_size for path, _ in files) / 1e6, file.tell() / 1e6
