"""Write docs/reference/*.md, from the code and the templates.

Usage: ``make schemas``. The text of a page above its mark is written by hand and stays.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .commands import commands
from .errors import errors
from .events import events
from .limits import limits
from .markdown import REFERENCE, page, table
from .metrics import metrics
from .parameters import parameters
from .permissions import permissions
from .states import states

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PATHS", "text_of"]

_PAGES = {
    "commands": (commands, "cli/cube_sms_cli"),
    "errors": (errors, "the classes of errors and the templates"),
    "events": (events, "the JSON Schemas and the templates"),
    "limits": (limits, "the constants of layers/cube/cube_sms, the JSON Schema and the templates"),
    "metrics": (metrics, "platform/metrics.py and the templates"),
    "parameters": (parameters, "template.yaml"),
    "permissions": (permissions, "the templates and docs/operator-policy.json"),
    "states": (states, "the states in layers/cube/cube_sms"),
}


_INDEX = REFERENCE / "README.md"

PATHS = (*(REFERENCE / f"{name}.md" for name in _PAGES), _INDEX)
"""The pages that are written from the code, and the index of all pages."""


def text_of(path: Path) -> str:
    """Return what a page of `PATHS` holds."""
    if path == _INDEX:
        return page(path, _index, "the pages of this folder")
    return page(path, *_PAGES[path.stem])


def _index() -> str:
    """Return the table of all pages: the first sentence of each, and what it is written from."""
    rows = []
    for path in sorted({*REFERENCE.glob("*.md")} - {_INDEX}):
        text = path.read_text("utf-8")
        title, about, *_ = [part for part in text.split("\n\n") if not part.startswith("<!--")]
        source = re.search(r"ritten by `make schemas`, from (.*)\. -->", text)
        sentence = " ".join(about.split()).partition(". ")[0].rstrip(".:")
        rows.append([f"[{title.removeprefix('# ')}]({path.name})", f"{sentence}.", source[1] if source else "by hand"])
    return f"\n{table(['page', '', 'written from'], rows)}\n"
