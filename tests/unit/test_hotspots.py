"""What docs/benchmarks.md says of the parts of a message."""

from __future__ import annotations

from pathlib import Path

from benchmarks.hotspots import REASONS

PROJECT = Path(__file__).parents[2]


def test_each_module_that_is_explained_is_there() -> None:
    folders = (PROJECT / "layers" / "cube", PROJECT / "functions" / "send_from_queue")

    assert [module for module in REASONS if not any((folder / module).is_file() for folder in folders)] == []
