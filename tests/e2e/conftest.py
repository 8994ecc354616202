"""One local stack for all end-to-end tests: each test uses devices and request ids of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.stack import LocalStack

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    # The workers are not paced, so the simulator's rate limits are off.
    with LocalStack(qps=0, connections=0, quota=0) as stack:
        yield stack
