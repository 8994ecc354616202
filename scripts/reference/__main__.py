"""Write the pages."""

from __future__ import annotations

from . import pages

if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
