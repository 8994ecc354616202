"""Reading the fields of an account's entry in the secret. No fault quotes a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def text_of(entry: Mapping[str, object], name: str) -> str:
    """Return a field that is a line of text.

    Parameters
    ----------
    entry : Mapping[str, object]
        The entry.
    name : str
        Name of the field.

    Returns
    -------
    str
        Its value.

    Raises
    ------
    ValueError
        If it is none, or was copied with more than it is.
    """
    value = entry.get(name)
    if fault := fault_of(value):
        raise ValueError(f"{name} {fault}")
    return str(value)


def fault_of(value: object) -> str | None:
    """Return what is wrong with a value that is to be a line of text, without the value."""
    if not isinstance(value, str) or not value:
        return "must be a string"
    if value[0].isspace() or value[-1].isspace():
        return "must not begin or end with white space"
    if not value.isprintable():
        # It was copied with more than it is. And a text with a control character is not signed.
        return "must be printable"
    return None
