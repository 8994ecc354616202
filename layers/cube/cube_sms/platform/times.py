"""Times, as they are agreed upon and written down."""

from __future__ import annotations

from datetime import UTC, datetime

DAY = 86_400
"""Seconds of a day."""


def rfc3339(seconds: float) -> str:
    """Return a time as text: RFC 3339 in UTC, with milliseconds.

    Parameters
    ----------
    seconds : float
        Seconds since the epoch.

    Returns
    -------
    str
        The time.

    Examples
    --------
    >>> rfc3339(1_800_000_000.25)
    '2027-01-15T08:00:00.250Z'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
