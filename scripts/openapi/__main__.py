"""Write both files."""

from __future__ import annotations

from . import files

if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, "utf-8")
