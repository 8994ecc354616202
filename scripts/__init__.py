"""Commands that operate and release a stack. They read records and dead letters with the code of the layer."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "layers" / "cube"))
