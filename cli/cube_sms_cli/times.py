"""Times, as an operator gives them."""

from __future__ import annotations

from datetime import UTC, datetime

import typer


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
