"""Print the locked uv as pip installs it: with its hashes. What installs uv cannot be uv.

Usage: ``python scripts/locked_uv.py >FILE``, then ``pip install --require-hashes -r FILE``.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

LOCK = Path(__file__).parents[1] / "uv.lock"


def main() -> None:
    """Print it."""
    [uv] = [package for package in tomllib.loads(LOCK.read_text("utf-8"))["package"] if package["name"] == "uv"]
    print(f"uv=={uv['version']}", *(f"--hash={wheel['hash']}" for wheel in uv["wheels"]))


if __name__ == "__main__":
    main()
