"""Times as an operator gives them, and as a command shows them."""

from __future__ import annotations

import re
from datetime import datetime

import typer

from cube_sms.platform import DAY, rfc3339

_UNITS = {"d": DAY, "h": 3600, "m": 60, "s": 1}


def seconds_of(text: str) -> float:
    """Read a duration.

    Parameters
    ----------
    text : str
        Numbers with units, such as ``1h30m``.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    BadParameter
        If it is none.

    Examples
    --------
    >>> seconds_of("1h30m")
    5400.0
    """
    if not re.fullmatch(r"([0-9]{1,6}[dhms])+", text):
        raise typer.BadParameter(f"{text!r} is no duration such as 90s, 30m or 1h30m.")
    return float(sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([dhms])", text)))


def time_of(text: str) -> float:
    """Read a time.

    Parameters
    ----------
    text : str
        As in RFC 3339. Without an offset it is this machine's time.

    Returns
    -------
    float
        Seconds since the epoch.

    Raises
    ------
    BadParameter
        If it is none.

    Examples
    --------
    >>> time_of("2027-01-15T08:00:00Z")
    1800000000.0
    """
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no time such as 2027-01-15T08:00:00Z.") from None


def shown(seconds: float | None) -> str | None:
    """Return a time for JSON; None if there is none.

    Examples
    --------
    >>> shown(1_800_000_000.0)
    '2027-01-15T08:00:00.000Z'
    """
    return None if seconds is None else rfc3339(seconds)


def span(seconds: float) -> str:
    """Return a duration for people, rounded to its two largest units.

    Examples
    --------
    >>> span(45296.0), span(75.4), span(0.2)
    ('12 h 34 min', '1 min 15 s', '0 s')
    """
    left, parts = round(max(0.0, seconds)), []
    for name, size in (("d", DAY), ("h", 3600), ("min", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number} {name}")
    return " ".join(parts[:2]) or "0 s"
