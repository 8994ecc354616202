"""The naive peer, deployed on this machine."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.pacing.naive.build import build
from local.stack import LocalStack

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def naive_stack(**simulator: Any) -> Iterator[LocalStack]:
    """Deploy the peer on a local AWS of its own, with a simulator of its own, for as long as this context.

    Parameters
    ----------
    **simulator
        Options of the provider's simulator.
    """
    with tempfile.TemporaryDirectory(prefix="naive-") as folder:
        build(Path(folder))
        with LocalStack(build=Path(folder), **simulator) as stack:
            yield stack
