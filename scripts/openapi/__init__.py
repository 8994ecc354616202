"""Write docs/openapi.json, an OpenAPI 3.1 document of the whole API, and docs/reference/api.md, the same to read.

Usage: ``make schemas``. The routes are those of the templates. `inputs`, `answers` and `schemas` have what they take
and answer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scripts.reference.markdown import PROJECT, REFERENCE

from .document import OPERATIONS, document
from .page import page

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DOCUMENT", "OPERATIONS", "files"]

DOCUMENT = PROJECT / "docs" / "openapi.json"


def files() -> dict[Path, str]:
    """Return both files, and what they hold."""
    made = document()
    return {DOCUMENT: json.dumps(made, indent=2, ensure_ascii=False) + "\n", REFERENCE / "api.md": page(made)}
