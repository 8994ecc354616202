"""For all tests: the seed of what is left to chance, printed so that a run can be repeated."""

from __future__ import annotations

import os
import secrets

# Set before any test module is imported, so that what is printed is what they take.
SEED = os.environ.setdefault("CUBE_SMS_SEED", str(secrets.randbelow(2**32)))


def pytest_report_header() -> str:
    return f"fault suite: CUBE_SMS_SEED={SEED}"
