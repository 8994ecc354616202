"""Times, as an operator writes and reads them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import typer

from cube_sms.platform import DAY, rfc3339

_UNITS = {"d": DAY, "h": 3600, "m": 60, "s": 1}


def moment(text: str) -> datetime:
    """Read a time with its offset.

    Parameters
    ----------
    text : str
        Such as "2027-01-31T12:00:00Z".

    Returns
    -------
    datetime
        The time, in UTC.

    Raises
    ------
    typer.BadParameter
        If it is none, or has no offset.

    Examples
    --------
    >>> moment("2027-01-31T13:00:00+01:00").isoformat()
    '2027-01-31T12:00:00+00:00'
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        read = None
    if read is None or read.tzinfo is None:
        raise typer.BadParameter(f"{text!r} is no time with an offset, such as 2027-01-31T12:00:00Z")
    return read.astimezone(UTC)


def seconds_of(text: str) -> float:
    """Read a duration.

    Parameters
    ----------
    text : str
        Numbers with units, such as "1h30m".

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    typer.BadParameter
        If it is none.

    Examples
    --------
    >>> seconds_of("1h30m")
    5400.0
    """
    if not re.fullmatch(r"([0-9]{1,6}[dhms])+", text):
        raise typer.BadParameter(f"{text!r} is no duration, such as 90s, 30m or 1h30m")
    return float(sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([dhms])", text)))


def shown(seconds: float | None) -> str | None:
    """Return a time as it is shown; None if there is none.

    Examples
    --------
    >>> shown(1_800_000_000.0)
    '2027-01-15T08:00:00.000Z'
    """
    return None if seconds is None else rfc3339(seconds)


def duration(seconds: float) -> str:
    """Return how long something takes, as people say it.

    Examples
    --------
    >>> duration(3.2), duration(101), duration(7320), duration(190_000)
    ('3 s', '1 min 41 s', '2 h 2 min', '2 d 4 h')
    """
    whole = max(0, round(seconds))
    for size, unit, smaller, small_unit in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"
