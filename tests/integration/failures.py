"""What can go wrong with a query in any dialect, and the result: fault, error, HTTP status, connections."""

from __future__ import annotations

from cube_sms.provider.base import (
    CubeAuthenticationError,
    CubeOutcomeUnknown,
    CubeRejected,
    CubeThrottled,
    CubeUnavailable,
)

FAILURES = [
    ("rejected:7001", CubeRejected, 200, 1),
    ("status:400", CubeRejected, 400, 1),
    ("status:401", CubeAuthenticationError, 401, 1),
    ("status:403", CubeAuthenticationError, 403, 1),
    ("status:429", CubeThrottled, 429, 1),
    ("status:502", CubeOutcomeUnknown, 502, 1),
    ("status:503", CubeUnavailable, 503, 1),
    ("status:503+none", CubeOutcomeUnknown, 503, 1),
    ("status:500", CubeOutcomeUnknown, 500, 1),
    ("status:504", CubeOutcomeUnknown, 504, 1),
    ("status-after:500", CubeOutcomeUnknown, 500, 1),
    ("status-after:502+1", CubeOutcomeUnknown, 502, 1),
    ("redirect", CubeOutcomeUnknown, 302, 1),
    ("garbage", CubeOutcomeUnknown, 200, 1),
    ("truncated", CubeOutcomeUnknown, None, 2),
    ("huge", CubeOutcomeUnknown, 200, 2),
    ("bomb", CubeOutcomeUnknown, 200, 1),
    ("reset", CubeOutcomeUnknown, None, 2),
    ("drop", CubeOutcomeUnknown, None, 2),
    ("lost", CubeOutcomeUnknown, None, 2),
]
