"""Write the pages."""

from __future__ import annotations

from . import PATHS, text_of

if __name__ == "__main__":
    for path in PATHS:
        path.write_text(text_of(path), "utf-8")
