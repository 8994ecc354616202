"""JSON that msgspec refuses, read so that its faults can be named."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Decoded(NamedTuple):
    """What a JSON text holds.

    Parameters
    ----------
    value : Any
        The value. Strings may hold halves of surrogate pairs; every number is a float.
    has_doubles : bool
        Whether an object gives a member more than once, of which the last counts.
    """

    value: Any
    has_doubles: bool


def decode_leniently(body: bytes) -> Decoded:
    """Decode a JSON text, in which strings may hold halves of surrogate pairs.

    Parameters
    ----------
    body : bytes
        The text, UTF-8. Halves of surrogate pairs may be encoded in it, or escaped.

    Returns
    -------
    Decoded
        What it holds.

    Raises
    ------
    UnicodeDecodeError
        If it is not UTF-8.
    ValueError, RecursionError
        If it is not JSON, or nested too deeply.
    """
    has_doubles = False

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal has_doubles
        given = dict(pairs)
        has_doubles = has_doubles or len(given) < len(pairs)
        return given

    text = body.decode("utf-8", "surrogatepass")
    # Python refuses integers of more than 4,300 digits, and takes NaN and Infinity.
    value = json.loads(text, object_pairs_hook=members, parse_int=float, parse_constant=_refuse)
    return Decoded(value, has_doubles)


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
