"""What an account signs with: how it is asked for, and what is shown of it: lengths only."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import typer

from cube_sms.provider import DIALECTS, read_credentials

from .errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def ask(private_key: Path | None) -> dict[str, str]:
    """Ask for the credentials of an account: on a terminal without an echo, elsewhere as JSON on standard input.

    Parameters
    ----------
    private_key : Path, optional
        The file with the key, of an account that has one.

    Returns
    -------
    dict
        The fields of its dialect, by name.

    Raises
    ------
    OperatorError
        If they are not what the functions take. The sentence shows no value.
    """
    given = {"private_key": _read(private_key)} if private_key else {}
    fields = fields_with(given)
    if sys.stdin.isatty():
        asked = {name: typer.prompt(name, hide_input=True, err=True) for name in fields if name not in given}
    else:
        asked = _from_pipe(fields)
    entry = asked | given
    if fault := fault_of(entry):
        raise OperatorError(f"The functions do not take these credentials: {fault}. Nothing was stored.")
    return entry


def fields_with(given: Mapping[str, str]) -> tuple[str, ...]:
    """Return the fields of the first dialect that has these."""
    return next(each.credentials.FIELDS for each in DIALECTS if given.keys() <= {*each.credentials.FIELDS})


def without_credentials(entry: object) -> dict[str, object]:
    """Return what an account's entry has in addition to credentials."""
    fields = {name for each in DIALECTS for name in each.credentials.FIELDS}
    return {name: value for name, value in entry.items() if name not in fields} if isinstance(entry, dict) else {}


def fault_of(entry: object) -> str | None:
    """Return what is wrong with an account's entry, None if nothing is. It shows no value."""
    if not isinstance(entry, dict):
        return "it must be a JSON object"
    try:
        read_credentials(entry, 0)
    except ValueError as fault:
        return str(fault)
    return None


def lengths(entry: object) -> dict[str, int]:
    """Return how many characters each field of an account's entry has."""
    fields = entry.items() if isinstance(entry, dict) else ()
    return {name: len(value) for name, value in fields if isinstance(value, str)}


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"{path} cannot be read as a key ({type(error).__name__}). Is it a file in PEM form?"
        ) from None


def _from_pipe(fields: tuple[str, ...]) -> dict[str, str]:
    try:
        entry = json.load(sys.stdin)
    except (ValueError, RecursionError):
        # The error holds the text.
        entry = None
    if not isinstance(entry, dict):
        shape = json.dumps(dict.fromkeys(fields, "…"), ensure_ascii=False)
        raise OperatorError(f"There is no terminal to ask at, and standard input holds no JSON object such as {shape}.")
    return entry
