"""The folder that `sam build` writes."""

from __future__ import annotations

from pathlib import Path

BUILD = Path(__file__).parents[1] / ".aws-sam" / "build"
